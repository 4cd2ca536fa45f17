//! `doorward.v1.AuditService`: the decision log for those who may read it and have no access to its
//! disk.
//!
//! **Invariant:** it reads what is on the disk, off the async threads, and has nothing in common with
//! the path of a decision but the disk; how much of it runs at once is bounded.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream::unfold};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, spawn_blocking},
};
use tonic::{Code, Request, Response, Status};

use super::{
    entries::{read_filter, to_page, to_record},
    operate::{Desk, Operator, status},
};
use crate::{
    audit::{AuditFiles, Followed, Follower, Query, Told, find, page, page_back},
    ledger::LogError,
    model::{BundleName, CallerCredential, DecisionId, Refusal, Right},
    pep::grpc::credential,
    proto::v1::{
        self as wire,
        audit_service_server::{AuditService, AuditServiceServer},
        tail_records_response::What,
    },
};

/// Largest request, in bytes: names.
const MAX_MESSAGE: usize = 16 * 1024;
/// Records on a page, unless asked otherwise, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// Entries that are looked at for one page: some hundred milliseconds of one thread.
const LOOKS: usize = 200_000;
/// Queries at once; each may hold a segment in memory.
const QUERIES: usize = 2;
/// Open tails.
const TAILS: usize = 16;
/// How often a tail looks for what is new.
const LOOK: Duration = Duration::from_millis(200);
/// Entries that a tail has in hand, at most.
const IN_HAND: usize = 256;
/// A reader that is further behind than this many entries misses all but the newest.
const BEHIND: u64 = 100_000;

/// Serves the decision log to operators.
#[derive(Clone, Debug)]
pub struct AuditFace {
    desk: Desk,
    files: Option<AuditFiles>,
    queries: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    closing: watch::Receiver<bool>,
}

/// Who may read, and the records of which bundles.
struct Admitted {
    by: Operator,
    bundles: Vec<BundleName>,
}

type Records = Pin<Box<dyn Stream<Item = Result<wire::TailRecordsResponse, Status>> + Send>>;

impl AuditFace {
    /// A face of this desk for the log in `files`, if one is kept; its streams end when `closing`
    /// says so.
    pub fn new(desk: Desk, files: Option<AuditFiles>, closing: watch::Receiver<bool>) -> Self {
        Self {
            desk,
            files,
            queries: Arc::new(Semaphore::new(QUERIES)),
            tails: Arc::new(Semaphore::new(TAILS)),
            closing,
        }
    }

    /// The service.
    pub fn into_service(self) -> AuditServiceServer<Self> {
        AuditServiceServer::new(self).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Admits a call that is about the records of `bundle`, or of all where it is empty: once for
    /// each.
    async fn admit<T: Sync>(&self, request: &Request<T>, bundle: &str) -> Result<Admitted, Status> {
        let names: Vec<&str> = match bundle {
            "" => self
                .desk
                .bundles
                .iter()
                .map(|(it, _)| it.as_str())
                .collect(),
            name => vec![name],
        };
        let mut bundles = Vec::with_capacity(names.len());
        let mut by = None;
        for name in names {
            let admitted = self.desk.admit(request, "audit", Right::Audit, name);
            let admitted = admitted.await?;
            bundles.push(admitted.bundle.clone());
            by = Some(admitted);
        }
        let by = by.ok_or_else(|| self.desk.refuse_anyone(Refusal::UnknownBundle))?;
        Ok(Admitted { by, bundles })
    }

    fn files(&self) -> Result<AuditFiles, Status> {
        let message = "this server keeps no decision log: `audit.mode` is `off`";
        let none = || status(Code::FailedPrecondition, "no_log", message);
        self.files.clone().ok_or_else(none)
    }

    fn place(&self, by: &Operator, of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(of).try_acquire_owned();
        place.map_err(|_| self.desk.refuse(by, Refusal::Overloaded))
    }

    /// Reads files off the async threads, in a place of its own even when the caller hangs up.
    async fn read<T: Send + 'static>(
        &self,
        by: &Operator,
        work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, Status> {
        let place = self.place(by, &self.queries)?;
        let done = spawn_blocking(move || {
            let _until_done = place;
            work()
        });
        told(done.await)
    }
}

/// What became of reading files, as a status; the operator's log has the reason.
fn told<T>(done: Result<Result<T, LogError>, JoinError>) -> Result<T, Status> {
    let why = match done {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(why)) => why.to_string(),
        Err(why) => why.to_string(),
    };
    tracing::error!(error = %why, "the decision log cannot be read");
    let message = "the decision log cannot be read; the server's own log says why";
    Err(status(Code::Unavailable, "unavailable", message))
}

#[tonic::async_trait]
impl AuditService for AuditFace {
    async fn query_records(
        &self,
        request: Request<wire::QueryRecordsRequest>,
    ) -> Result<Response<wire::QueryRecordsResponse>, Status> {
        let filter = request.get_ref().filter.clone().unwrap_or_default();
        let Admitted { by, .. } = self.admit(&request, &filter.bundle).await?;
        let asked = request.into_inner();
        let refused = |refusal| self.desk.refuse(&by, refusal);
        let query = read_filter(filter).map_err(refused)?;
        let token = match asked.page_token.as_str() {
            "" => None,
            token => Some(token.parse::<u64>().map_err(|_| {
                let message = "was not given out here";
                refused(Refusal::malformed("page_token", "page_token", message))
            })?),
        };
        let most = match usize::try_from(asked.page_size) {
            Ok(0) | Err(_) => PAGE,
            Ok(size) => size.min(MAX_PAGE),
        };
        let (files, back) = (self.files()?, asked.newest_first);
        let answer = self.read(&by, move || {
            let found = match back {
                true => page_back(&files, &query, token.unwrap_or(u64::MAX), most, LOOKS),
                false => page(&files, &query, token.unwrap_or(0), most, LOOKS),
            };
            Ok(to_page(found?, back))
        });
        Ok(Response::new(answer.await?))
    }

    async fn get_record(
        &self,
        request: Request<wire::GetRecordRequest>,
    ) -> Result<Response<wire::GetRecordResponse>, Status> {
        let Admitted { by, .. } = self.admit(&request, &request.get_ref().bundle).await?;
        let wire::GetRecordRequest {
            bundle,
            decision_id,
        } = request.into_inner();
        let id: DecisionId = decision_id.parse().map_err(|why| {
            let refusal = Refusal::malformed("decision_id", "decision_id", why);
            self.desk.refuse(&by, refusal)
        })?;
        let files = self.files()?;
        let found = self.read(&by, move || find(&files, id)).await?;
        let query = Query {
            bundle: (!bundle.is_empty()).then_some(bundle),
            ..Query::default()
        };
        let found = found.and_then(|entry| query.narrow(entry)).ok_or_else(|| {
            let message = format!("`{id}` is not in the log, or is of another bundle");
            status(Code::NotFound, "unknown_decision", &message)
        })?;
        let sequence = match &found {
            Told::Record(record) => record.sequence,
            _ => 0,
        };
        Ok(Response::new(wire::GetRecordResponse {
            record: Some(to_record(sequence, &found)),
        }))
    }

    type TailRecordsStream = Records;

    async fn tail_records(
        &self,
        request: Request<wire::TailRecordsRequest>,
    ) -> Result<Response<Self::TailRecordsStream>, Status> {
        let filter = request.get_ref().filter.clone().unwrap_or_default();
        let Admitted { by, bundles } = self.admit(&request, &filter.bundle).await?;
        let refused = |refusal| self.desk.refuse(&by, refusal);
        let credential = credential(&request).map_err(refused)?;
        let query = read_filter(filter).map_err(refused)?;
        let place = self.place(&by, &self.tails)?;
        let files = self.files()?;
        let after = match request.into_inner().after_sequence {
            Some(sequence) => sequence,
            None => {
                let files = files.clone();
                told(spawn_blocking(move || Ok(files.written())).await)?
            }
        };
        let tail = Tail {
            desk: self.desk.clone(),
            credential,
            bundles,
            closing: self.closing.clone(),
            ready: VecDeque::new(),
            reading: Some(Reading {
                follower: Follower::after(files.clone(), after),
                files,
                query,
                behind: BEHIND,
            }),
            _place: place,
        };
        Ok(Response::new(Box::pin(unfold(Some(tail), async |tail| {
            let mut tail = tail?;
            match tail.next().await {
                Ok(response) => Some((Ok(response), Some(tail))),
                Err(status) => Some((Err(status), None)),
            }
        }))))
    }
}

/// An open tail. Nothing happens in it but when its reader asks for more.
struct Tail {
    desk: Desk,
    credential: CallerCredential,
    bundles: Vec<BundleName>,
    closing: watch::Receiver<bool>,
    ready: VecDeque<wire::TailRecordsResponse>,
    /// Away while it reads.
    reading: Option<Reading>,
    _place: OwnedSemaphorePermit,
}

/// The part of a tail that reads files.
struct Reading {
    files: AuditFiles,
    follower: Follower,
    query: Query,
    /// Further behind than so many entries, it passes over all but the newest.
    behind: u64,
}

impl Tail {
    async fn next(&mut self) -> Result<wire::TailRecordsResponse, Status> {
        let mut pause = Duration::ZERO;
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(ready);
            }
            tokio::select! {
                biased;
                // An error means that the server is gone already.
                _ = self.closing.wait_for(|closing| *closing) => {
                    let message = "the server is about to end; ask again in a moment";
                    return Err(status(Code::Unavailable, "closing", message));
                }
                () = tokio::time::sleep(pause) => {}
            }
            pause = LOOK;
            // A token expires or is revoked, and rules change, while a stream is open.
            for bundle in &self.bundles {
                let still = self
                    .desk
                    .still(&self.credential, "audit", Right::Audit, bundle);
                still.await?;
            }
            let Some(mut reading) = self.reading.take() else {
                return Err(status(Code::Internal, "unavailable", "the tail has ended"));
            };
            let looked = spawn_blocking(move || {
                let found = reading.look();
                Ok((reading, found?))
            });
            let (reading, found) = told(looked.await)?;
            self.reading = Some(reading);
            self.ready.extend(found);
        }
    }
}

impl Reading {
    /// What is new and looked for, some of it.
    fn look(&mut self) -> Result<Vec<wire::TailRecordsResponse>, LogError> {
        let until = self.files.written();
        let next = self.follower.next();
        let mut found = Vec::new();
        let mut tell = |what| found.push(wire::TailRecordsResponse { what: Some(what) });
        if (until + 1).saturating_sub(next) > self.behind {
            let newest = until + 1 - u64::try_from(IN_HAND).unwrap_or(0);
            self.follower.skip_to(newest);
            tell(What::Missed(newest - next));
        }
        for followed in self.follower.more(until, IN_HAND)? {
            match followed {
                Followed::Missing(count) => tell(What::Missed(count)),
                Followed::Entry(sequence, entry) => {
                    if let Some(entry) = self.query.narrow(entry) {
                        tell(What::Record(to_record(sequence, &entry)));
                    }
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{DecisionLog, open},
        config::AuditConfig,
        ledger::RealDisk,
        metrics::Metrics,
        model::{Face, Record, Timestamp},
    };

    fn now() -> Timestamp {
        "2030-01-01T09:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn a_reader_that_is_too_far_behind_is_told_what_it_missed_and_goes_on() {
        let data = tempfile::tempdir().unwrap();
        let config = AuditConfig::default();
        let metrics = Arc::new(Metrics::new());
        let disk = Arc::new(RealDisk);
        let DecisionLog {
            recorder, writer, ..
        } = open(disk, &config, data.path(), String::new(), metrics, now).unwrap();
        for _ in 0..600 {
            let (id, refusal) = (DecisionId::new(now()), Refusal::UnknownBundle);
            recorder.record(Record {
                known: true,
                ..Record::refused(now(), id, Face::Grpc, None, &refusal)
            });
        }
        writer.run(async {}).await.unwrap();
        let files = AuditFiles::new(&data.path().join("audit"));
        let written = files.written();
        let check = |behind: u64, missed: u64| {
            let mut reading = Reading {
                follower: Follower::after(files.clone(), 0),
                files: files.clone(),
                query: Query::default(),
                behind,
            };
            let (mut gone, mut came) = (0, 0);
            loop {
                let found = reading.look().unwrap();
                if found.is_empty() {
                    break;
                }
                for it in found {
                    match it.what.unwrap() {
                        What::Missed(count) => gone += count,
                        What::Record(record) => {
                            came += 1;
                            assert_eq!(record.sequence, gone + came);
                        }
                    }
                }
            }
            assert_eq!((gone, came + gone), (missed, written));
        };
        check(written, 0);
        check(500, written - 256);
    }
}

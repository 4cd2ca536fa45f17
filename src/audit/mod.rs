//! The decision log: one record for every decision, and for every refusal to someone who is known.
//!
//! Each record commits to the one before; the node signs how far it has come; facts stand beside the
//! records, committed to with salt, so that they can be erased and the chain still holds. What
//! strangers are refused is counted apart, and kept by example.
//!
//! **Invariant:** [`Recorder::submit`] does no I/O and never waits. Whether an answer may leave before
//! its record is durable is what its [`Receipt`] says.

mod blocks;
mod decode;
mod encode;
mod erase;
mod export;
mod feed;
mod files;
mod flood;
mod follow;
mod format;
mod hold;
mod keys;
mod parts;
mod query;
mod redact;
mod scan;
mod seal;
mod terms;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    config::{AuditConfig, AuditMode},
    ledger::{Disk, Log, LogError, LogOptions, Opened},
    metrics::Metrics,
    model::{Decision, Record, RecordOutcome, Refusal, Timestamp},
};
pub use decode::{Recorded, RecordedOutcome, RecordedReason, Told};
pub use erase::{Erased, erase};
pub use export::{asked_for, json, line as json_line, ocsf, values};
pub use feed::Feed;
pub use files::AuditFiles;
use flood::Flood;
pub use follow::{Followed, Follower};
pub use hold::{Hold, change_holds, holds, kept_by};
pub use keys::{KeyError, Pseudonyms};
pub use query::{Query, find};
pub use scan::{Page, lines, page, page_back, select};
pub use seal::Sealer;
pub use verify::{Broken, Verified, verify};
pub use writer::Writer;

/// Records waiting for the writer: a disk that stalls for 100 ms while 80,000 decisions a second are
/// made costs nothing.
const QUEUE: usize = 8 * 1024;
/// Bytes that the facts of waiting records may take, roughly.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The target of the spans and events that make up traces.
pub const TRACE: &str = "doorward::request";

/// Takes records; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    queue: Option<mpsc::Sender<Queued>>,
    required: bool,
    shared: Arc<Shared>,
}

/// What recorders and the writer have in common.
#[derive(Debug, Default)]
struct Shared {
    /// Records lost since the last gap in the log.
    lost: AtomicU64,
    /// Bytes of the facts that wait.
    waiting: AtomicUsize,
    /// Held for one count; never across a wait.
    flood: Mutex<Flood>,
    /// Why records cannot be kept now.
    trouble: Mutex<Option<String>>,
    /// A segment was ended.
    sealed: Notify,
}

type Reply = oneshot::Sender<Result<(), String>>;

/// What waits for the writer.
enum Queued {
    Record(Box<Record>, Option<Reply>),
    /// Segments up to this record are to be removed, once the log says so.
    Prune {
        sequence: u64,
        hash: [u8; 32],
        reply: Reply,
    },
}

/// Whether a record is as safe as `audit.mode` promises.
#[derive(Debug)]
#[must_use = "the answer may leave only after it"]
pub struct Receipt(Safe);

#[derive(Debug)]
enum Safe {
    Now,
    Never(Refusal),
    Later(oneshot::Receiver<Result<(), String>>),
}

/// A decision log that is open: for everyone, for the one task that writes, and for the one that puts
/// ended segments away.
#[derive(Debug)]
pub struct DecisionLog {
    /// Takes records.
    pub recorder: Recorder,
    /// Writes them.
    pub writer: Writer,
    /// Puts segments away.
    pub sealer: Sealer,
}

/// Why the decision log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It is damaged, or the disk refuses.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Where the decision log is.
pub fn folder(config: &AuditConfig, data: &Path) -> PathBuf {
    config.dir.clone().unwrap_or_else(|| data.join("audit"))
}

/// Opens the decision log, which checks what was not yet put away. `configuration` names the settings
/// that the process runs with.
///
/// # Errors
/// [`AuditError`]: a log that cannot be gone on with is not begun anew beside it.
pub fn open(
    disk: Arc<dyn Disk>,
    config: &AuditConfig,
    data: &Path,
    configuration: String,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
) -> Result<DecisionLog, AuditError> {
    let dir = folder(config, data);
    let options = LogOptions {
        segment_bytes: config.segment_bytes,
        begins_anywhere: true,
        ..LogOptions::default()
    };
    let Opened { log, recovery } = Log::open(disk, &dir, options)?;
    if let Some(cut) = &recovery.cut {
        tracing::warn!(path = %cut.path.display(), bytes = cut.bytes, "cut half a write off the decision log; no answer left for it");
    }
    let (queue, records) = mpsc::channel(QUEUE);
    let shared = Arc::new(Shared::default());
    let writer = Writer::new(writer::Parts {
        log,
        dir: dir.clone(),
        records,
        shared: Arc::clone(&shared),
        metrics: Arc::clone(&metrics),
        clock,
        config: config.clone(),
        configuration,
    })?;
    let sealer = Sealer::new(
        dir,
        config.clone(),
        queue.clone(),
        Arc::clone(&shared),
        clock,
    );
    let recorder = Recorder {
        inner: Some(Arc::new(Inner {
            metrics,
            clock,
            queue: Some(queue),
            required: config.mode == AuditMode::Required,
            shared,
        })),
    };
    Ok(DecisionLog {
        recorder,
        writer,
        sealer,
    })
}

impl Recorder {
    /// Keeps and counts nothing: for rehearsals and tests.
    pub fn off() -> Self {
        Self { inner: None }
    }

    /// Counts, and keeps nothing (`audit.mode = "off"`).
    pub fn counting(metrics: Arc<Metrics>, clock: fn() -> Timestamp) -> Self {
        Self {
            inner: Some(Arc::new(Inner {
                metrics,
                clock,
                queue: None,
                required: false,
                shared: Arc::default(),
            })),
        }
    }

    /// Counts the time of a stage of an answer that began at `since`; when the next one begins.
    pub fn lap(&self, stage: &'static str, since: Timestamp) -> Timestamp {
        let Some(inner) = &self.inner else {
            return since;
        };
        let now = (inner.clock)();
        let taken = now.duration_since(since).as_secs_f64();
        inner.metrics.stage(stage, taken.max(0.0));
        now
    }

    /// Whether records are kept; where they are only counted, nobody reads their texts.
    pub fn keeps(&self) -> bool {
        self.inner
            .as_ref()
            .is_some_and(|inner| inner.queue.is_some())
    }

    /// Records that wait for the writer, and how many may.
    pub fn queue(&self) -> (usize, usize) {
        let queue = self.inner.as_ref().and_then(|inner| inner.queue.as_ref());
        queue.map_or((0, 0), |queue| {
            let room = queue.max_capacity();
            (room - queue.capacity(), room)
        })
    }

    /// Why records cannot be kept now, if they cannot.
    pub fn trouble(&self) -> Option<String> {
        let inner = self.inner.as_ref()?;
        let trouble = inner.shared.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a record and hands it to the writer; nobody waits for it.
    pub fn record(&self, record: Record) {
        self.hand_over(record, false);
    }

    /// Counts a record and hands it to the writer, with its latency from `record.time` to now.
    pub fn submit(&self, record: Record) -> Receipt {
        let required = self.inner.as_ref().is_some_and(|inner| inner.required);
        Receipt(self.hand_over(record, required))
    }

    fn hand_over(&self, mut record: Record, wait: bool) -> Safe {
        let Some(inner) = &self.inner else {
            return Safe::Now;
        };
        let taken = (inner.clock)().duration_since(record.time);
        record.latency_us = u64::try_from(taken.as_micros()).unwrap_or(0);
        count(&inner.metrics, &record, taken.as_secs_f64());
        trace(&record);
        let Some(queue) = &inner.queue else {
            return Safe::Now;
        };
        let shared = &inner.shared;
        if !record.known {
            let mut flood = shared.flood.lock().unwrap_or_else(PoisonError::into_inner);
            flood.count(record);
            return Safe::Now;
        }
        let weight = record.weight;
        let waiting = shared.waiting.fetch_add(weight, Ordering::Relaxed);
        let (reply, receipt) = match wait {
            true => {
                let (reply, receipt) = oneshot::channel();
                (Some(reply), Safe::Later(receipt))
            }
            false => (None, Safe::Now),
        };
        // One record alone always fits, however large.
        let fits = waiting == 0 || waiting + weight <= QUEUE_BYTES;
        if fits
            && queue
                .try_send(Queued::Record(Box::new(record), reply))
                .is_ok()
        {
            return receipt;
        }
        shared.waiting.fetch_sub(weight, Ordering::Relaxed);
        inner.metrics.records_dropped(1);
        if wait {
            // It is refused, so nothing that was answered is missing.
            return Safe::Never(Refusal::Overloaded);
        }
        shared.lost.fetch_add(1, Ordering::Relaxed);
        Safe::Now
    }
}

impl Receipt {
    /// Waits until the record is as safe as it is to be.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`] or [`Refusal::Unavailable`]: the answer must not leave.
    pub async fn durable(self) -> Result<(), Refusal> {
        match self.0 {
            Safe::Now => Ok(()),
            Safe::Never(refusal) => Err(refusal),
            Safe::Later(receipt) => {
                let written = receipt.await;
                let written = written.unwrap_or_else(|_| Err("its writer has ended".to_owned()));
                written.map_err(|why| Refusal::Unavailable {
                    detail: format!("the decision cannot be recorded: {why}"),
                })
            }
        }
    }
}

/// Tells the trace that the request is a part of, if anyone listens.
fn trace(record: &Record) {
    if !tracing::enabled!(target: TRACE, tracing::Level::DEBUG) {
        return;
    }
    let (outcome, cause) = match &record.outcome {
        RecordOutcome::Decision(it) => (it.outcome.as_str(), it.cause.as_str()),
        RecordOutcome::Refusal { refusal, .. } => ("refused", *refusal),
    };
    let bundle = record.bundle.as_ref().map_or("", |name| name.as_str());
    let decision_id = tracing::field::display(&record.decision_id);
    let span = tracing::Span::current();
    span.record("bundle", bundle);
    span.record("outcome", outcome);
    span.record("decision_id", &decision_id);
    tracing::debug!(target: TRACE, bundle, outcome, cause, %decision_id, "answered");
}

fn count(metrics: &Metrics, record: &Record, seconds: f64) {
    // Not among the decisions: nobody was let in by it, and it takes longer than they may.
    let face = match record.explained {
        true => "explain",
        false => record.face.as_str(),
    };
    metrics.latency(face, seconds.max(0.0));
    if record.undeclared > 0 {
        metrics.members_dropped(face, u64::try_from(record.undeclared).unwrap_or(u64::MAX));
    }
    match &record.outcome {
        RecordOutcome::Decision(decision) => {
            let Decision {
                outcome,
                cause,
                reasons,
                errors,
                ..
            } = &**decision;
            let bundle = record.bundle.as_ref().map_or("", |name| name.as_str());
            metrics.decision(bundle, outcome.as_str(), cause.as_str(), face);
            if record.explained {
                return;
            }
            for it in reasons {
                metrics.policy(bundle, &it.policy_id, "determined");
            }
            for it in errors {
                metrics.policy(bundle, &it.policy_id, "errored");
            }
        }
        RecordOutcome::Refusal { refusal, .. } => metrics.refusal(refusal, face),
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

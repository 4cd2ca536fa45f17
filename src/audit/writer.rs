//! The one writer of the log: whatever waits becomes one group, is written, and in `required` mode
//! synced, before anyone is told.

use std::{
    borrow::Cow,
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
    task,
    time::{MissedTickBehavior, interval},
};

use super::{
    AuditError, Queued, Reply, Shared,
    blocks::{Beside, Written},
    encode::{encode, facts},
    format::{Checkpoint, Entry, Gap, Pruned, Refusals, Repeated, Start, moment},
    keys::{NodeKey, Pseudonyms},
    redact::Redaction,
};
use crate::{
    config::{AuditConfig, AuditMode},
    ledger::{Group, Log, NotAppended},
    metrics::Metrics,
    model::{Cause, EntityRef, Facts, Outcome, Record, RecordOutcome, SubjectFacts, Timestamp},
};

/// Records written together at most; what arrives meanwhile waits for the next group.
const BATCH: usize = 1024;
/// Groups written one after another, before it is looked whether to end.
const TURNS: usize = 16;
/// How often the counts of strangers are written, and unsynced records synced.
const TICK: Duration = Duration::from_secs(1);
/// Counts of strangers that wait for a disk that fails, in seconds.
const CARRIED: usize = 60;
/// Subjects whose denies are counted within one second.
const SUBJECTS: usize = 4096;

/// What a writer is made of.
pub(super) struct Parts {
    pub(super) log: Log,
    pub(super) dir: PathBuf,
    pub(super) records: mpsc::Receiver<Queued>,
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: fn() -> Timestamp,
    pub(super) config: AuditConfig,
    pub(super) configuration: String,
}

/// Writes what recorders hand over. Run it in one task, until its drain.
pub struct Writer {
    parts: Parts,
    key: NodeKey,
    redaction: Option<Redaction>,
    written: Written,
    /// Buffers, so that none is made for each record.
    spare: Spare,
    /// A start is due: of the process (`true`), or of a segment.
    start: Option<bool>,
    carried: Vec<Refusals>,
    denies: HashMap<EntityRef, u64>,
    ticked: Timestamp,
    begun: Timestamp,
    signed: Timestamp,
    unsigned: u64,
    /// The last write failed: each tick tries whether the next one does.
    failing: bool,
}

/// Buffers between two records, and between two groups.
#[derive(Default)]
struct Spare {
    payload: Vec<u8>,
    beside: Beside,
    group: Vec<u8>,
}

/// A group on its way, and who waits for it.
struct Turn {
    group: Group,
    replies: Vec<Reply>,
    records: u64,
    lost: u64,
    weight: usize,
    must_sync: bool,
    repeats: HashMap<(EntityRef, Cause), Repeat>,
}

/// Denies of one subject above its rate.
struct Repeat {
    record: Box<Record>,
    subject: Arc<SubjectFacts>,
    last: Timestamp,
    ids: Vec<[u8; 16]>,
}

impl Writer {
    pub(super) fn new(parts: Parts) -> Result<Self, AuditError> {
        let key = NodeKey::open(&parts.dir)?;
        let pseudonyms = Pseudonyms::open(&parts.dir)?;
        let rules = &parts.config.redact;
        let redaction = (!rules.is_empty()).then(|| Redaction::new(rules, pseudonyms));
        let now = (parts.clock)();
        Ok(Self {
            parts,
            key,
            redaction,
            written: Written::default(),
            spare: Spare::default(),
            start: Some(true),
            carried: Vec::new(),
            denies: HashMap::new(),
            ticked: now,
            begun: now,
            signed: now,
            unsigned: 0,
            failing: false,
        })
    }

    /// Goes on in a new segment.
    #[cfg(test)]
    pub(super) fn rotate_for_test(&mut self) {
        self.parts.log.rotate();
    }

    /// Writes until `drain` resolves, then what is still queued, and signs the end.
    ///
    /// # Errors
    /// When the last records could not be written, or what is on the disk is unknown. A failed write in between is told to whoever
    /// waits for it, or counted, and writing goes on.
    pub async fn run(mut self, drain: impl Future<Output = ()>) -> io::Result<()> {
        let mut drain = std::pin::pin!(drain);
        let mut draining = false;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = &mut drain, if !draining => {
                    draining = true;
                    self.parts.records.close();
                }
                count = self.parts.records.recv_many(&mut batch, BATCH) => {
                    (self, batch) = self.off_thread(batch, count == 0).await?;
                    if count == 0 {
                        let closed = self.parts.log.close();
                        return match (closed, self.failing) {
                            (Ok(()), true) => Err(io::Error::other("the last records could not be written")),
                            (closed, _) => closed.map_err(io::Error::other),
                        };
                    }
                }
                _ = tick.tick() => (self, batch) = self.off_thread(batch, false).await?,
            }
        }
    }

    /// Writes off the async threads, since a disk may stall: a group, and what came meanwhile.
    async fn off_thread(
        mut self,
        mut batch: Vec<Queued>,
        closing: bool,
    ) -> io::Result<(Self, Vec<Queued>)> {
        task::spawn_blocking(move || {
            self.turn(&mut batch, closing);
            for _ in 1..TURNS {
                let more = self.parts.records.recv_many(&mut batch, BATCH);
                if more.now_or_never().is_none_or(|count| count == 0) {
                    break;
                }
                self.turn(&mut batch, false);
            }
            (self, batch)
        })
        .await
        .map_err(io::Error::other)
    }

    /// Writes one group.
    fn turn(&mut self, batch: &mut Vec<Queued>, closing: bool) {
        let now = (self.parts.clock)();
        let is_tick = closing || now.duration_since(self.ticked).unsigned_abs() >= TICK;
        let mut turn = Turn {
            group: self
                .parts
                .log
                .group_in(std::mem::take(&mut self.spare.group)),
            replies: Vec::with_capacity(batch.len()),
            records: 0,
            lost: self.parts.shared.lost.swap(0, Ordering::Relaxed),
            weight: 0,
            must_sync: is_tick || self.parts.config.mode == AuditMode::Required,
            repeats: HashMap::new(),
        };
        if let Some(process) = self.start {
            self.add_start(&mut turn, now, process);
        }
        if turn.lost > 0 {
            let time = moment(now);
            let lost = turn.lost;
            self.add(&mut turn, &Entry::Gap(Gap { time, lost }), None);
        }
        for queued in batch.drain(..) {
            match queued {
                Queued::Record(record, reply) => {
                    turn.weight += record.weight;
                    turn.records += 1;
                    turn.replies.extend(reply);
                    self.add_record(&mut turn, record);
                }
                Queued::Prune {
                    sequence,
                    hash,
                    reply,
                } => {
                    let time = moment(now);
                    let pruned = Pruned {
                        time,
                        sequence,
                        hash,
                    };
                    self.add(&mut turn, &Entry::Pruned(pruned), None);
                    turn.replies.push(reply);
                    turn.must_sync = true;
                }
            }
        }
        for (_, repeat) in std::mem::take(&mut turn.repeats) {
            self.add_repeat(&mut turn, &repeat);
        }
        if is_tick {
            self.ticked = now;
            self.denies.clear();
            let shared = &self.parts.shared;
            let flood = shared
                .flood
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(now);
            self.carried.extend(flood);
            for refusals in self.carried.clone() {
                self.add(&mut turn, &Entry::Refusals(refusals), None);
            }
        }
        if self.is_checkpoint_due(now, closing) || (is_tick && self.failing) {
            self.add_checkpoint(&mut turn, now, closing);
        }
        self.finish(turn, now, is_tick);
    }

    /// Writes the group, tells whoever waits, and goes on in a new segment where it is time.
    fn finish(&mut self, turn: Turn, now: Timestamp, is_tick: bool) {
        let log = &mut self.parts.log;
        let done = log.write(&turn.group).and_then(|()| match turn.must_sync {
            true => log.sync(),
            false => Ok(()),
        });
        let shared = &self.parts.shared;
        shared.waiting.fetch_sub(turn.weight, Ordering::Relaxed);
        if turn.group.size() > 0 {
            let trouble = match &done {
                Ok(()) => {
                    if self.start.is_some() {
                        (self.start, self.begun) = (None, now);
                    }
                    if is_tick {
                        self.carried.clear();
                    }
                    None
                }
                Err(why) => {
                    self.failed(why, turn.records, turn.lost);
                    Some(why.to_string())
                }
            };
            self.failing = trouble.is_some();
            self.parts.metrics.log_failing(self.failing);
            let place = self.parts.shared.trouble.lock();
            *place.unwrap_or_else(PoisonError::into_inner) = trouble;
        }
        self.spare.group = turn.group.into_buffer();
        let told = done.clone().map_err(|why| why.to_string());
        for reply in turn.replies {
            // Whoever hung up does not need to know.
            let _unheard = reply.send(told.clone());
        }
        if done.is_ok() && self.is_rotation_due(now) {
            self.parts.log.rotate();
            self.written.forget();
            self.start = Some(false);
            self.begun = now;
            self.parts.shared.sealed.notify_one();
        }
    }

    fn failed(&mut self, why: &NotAppended, records: u64, lost: u64) {
        self.written.forget();
        let keep = self.carried.len().saturating_sub(CARRIED);
        self.carried.drain(..keep);
        self.parts.metrics.records_dropped(records);
        // In `required` mode nothing of it was answered.
        let missing = match self.parts.config.mode {
            AuditMode::Required => lost,
            _ => lost + records,
        };
        self.parts.shared.lost.fetch_add(missing, Ordering::Relaxed);
        tracing::error!(dir = %self.parts.dir.display(), error = %why, records, "the decision log cannot be written");
    }

    fn is_checkpoint_due(&self, now: Timestamp, closing: bool) -> bool {
        let config = &self.parts.config;
        let age = now.duration_since(self.signed).unsigned_abs();
        self.unsigned > 0
            && (closing
                || self.unsigned >= config.checkpoint_records
                || age >= config.checkpoint_every)
    }

    fn is_rotation_due(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.begun).unsigned_abs();
        self.start.is_none() && (self.parts.log.is_full() || age >= self.parts.config.segment_age)
    }

    fn add(&mut self, turn: &mut Turn, entry: &Entry<'_>, beside: Option<&Beside>) {
        let payload = &mut self.spare.payload;
        match entry.encode(payload) {
            Ok(()) => {
                let loose = beside.map_or(&[][..], |beside| &beside.bytes);
                turn.group.add(payload, loose);
                self.unsigned += 1;
            }
            Err(why) => {
                // What would have stood beside it is nowhere.
                self.written.forget();
                tracing::error!(error = %why, "an entry cannot be encoded");
            }
        }
    }

    fn add_start(&mut self, turn: &mut Turn, now: Timestamp, process: bool) {
        let start = Start {
            time: moment(now),
            engine: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            configuration: Cow::Owned(self.parts.configuration.clone()),
            key: self.key.public(),
            process,
        };
        self.add(turn, &Entry::Start(start), None);
    }

    fn add_checkpoint(&mut self, turn: &mut Turn, now: Timestamp, closing: bool) {
        let chain = turn.group.chain();
        let mut checkpoint = Checkpoint {
            time: moment(now),
            sequence: chain.sequence,
            hash: chain.hash,
            closing,
            signature: Vec::new(),
        };
        checkpoint.signature = self.key.sign(&checkpoint.message());
        self.add(turn, &Entry::Checkpoint(checkpoint), None);
        (self.signed, self.unsigned) = (now, 0);
    }

    fn add_record(&mut self, turn: &mut Turn, mut record: Box<Record>) {
        let (facts, redacted) = facts(&mut record, self.redaction.as_ref());
        let Some(record) = self.repeated(turn, record, &facts) else {
            return;
        };
        let sequence = turn.group.chain().sequence + 1;
        let redaction = self.redaction.as_ref().map(|_| redacted);
        let (written, spare) = (&mut self.written, &mut self.spare);
        let (payload, beside) = (&mut spare.payload, &mut spare.beside);
        beside.clear();
        match encode(
            &record, &facts, redaction, sequence, written, payload, beside,
        ) {
            Ok(()) => {
                turn.group.add(payload, &beside.bytes);
                self.unsigned += 1;
            }
            Err(why) => {
                written.forget();
                tracing::error!(error = %why, "a decision cannot be encoded");
            }
        }
    }

    /// Counts a deny; the record again unless its subject is denied more often than is recorded
    /// one by one.
    fn repeated(
        &mut self,
        turn: &mut Turn,
        record: Box<Record>,
        facts: &Facts,
    ) -> Option<Box<Record>> {
        let rate = self.parts.config.denies_per_second;
        let cause = match &record.outcome {
            RecordOutcome::Decision(it) if it.outcome == Outcome::Deny && rate > 0 => it.cause,
            _ => return Some(record),
        };
        let Some(subject) = &facts.subject else {
            return Some(record);
        };
        let uid = &subject.entity.uid;
        match self.denies.get_mut(uid) {
            Some(count) => {
                *count += 1;
                if *count <= rate {
                    return Some(record);
                }
            }
            None => {
                if self.denies.len() < SUBJECTS {
                    self.denies.insert(uid.clone(), 1);
                }
                return Some(record);
            }
        }
        let (last, id) = (record.time, *record.decision_id.as_bytes());
        let key = (uid.clone(), cause);
        let repeat = turn.repeats.entry(key).or_insert_with(|| Repeat {
            subject: Arc::clone(subject),
            record,
            last,
            ids: Vec::new(),
        });
        repeat.last = last;
        repeat.ids.push(id);
        None
    }

    fn add_repeat(&mut self, turn: &mut Turn, repeat: &Repeat) {
        let record = &repeat.record;
        let RecordOutcome::Decision(decision) = &record.outcome else {
            return;
        };
        let sequence = turn.group.chain().sequence + 1;
        let mut beside = Beside::default();
        let written = &mut self.written;
        let Some(subject) = written.refer_to_subject(&mut beside, sequence, &repeat.subject) else {
            return;
        };
        let entry = Entry::Repeated(Repeated {
            first: moment(record.time),
            last: moment(repeat.last),
            ids: repeat.ids.clone(),
            caller: record.caller.as_ref().map(|it| Cow::Owned(it.to_string())),
            bundle: record.bundle.as_ref().map(|it| Cow::Owned(it.to_string())),
            cause: decision.cause,
            subject,
        });
        self.add(turn, &entry, Some(&beside));
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("dir", &self.parts.dir)
            .finish_non_exhaustive()
    }
}

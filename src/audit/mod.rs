//! The decision log: one JSON line for every decision and refusal, best effort.
//!
//! **Invariant:** [`Recorder::record`] does no I/O and never waits. When the writer cannot keep up,
//! records are lost, counted, and the file says how many are missing and where.

mod line;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

use crate::{
    metrics::Metrics,
    model::{Record, RecordOutcome, Timestamp},
};
pub use writer::Writer;

/// Records waiting for the writer. A disk that stalls for 100 ms while 80,000 decisions a second
/// are made costs nothing; a record holds about 1 KiB and, with texts cut at [`line::MAX_TEXT`],
/// some 8 KiB at most, so the queue stays below 64 MiB.
const QUEUE: usize = 8 * 1024;

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
    queue: Option<mpsc::Sender<Record>>,
    lost: Arc<AtomicU64>,
}

/// Opens the decision log at `path` and appends to it: the recorder for everyone, the writer for
/// the one task that runs it.
///
/// # Errors
/// When the file cannot be opened for appending.
pub fn open(
    path: &Path,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
) -> io::Result<(Recorder, Writer)> {
    let (queue, records) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let writer = Writer::open(
        path,
        records,
        Arc::clone(&lost),
        Arc::clone(&metrics),
        clock,
    )?;
    let recorder = Recorder {
        inner: Some(Arc::new(Inner {
            metrics,
            clock,
            queue: Some(queue),
            lost,
        })),
    };
    Ok((recorder, writer))
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
                lost: Arc::default(),
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

    /// Counts a record and hands it to the writer, with its latency from `record.time` to now.
    pub fn record(&self, mut record: Record) {
        let Some(inner) = &self.inner else { return };
        let taken = (inner.clock)().duration_since(record.time);
        record.latency_us = u64::try_from(taken.as_micros()).unwrap_or(0);
        count(&inner.metrics, &record, taken.as_secs_f64());
        trace(&record);
        let Some(queue) = &inner.queue else { return };
        line::shorten(&mut record);
        if queue.try_send(record).is_err() {
            inner.lost.fetch_add(1, Ordering::Relaxed);
            inner.metrics.records_dropped(1);
        }
    }
}

/// Tells the trace that the request is a part of, if anyone listens.
fn trace(record: &Record) {
    if !tracing::enabled!(target: TRACE, tracing::Level::DEBUG) {
        return;
    }
    let (outcome, cause) = match &record.outcome {
        RecordOutcome::Decision { outcome, cause, .. } => (outcome.as_str(), cause.as_str()),
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
        RecordOutcome::Decision {
            outcome,
            cause,
            reasons,
            errors,
            ..
        } => {
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

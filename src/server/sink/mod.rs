//! Sends the decision log on, as it becomes durable: to a file, and to a collector of OTLP logs.
//!
//! Each receiver has a task of its own and a note of how far it came. One that cannot be reached is
//! tried again for ever; the log itself is the buffer, so it costs decisions nothing.

mod file;
mod otlp;

use std::{io, sync::Arc, time::Duration};

use tokio::task::spawn_blocking;

use crate::{
    audit::{AuditFiles, Feed, Followed},
    config::SinkConfig,
    metrics::Metrics,
};
use file::Lines;
use otlp::Collector;

/// How often it is looked for what is new.
const LOOK: Duration = Duration::from_millis(250);
/// How long to wait before a receiver that failed is tried again, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One receiver of the decision log.
pub(super) struct Sink {
    name: &'static str,
    feed: Feed,
    to: Receiver,
    metrics: Arc<Metrics>,
}

enum Receiver {
    Lines(Lines),
    Collector(Collector),
}

/// What came of sending: how many entries will never be there, though everything else is.
type Sent = Result<u64, String>;

/// The receivers of a log, within the runtime.
///
/// # Errors
/// When it is noted how far one came, and that cannot be read.
pub(super) fn open(
    config: SinkConfig,
    files: &AuditFiles,
    metrics: &Arc<Metrics>,
) -> io::Result<Vec<Sink>> {
    let SinkConfig { file, otlp } = config;
    let lines = file.map(|file| ("file", Receiver::Lines(Lines::new(file))));
    let collector = otlp
        .map(|endpoint| Collector::new(&endpoint).map(Receiver::Collector))
        .transpose()
        .map_err(io::Error::other)?
        .map(|it| ("otlp", it));
    let receivers = lines.into_iter().chain(collector);
    let sinks = receivers.map(|(name, to)| {
        Ok(Sink {
            name,
            feed: Feed::open(files.clone(), name)?,
            to,
            metrics: Arc::clone(metrics),
        })
    });
    sinks.collect()
}

impl Sink {
    /// Sends until `end` resolves, then what is left; what cannot be sent then is sent after the next
    /// start.
    pub(super) async fn run(mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let (mut ending, mut pause) = (false, LOOK);
        let mut unsent = Vec::new();
        loop {
            let behind;
            let turned;
            (self, unsent, behind, turned) = self.turn(unsent).await;
            let failing = turned.is_err();
            self.metrics.sink_state(self.name, failing, behind);
            match turned {
                Ok(true) => {
                    pause = LOOK;
                    continue;
                }
                // All there was when it was asked to end.
                Ok(false) if ending => return,
                Ok(false) => pause = LOOK,
                Err(why) => {
                    tracing::warn!(
                        sink = self.name,
                        why,
                        "a receiver of the decision log fails"
                    );
                    if ending {
                        return;
                    }
                    pause = (pause * 2).clamp(PAUSE, LONGEST_PAUSE);
                }
            }
            tokio::select! {
                () = &mut end, if !ending => ending = true,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Sends what is `unsent`, or what is new; `true`: something was.
    async fn turn(
        mut self,
        unsent: Vec<Followed>,
    ) -> (Self, Vec<Followed>, u64, Result<bool, String>) {
        let (mut this, found, behind) = off_thread(move || {
            let found = match unsent.is_empty() {
                true => self.feed.more().map_err(|why| why.to_string()),
                false => Ok(unsent),
            };
            let behind = self.feed.behind();
            (self, found, behind)
        })
        .await;
        let batch = match found {
            Ok(batch) if batch.is_empty() => return (this, batch, behind, Ok(false)),
            Ok(batch) => batch,
            Err(why) => return (this, Vec::new(), behind, Err(why)),
        };
        let answered = match &mut this.to {
            Receiver::Collector(collector) => Some(collector.send(&batch).await),
            Receiver::Lines(_) => None,
        };
        off_thread(move || {
            let sent = match (&this.to, answered) {
                (Receiver::Lines(lines), _) => lines.send(&batch),
                (Receiver::Collector(_), answered) => answered.unwrap_or(Ok(0)),
            };
            match sent {
                Ok(refused) => {
                    this.told(&batch, refused);
                    let noted = this.feed.arrived().map_err(|why| why.to_string());
                    (this, Vec::new(), behind, noted.map(|()| true))
                }
                Err(why) => (this, batch, behind, Err(why)),
            }
        })
        .await
    }

    fn told(&self, batch: &[Followed], refused: u64) {
        let (mut sent, mut gone) = (0, 0);
        for followed in batch {
            match followed {
                Followed::Entry(..) => sent += 1,
                Followed::Missing(count) => gone += count,
            }
        }
        let missed = gone + refused;
        self.metrics.sink(self.name, sent, missed);
        if missed > 0 {
            tracing::error!(
                sink = self.name,
                removed = gone,
                refused,
                "a receiver of the decision log will never have some of its entries"
            );
        }
    }
}

/// Does what blocks off the async threads.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(why) => match why.try_into_panic() {
            // As any task's, it ends the process.
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going.
            Err(_) => std::future::pending().await,
        },
    }
}

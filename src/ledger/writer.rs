//! The one writer: whatever waits is written together and synced once.

use std::fmt;

use tokio::sync::{mpsc, oneshot};

use super::{
    append::Group,
    frame::{Chain, MAX_PAYLOAD},
    log::Log,
    reader::Entry,
    segment::Epoch,
};

/// Bytes written with one sync; what waits beyond that is the next group.
const GROUP: usize = 8 * 1024 * 1024;

/// Sees what was appended.
pub trait Apply: Send + 'static {
    /// What it makes of one record.
    type Outcome: Send + 'static;

    /// Called once on the writer's thread, before anything is written.
    fn begin(&mut self) {}

    /// Takes records that are durable, in their order; returns one outcome for each.
    ///
    /// Whoever appended them is told after this returns.
    fn apply(&mut self, records: &[Entry]) -> Vec<Self::Outcome>;

    /// Told that a group was not appended.
    fn refused(&mut self, _why: &NotAppended) {}
}

/// A record that is durable, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended<T> {
    /// Its place in the chain.
    pub chain: Chain,
    /// The epoch that it belongs to.
    pub epoch: Epoch,
    /// What [`Apply`] made of it.
    pub outcome: T,
}

/// Why a record was not appended. It is not in the log, unless the error says that this is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// It is larger than [`MAX_PAYLOAD`].
    #[error("a record of {0} bytes is larger than {MAX_PAYLOAD}")]
    TooLarge(usize),
    /// Too many wait.
    #[error("too many records wait to be written")]
    Busy,
    /// The disk did not take it; the log is as it was, and later ones may fit.
    #[error("cannot write the log: {0}")]
    Disk(String),
    /// A write may or may not be durable, so nothing is written any more.
    #[error(
        "the log stopped, and whether the last records are durable is unknown until a restart: {0}"
    )]
    Stopped(String),
    /// The writer has ended.
    #[error("the log is closed")]
    Ended,
}

type Reply<T> = oneshot::Sender<Result<Appended<T>, NotAppended>>;

enum Message<T> {
    Append { payload: Vec<u8>, reply: Reply<T> },
    Rotate,
    End,
}

/// Hands records to the writer; cloned for whoever appends.
pub struct Appender<T> {
    queue: mpsc::Sender<Message<T>>,
}

/// Resolves when a record is durable and applied, or was not appended.
pub struct Receipt<T>(oneshot::Receiver<Result<Appended<T>, NotAppended>>);

impl<T> Appender<T> {
    /// Queues a record, waiting for a place. The order of the queue is the order of the log.
    ///
    /// # Errors
    /// [`NotAppended`] when it cannot be queued.
    pub async fn append(&self, payload: Vec<u8>) -> Result<Receipt<T>, NotAppended> {
        let (message, receipt) = Self::message(payload)?;
        let queued = self.queue.send(message).await;
        queued.map(|()| receipt).map_err(|_| NotAppended::Ended)
    }

    /// Queues a record, if there is a place now.
    ///
    /// # Errors
    /// [`NotAppended`] when it cannot be queued, [`NotAppended::Busy`] when there is no place.
    pub fn try_append(&self, payload: Vec<u8>) -> Result<Receipt<T>, NotAppended> {
        let (message, receipt) = Self::message(payload)?;
        match self.queue.try_send(message) {
            Ok(()) => Ok(receipt),
            Err(mpsc::error::TrySendError::Full(_)) => Err(NotAppended::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(NotAppended::Ended),
        }
    }

    /// Asks for a new segment after what is queued.
    pub async fn rotate(&self) {
        // A writer that has ended has no use for one.
        let _ended = self.queue.send(Message::Rotate).await;
    }

    /// Ends the writer after what is queued.
    pub async fn end(&self) {
        let _ended_before = self.queue.send(Message::End).await;
    }

    fn message(payload: Vec<u8>) -> Result<(Message<T>, Receipt<T>), NotAppended> {
        if payload.len() > MAX_PAYLOAD {
            return Err(NotAppended::TooLarge(payload.len()));
        }
        let (reply, receipt) = oneshot::channel();
        Ok((Message::Append { payload, reply }, Receipt(receipt)))
    }
}

impl<T> Receipt<T> {
    /// Waits until the record is durable and applied.
    ///
    /// # Errors
    /// [`NotAppended`].
    pub async fn durable(self) -> Result<Appended<T>, NotAppended> {
        self.0.await.unwrap_or(Err(NotAppended::Ended))
    }
}

impl<T> Clone for Appender<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<T> fmt::Debug for Appender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Appender")
    }
}

impl<T> fmt::Debug for Receipt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// Writes what appenders hand over. Run it on a thread of its own, since a disk may stall.
pub struct Writer<A: Apply> {
    log: Log,
    queue: mpsc::Receiver<Message<A::Outcome>>,
    apply: A,
}

pub(super) fn start<A: Apply>(log: Log, apply: A) -> (Appender<A::Outcome>, Writer<A>) {
    let (sender, queue) = mpsc::channel(log.options.queue.max(1));
    let writer = Writer { log, queue, apply };
    (Appender { queue: sender }, writer)
}

/// Records that are written together.
struct Gathered<T> {
    group: Group,
    entries: Vec<Entry>,
    replies: Vec<Reply<T>>,
    rotate: bool,
    end: bool,
}

impl<A: Apply> Writer<A> {
    /// Writes until it is asked to end or nobody is left who could append.
    ///
    /// # Errors
    /// When the disk left it unknown what is durable: every later append was refused.
    pub fn run(mut self) -> Result<(), String> {
        self.apply.begin();
        while let Some(first) = self.queue.blocking_recv() {
            if self.turn(first) {
                break;
            }
        }
        self.log.close()
    }

    /// Writes one group, which begins with `first`; `true`: it was the last.
    fn turn(&mut self, first: Message<A::Outcome>) -> bool {
        let Gathered {
            group,
            entries,
            replies,
            rotate,
            end,
        } = self.gather(first);
        match self.log.append(&group) {
            Ok(()) => {
                let outcomes = self.apply.apply(&entries);
                let told = replies.into_iter().zip(&entries).zip(outcomes);
                for ((reply, entry), outcome) in told {
                    // Whoever hung up does not need to know.
                    let _unheard = reply.send(Ok(Appended {
                        chain: Chain {
                            sequence: entry.sequence,
                            hash: entry.hash,
                        },
                        epoch: entry.epoch,
                        outcome,
                    }));
                }
            }
            Err(why) => {
                self.apply.refused(&why);
                for reply in replies {
                    let _unheard = reply.send(Err(why.clone()));
                }
            }
        }
        if rotate || self.log.is_full() {
            self.log.rotate();
        }
        end
    }

    fn gather(&mut self, first: Message<A::Outcome>) -> Gathered<A::Outcome> {
        let mut gathered = Gathered {
            group: self.log.group(),
            entries: Vec::new(),
            replies: Vec::new(),
            rotate: false,
            end: false,
        };
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Append { payload, reply } => {
                    let chain = gathered.group.add(&payload, &[]);
                    gathered.entries.push(Entry {
                        sequence: chain.sequence,
                        hash: chain.hash,
                        epoch: self.log.epoch(),
                        payload,
                    });
                    gathered.replies.push(reply);
                }
                Message::Rotate => gathered.rotate = true,
                Message::End => gathered.end = true,
            }
            if gathered.rotate || gathered.end || gathered.group.size() >= GROUP {
                break;
            }
            next = self.queue.try_recv().ok();
        }
        gathered
    }
}

impl<A: Apply> fmt::Debug for Writer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

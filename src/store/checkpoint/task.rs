//! The thread that writes the checkpoint.

use std::{
    collections::HashSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
};

use super::entries::{FORMAT, POSITION, Position, entity_key, revocation_entry, sum};
use crate::store::{
    apply::Delta,
    health::{Health, Part},
    version::Version,
};

/// Changes that may wait, some 100 bytes each: as many as come while a large checkpoint is made anew.
/// A writer that is this far ahead waits, which a bulk import may be and a revocation must not.
const BACKLOG: usize = 100_000;
/// Entries written together when the checkpoint is made anew.
const CHUNK: usize = 10_000;

/// What the checkpoint's thread is told.
enum Job {
    /// Write everything.
    All(Arc<Version>),
    /// Write what a group changed.
    Changes(Arc<Version>, Vec<Delta>),
}

/// Tells the checkpoint's thread what changed.
pub(in crate::store) struct Checkpoint {
    jobs: mpsc::Sender<Job>,
    backlog: Arc<Backlog>,
}

/// How many changes wait for the checkpoint's thread; `None` once it has ended.
#[derive(Debug)]
struct Backlog {
    waiting: Mutex<Option<usize>>,
    less: Condvar,
}

/// Writes the checkpoint. Run it on a thread of its own.
pub struct CheckpointTask {
    db: sled::Db,
    jobs: mpsc::Receiver<Job>,
    backlog: Arc<Backlog>,
    position: Position,
    health: Arc<Health>,
    broken: bool,
}

impl fmt::Debug for CheckpointTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointTask").finish_non_exhaustive()
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checkpoint")
    }
}

/// A checkpoint that goes on from `position`, and its thread.
pub(super) fn start(
    db: sled::Db,
    position: Position,
    health: Arc<Health>,
) -> (Checkpoint, CheckpointTask) {
    let (sender, jobs) = mpsc::channel();
    let backlog = Arc::new(Backlog {
        waiting: Mutex::new(Some(0)),
        less: Condvar::new(),
    });
    let checkpoint = Checkpoint {
        jobs: sender,
        backlog: Arc::clone(&backlog),
    };
    let task = CheckpointTask {
        db,
        jobs,
        backlog,
        position,
        health,
        broken: false,
    };
    (checkpoint, task)
}

impl Checkpoint {
    /// Has everything written.
    pub(in crate::store) fn all(&self, version: Arc<Version>) {
        // Without its thread there is no checkpoint, and the next start replays the ledger.
        let _gone = self.jobs.send(Job::All(version));
    }

    /// Has written what led to `version`.
    pub(in crate::store) fn changes(&self, version: Arc<Version>, deltas: Vec<Delta>) {
        self.backlog.add(deltas.len());
        let _gone = self.jobs.send(Job::Changes(version, deltas));
    }
}

impl Backlog {
    /// Waits for room, and takes it.
    fn add(&self, changes: usize) {
        let mut waiting = self.waiting();
        while waiting.is_some_and(|it| it > BACKLOG) {
            let woken = self.less.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
        *waiting = waiting.map(|it| it + changes);
    }

    fn done(&self, changes: usize) {
        let mut waiting = self.waiting();
        *waiting = waiting.map(|it| it.saturating_sub(changes));
        self.less.notify_all();
    }

    fn end(&self) {
        *self.waiting() = None;
        self.less.notify_all();
    }

    /// Held for moments only, by code that does not panic.
    fn waiting(&self) -> MutexGuard<'_, Option<usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CheckpointTask {
    fn drop(&mut self) {
        self.backlog.end();
    }
}

impl CheckpointTask {
    /// Writes until nobody is left who could tell it of changes.
    pub fn run(mut self) {
        while let Ok(job) = self.jobs.recv() {
            let changes = match &job {
                Job::All(_) => 0,
                Job::Changes(_, deltas) => deltas.len(),
            };
            self.write(job);
            self.backlog.done(changes);
        }
        if let Err(why) = self.db.flush() {
            tracing::warn!(%why, "the checkpoint may lack its last changes");
        }
    }

    fn write(&mut self, job: Job) {
        if self.broken {
            return;
        }
        // sled may panic where the disk refuses.
        let done = catch_unwind(AssertUnwindSafe(|| match job {
            Job::All(version) => self.all(&version),
            Job::Changes(version, deltas) => self.changes(&version, deltas),
        }));
        let trouble = match done {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why.to_string(),
            Err(_) => "writing it panics".to_owned(),
        };
        // What it holds is a version still, only an old one. It is not tried again: what sled makes
        // of a failed write is unknown.
        self.health.set(Part::Checkpoint, Some(trouble));
        self.broken = true;
    }

    fn all(&mut self, version: &Version) -> Result<(), sled::Error> {
        self.db.clear()?;
        self.position = Position::default();
        let entities = version
            .directories
            .iter()
            .flat_map(|(bundle, directory)| directory.in_order().map(move |it| (bundle, it)))
            .map(|(bundle, stored)| (entity_key(bundle, stored.key()), stored.bytes().to_vec()));
        let revocations = version.revocations.iter().map(revocation_entry);
        let mut batch = sled::Batch::default();
        for (n, (key, value)) in entities.chain(revocations).enumerate() {
            self.position.sum = self.position.sum.wrapping_add(sum(&key, &value));
            batch.insert(key, value);
            if n % CHUNK == CHUNK - 1 {
                self.db.apply_batch(std::mem::take(&mut batch))?;
            }
        }
        // Without its position it counts for nothing, so this comes last.
        self.end(version, batch)
    }

    fn changes(&mut self, version: &Version, deltas: Vec<Delta>) -> Result<(), sled::Error> {
        if version.chain.sequence <= self.position.sequence {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        let mut revoked = HashSet::new();
        for delta in deltas {
            let (key, old, new) = match delta {
                Delta::Entity {
                    bundle,
                    key,
                    old,
                    new,
                } => (
                    entity_key(&bundle, key.borrowed()),
                    old.map(|it| it.bytes().to_vec()),
                    new.map(|it| it.bytes().to_vec()),
                ),
                Delta::Revocation(revocation) => {
                    let (key, value) = revocation_entry(&revocation);
                    if self.db.contains_key(&key)? || !revoked.insert(key.clone()) {
                        continue;
                    }
                    (key, None, Some(value))
                }
            };
            let less = old.map_or(0, |old| sum(&key, &old));
            let more = new.as_ref().map_or(0, |new| sum(&key, new));
            let total = &mut self.position.sum;
            *total = total.wrapping_sub(less).wrapping_add(more);
            match new {
                Some(new) => batch.insert(key, new),
                None => batch.remove(key),
            }
        }
        self.end(version, batch)
    }

    /// Writes a batch with the position that it leads to, so that both are there or neither.
    fn end(&mut self, version: &Version, mut batch: sled::Batch) -> Result<(), sled::Error> {
        self.position = Position {
            format: FORMAT,
            sequence: version.chain.sequence,
            hash: version.chain.hash,
            epochs: version.epochs.iter().map(|it| (it.id, it.from)).collect(),
            restored: version.revocations.restored.clone(),
            entities: version.counts(),
            sum: self.position.sum,
        };
        let position = serde_json::to_vec(&self.position)
            .map_err(|why| sled::Error::Unsupported(why.to_string()))?;
        batch.insert(POSITION, position);
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Runtime;

    use super::*;

    #[test]
    fn a_writer_waits_for_a_checkpoint_far_behind_and_not_for_one_that_ended() {
        let backlog = Arc::new(Backlog {
            waiting: Mutex::new(Some(0)),
            less: Condvar::new(),
        });
        backlog.add(BACKLOG);
        backlog.add(1);
        let runtime = Runtime::new().unwrap();
        let add = || {
            let backlog = Arc::clone(&backlog);
            runtime.spawn_blocking(move || backlog.add(1))
        };
        runtime.block_on(async {
            let waits = add();
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!waits.is_finished());
            backlog.done(BACKLOG);
            waits.await.unwrap();
            assert_eq!(*backlog.waiting(), Some(2));
            backlog.add(BACKLOG);
            let waits = add();
            backlog.end();
            waits.await.unwrap();
            backlog.add(BACKLOG);
        });
    }
}

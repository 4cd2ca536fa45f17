//! The log for a receiver elsewhere: all that is durable, in its order, and how far it came.
//!
//! What was given counts once the receiver has it; a crash between the two gives it again, so a
//! receiver may see an entry twice and misses none but those that were removed before they were given,
//! which are told.

use std::{fs, io, path::PathBuf};

use super::{
    files::{AuditFiles, write_whole},
    follow::{Followed, Follower},
};
use crate::ledger::LogError;

/// Entries that are given at once.
const BATCH: usize = 512;

/// Gives a log to one receiver.
#[derive(Debug)]
pub struct Feed {
    files: AuditFiles,
    follower: Follower,
    /// Where it is noted how far the receiver is.
    note: PathBuf,
}

impl Feed {
    /// Goes on for the receiver `name` where it stopped; from the oldest entry on for a new one.
    ///
    /// # Errors
    /// When it is noted how far it came, and that cannot be read.
    pub fn open(files: AuditFiles, name: &str) -> io::Result<Self> {
        let note = files.dir().join(format!("sink.{name}"));
        let noted = match fs::read_to_string(&note) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(why),
            Ok(text) => {
                let done = text.trim_ascii_end().parse().ok();
                let done = done.filter(|done| *done <= files.written());
                if done.is_none() {
                    tracing::warn!(
                        path = %note.display(),
                        "it is noted that a receiver has what this log has not: it gets all of it again"
                    );
                }
                done
            }
        };
        let done = match noted {
            Some(done) => done,
            // What was removed before it was asked for is not missed.
            None => {
                let first = files.segments()?.first().map_or(1, |it| it.first);
                first.saturating_sub(1)
            }
        };
        Ok(Self {
            follower: Follower::after(files.clone(), done),
            files,
            note,
        })
    }

    /// What is durable and was not given yet, some of it; none: there is nothing new.
    ///
    /// # Errors
    /// [`LogError`] when a file cannot be read.
    pub fn more(&mut self) -> Result<Vec<Followed>, LogError> {
        self.follower.more(self.files.written(), BATCH)
    }

    /// How many entries are durable and were not given yet.
    pub fn behind(&self) -> u64 {
        let until = self.files.written() + 1;
        until.saturating_sub(self.follower.next())
    }

    /// The receiver has all that was given.
    ///
    /// # Errors
    /// When that cannot be noted; it would be given again after a restart.
    pub fn arrived(&self) -> io::Result<()> {
        let done = self.follower.next().saturating_sub(1);
        write_whole(&self.note, format!("{done}\n").as_bytes())
    }
}

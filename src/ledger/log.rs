//! A log that is open for writing: found sound, held by this process, ready to go on.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::{Disk, Lock},
    frame::Chain,
    recover::{self, Recovery},
    segment::{self, Epoch, Tail},
    writer::{self, Appender, Apply, Writer},
};

/// The file that one process at a time holds.
const LOCK: &str = "lock";

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// A segment that has this many bytes is followed by a new one.
    pub segment_bytes: u64,
    /// Begin a new epoch: what was written after this state elsewhere is not this log's future.
    pub new_epoch: bool,
    /// Segments before those that are here were put away elsewhere, with another's knowledge.
    pub begins_anywhere: bool,
    /// Appends that may wait for the writer, each of up to [`super::MAX_PAYLOAD`].
    pub queue: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            new_epoch: false,
            begins_anywhere: false,
            // More than one group of a busy server; a longer queue would only add to the wait.
            queue: 1024,
        }
    }
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refuses.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was on the disk is not what was written.
    #[error(
        "`{}` is damaged at byte {offset}: {why}; restore a backup, or move the file away to give up what follows it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// How it was noticed.
        why: String,
    },
    /// A later version wrote it.
    #[error("`{}` has format {found}, and this program reads format {}: use the program that wrote it", path.display(), segment::VERSION)]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it says it has.
        found: u32,
    },
    /// Another process has it.
    #[error("`{}` is held by another process: stop it, or give another data directory", .0.display())]
    Locked(PathBuf),
}

impl LogError {
    /// What the disk refused to do, with which file.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn damaged(path: &Path, offset: u64, why: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            offset,
            why: why.into(),
        }
    }
}

/// A log that is open, before anything is appended.
pub struct Log {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) tail: Tail,
    pub(super) options: LogOptions,
    /// Everything before this sequence is durable.
    pub(super) durable: u64,
    pub(super) stopped: Option<String>,
    _lock: Lock,
}

/// A log, and how it was found.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: Log,
    /// How it was found.
    pub recovery: Recovery,
}

/// A log that no other process has from now on, before it was looked at.
pub struct Held {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    lock: Lock,
}

impl Held {
    /// Opens the log, or begins one; checks every record of it.
    ///
    /// Half-written records at the end, which nobody was told are durable, are cut off and told.
    ///
    /// # Errors
    /// [`LogError`]: nothing that was durable may be missing or changed.
    pub fn open(self, options: LogOptions) -> Result<Opened, LogError> {
        let Self { disk, dir, lock } = self;
        let (recovery, tail) = recover::recover(&*disk, &dir, options)?;
        let log = Log {
            disk,
            dir,
            durable: tail.chain.sequence + 1,
            stopped: None,
            tail,
            options,
            _lock: lock,
        };
        Ok(Opened { log, recovery })
    }
}

impl Log {
    /// Holds the log in `dir` and opens it, as [`Held::open`] does.
    ///
    /// # Errors
    /// As of [`Self::hold`] and [`Held::open`].
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: LogOptions) -> Result<Opened, LogError> {
        Self::hold(disk, dir)?.open(options)
    }

    /// Holds the log in `dir` for this process alone.
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process has it.
    pub fn hold(disk: Arc<dyn Disk>, dir: &Path) -> Result<Held, LogError> {
        disk.make_dir(dir)
            .map_err(LogError::io("make the folder", dir))?;
        let held = dir.join(LOCK);
        let lock = disk.lock(&held).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => LogError::Locked(dir.to_owned()),
            _ => LogError::io("lock", &held)(source),
        })?;
        let dir = dir.to_owned();
        Ok(Held { disk, dir, lock })
    }

    /// Its end: where the next record goes on.
    pub fn chain(&self) -> Chain {
        self.tail.chain
    }

    /// Its epoch.
    pub fn epoch(&self) -> Epoch {
        self.tail.epoch
    }

    /// Takes appends from now on; `apply` sees every record once it is durable.
    ///
    /// The writer does nothing until its `run` is called on a thread of its own.
    pub fn start<A: Apply>(self, apply: A) -> (Appender<A::Outcome>, Writer<A>) {
        writer::start(self, apply)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .field("chain", &self.tail.chain.sequence)
            .finish_non_exhaustive()
    }
}

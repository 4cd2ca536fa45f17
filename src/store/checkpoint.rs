//! The checkpoint: a version on the disk, so that a start need not replay the ledger.
//!
//! It is a copy and never the truth. sled 0.34 may not open what a crash left (`snap.*.generating`),
//! and its `flush` is no fsync; so it is held against the ledger and against a sum over all entries,
//! and set aside and made anew when anything differs. One thread writes it.

mod entries;
mod load;
mod task;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use super::{health::Health, open::Both, version::Version};
use entries::Position;
use load::load;
pub(super) use task::Checkpoint;
pub use task::CheckpointTask;

/// The folder in the data directory.
pub(super) const DIR: &str = "checkpoint";
/// Bytes that sled may hold: everything is in memory already, in a smaller form.
const CACHE: u64 = 64 * 1024 * 1024;
/// How often a held lock is tried again; sled lets go of it late.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(100);

/// A checkpoint that was opened.
pub(super) struct Opened {
    pub(super) checkpoint: Checkpoint,
    pub(super) task: CheckpointTask,
    /// What it holds; `None`: it is new, or was set aside.
    pub(super) version: Option<Version>,
}

/// What was found in the checkpoint's folder.
pub(super) struct Found {
    dir: PathBuf,
    held: Result<(sled::Db, Option<(Version, Position)>), String>,
}

/// Reads the checkpoint in `data`, or begins one.
pub(super) fn read(data: &Path, both: Both) -> Found {
    let dir = data.join(DIR);
    let held = try_open(&dir).and_then(|db| {
        let loaded = load(&db, both)?;
        Ok((db, loaded))
    });
    Found { dir, held }
}

impl Found {
    /// Goes on from it where `fits` says that it is of this ledger, else makes it anew.
    ///
    /// # Errors
    /// When not even an empty one can be had.
    pub(super) fn open(
        self,
        fits: impl Fn(&Version) -> bool,
        health: Arc<Health>,
    ) -> Result<Opened, String> {
        let Self { dir, held } = self;
        let held = held.and_then(|(db, found)| match found {
            Some((version, _)) if !fits(&version) => Err("it is not of this ledger".to_owned()),
            found => Ok((db, found)),
        });
        let (db, found) = match held {
            Ok(held) => held,
            Err(why) => {
                let aside = set_aside(&dir).map_err(|again| format!("{why}, and then: {again}"))?;
                tracing::warn!(
                    why,
                    aside = %aside.display(),
                    "the checkpoint cannot be used: it is set aside and made anew from the ledger"
                );
                (try_open(&dir)?, None)
            }
        };
        let (version, position) = match found {
            Some((version, position)) => (Some(version), position),
            None => (None, Position::default()),
        };
        let (checkpoint, task) = task::start(db, position, health);
        Ok(Opened {
            checkpoint,
            task,
            version,
        })
    }
}

/// Opens sled, whatever it does with what it finds.
fn try_open(dir: &Path) -> Result<sled::Db, String> {
    if let Ok(entries) = fs::read_dir(dir) {
        let names = entries.flatten().map(|it| it.file_name());
        let is_half = |name: &std::ffi::OsString| name.to_string_lossy().ends_with(".generating");
        if names.into_iter().any(|name| is_half(&name)) {
            return Err("a crash left half a snapshot of it".to_owned());
        }
    }
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(CACHE)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    let mut tries = 0;
    loop {
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened {
            Err(_) => return Err("opening it panics".to_owned()),
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(why)) if tries < TRIES && why.to_string().contains("lock") => {
                tries += 1;
                thread::sleep(BETWEEN);
            }
            Ok(Err(why)) => return Err(why.to_string()),
        }
    }
}

fn set_aside(dir: &Path) -> std::io::Result<PathBuf> {
    let aside = (1..).map(|n| dir.with_extension(format!("damaged-{n}")));
    let free = { aside }.find(|it| !it.exists());
    let aside = free.unwrap_or_else(|| dir.with_extension("damaged"));
    fs::rename(dir, &aside)?;
    Ok(aside)
}

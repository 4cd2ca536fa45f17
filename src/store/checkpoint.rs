//! The checkpoint: a version on the disk, so that a start need not replay the ledger.
//!
//! It is a copy and never the truth. sled 0.34 may not open what a crash left (`snap.*.generating`),
//! and its `flush` is no fsync; so it is held against the ledger and against a sum over all entries,
//! and set aside and made anew when anything differs. One thread writes it.

mod entries;
mod task;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use super::{
    health::Health,
    version::{Directory, Version},
};
use crate::ledger::{Chain, Epoch, record::Revocation};
use entries::{ENTITY, FORMAT, POSITION, Position, REVOCATION, read_key, read_value, sum};
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
pub(super) fn read(data: &Path) -> Found {
    let dir = data.join(DIR);
    let held = try_open(&dir).and_then(|db| {
        let loaded = load(&db)?;
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

/// What it holds, if it holds a whole version.
fn load(db: &sled::Db) -> Result<Option<(Version, Position)>, String> {
    let loaded = catch_unwind(AssertUnwindSafe(|| try_load(db)));
    loaded.unwrap_or_else(|_| Err("reading it panics".to_owned()))
}

fn try_load(db: &sled::Db) -> Result<Option<(Version, Position)>, String> {
    let text = |why: sled::Error| why.to_string();
    let Some(position) = db.get(POSITION).map_err(text)? else {
        return match db.is_empty() {
            true => Ok(None),
            false => Err("it was not written to its end".to_owned()),
        };
    };
    let position: Position = serde_json::from_slice(&position).map_err(|why| why.to_string())?;
    if position.format != FORMAT {
        return Err(format!("its format is {}", position.format));
    }
    let mut version = Version {
        chain: Chain {
            sequence: position.sequence,
            hash: position.hash,
        },
        epochs: position
            .epochs
            .iter()
            .map(|(id, from)| Epoch {
                id: *id,
                from: *from,
            })
            .collect(),
        ..Version::default()
    };
    version.revocations.restored = position.restored.clone();
    let mut total = 0_u64;
    let mut here: Option<(Arc<str>, Directory)> = None;
    for entry in db.iter() {
        let (key, value) = entry.map_err(text)?;
        let Some((kind, rest)) = key.split_first() else {
            continue;
        };
        match *kind {
            ENTITY => {
                let (bundle, key) = read_key(rest).ok_or("a key of no known form")?;
                let stored = read_value(&value).ok_or("a value of no known form")?;
                if here.as_ref().is_none_or(|(name, _)| **name != *bundle)
                    && let Some((name, done)) = here.replace((bundle.into(), Default::default()))
                {
                    version.directories.insert_mut(name, done);
                }
                if let Some((_, directory)) = &mut here {
                    directory.set(&key, Some(Arc::new(stored)));
                }
            }
            REVOCATION => {
                let revocation: Revocation =
                    serde_json::from_slice(rest).map_err(|why| why.to_string())?;
                version.revocations.add(revocation);
            }
            _ => continue,
        }
        total = total.wrapping_add(sum(&key, &value));
    }
    if let Some((name, done)) = here {
        version.directories.insert_mut(name, done);
    }
    match total == position.sum {
        true => Ok(Some((version, position))),
        false => Err("its entries are not those that were written".to_owned()),
    }
}

//! The checkpoint: a version on the disk, so that a start need not replay the ledger.
//!
//! It is a copy and never the truth. sled 0.34 may not open what a crash left (`snap.*.generating`),
//! and its `flush` is no fsync; so it is held against the ledger and against a sum over all entries,
//! and set aside and made anew when anything differs. One thread writes it.

use std::{
    fmt, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    apply::Delta,
    health::{Health, Part},
    version::{Filling, Key, Stored, Version},
};
use crate::ledger::{
    Chain, Epoch,
    record::{Restored, Revocation},
};

/// The folder in the data directory.
pub(super) const DIR: &str = "checkpoint";
/// Bytes that sled may hold: everything is in memory already, in a smaller form.
const CACHE: u64 = 64 * 1024 * 1024;
/// How often a held lock is tried again; sled lets go of it late.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(100);
/// Groups of changes that may wait; a writer that is this far ahead waits for the checkpoint.
const QUEUE: usize = 64;
/// Entries written together when the checkpoint is made anew.
const CHUNK: usize = 10_000;

const POSITION: &[u8] = b"p";
const ENTITY: u8 = b'e';
const REVOCATION: u8 = b'r';
const FORMAT: u32 = 2;

/// Where the checkpoint stands.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    format: u32,
    sequence: u64,
    hash: [u8; 32],
    epochs: Vec<(u64, u64)>,
    restored: Option<Restored>,
    /// The sum over all other entries.
    sum: u64,
}

/// What the checkpoint's thread is told.
enum Job {
    /// Write everything.
    All(Arc<Version>),
    /// Write what a group changed.
    Changes(Arc<Version>, Vec<Delta>),
}

/// Tells the checkpoint's thread what changed.
pub(super) struct Checkpoint {
    jobs: mpsc::SyncSender<Job>,
}

/// Writes the checkpoint. Run it on a thread of its own.
pub struct CheckpointTask {
    db: sled::Db,
    jobs: mpsc::Receiver<Job>,
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
        let held = match held {
            Ok((_, Some((version, _)))) if !fits(&version) => {
                Err("it is not of this ledger".to_owned())
            }
            held => held,
        };
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
        let (sender, jobs) = mpsc::sync_channel(QUEUE);
        Ok(Opened {
            checkpoint: Checkpoint { jobs: sender },
            task: CheckpointTask {
                db,
                jobs,
                position,
                health,
                broken: false,
            },
            version,
        })
    }
}

impl Checkpoint {
    /// Has everything written.
    pub(super) fn all(&self, version: Arc<Version>) {
        // Without its thread there is no checkpoint, and the next start replays the ledger.
        let _gone = self.jobs.send(Job::All(version));
    }

    /// Has written what led to `version`.
    pub(super) fn changes(&self, version: Arc<Version>, deltas: Vec<Delta>) {
        let _gone = self.jobs.send(Job::Changes(version, deltas));
    }
}

impl CheckpointTask {
    /// Writes until nobody is left who could tell it of changes.
    pub fn run(mut self) {
        while let Ok(job) = self.jobs.recv() {
            if self.broken {
                continue;
            }
            // sled may panic where the disk refuses.
            let done = catch_unwind(AssertUnwindSafe(|| match job {
                Job::All(version) => self.all(&version),
                Job::Changes(version, deltas) => self.changes(&version, deltas),
            }));
            let trouble = match done {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why.to_string(),
                Err(_) => "writing it panics".to_owned(),
            };
            // What it holds is a version still, only an old one. It is not tried again: what sled
            // makes of a failed write is unknown.
            self.health.set(Part::Checkpoint, Some(trouble));
            self.broken = true;
        }
        if let Err(why) = self.db.flush() {
            tracing::warn!(%why, "the checkpoint may lack its last changes");
        }
    }

    fn all(&mut self, version: &Version) -> Result<(), sled::Error> {
        self.db.clear()?;
        self.position = Position::default();
        let entities = version
            .directories
            .iter()
            .flat_map(|(bundle, directory)| directory.iter().map(move |it| (bundle, it)))
            .map(|(bundle, (key, stored))| (entity_key(bundle, key), entity_value(stored)));
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
        for delta in deltas {
            let (key, old, new) = match delta {
                Delta::Entity {
                    bundle,
                    key,
                    old,
                    new,
                } => (
                    entity_key(&bundle, &key),
                    old.as_deref().map(entity_value),
                    new.as_deref().map(entity_value),
                ),
                Delta::Revocation(revocation) => {
                    let (key, value) = revocation_entry(&revocation);
                    match self.db.contains_key(&key)? {
                        true => continue,
                        false => (key, None, Some(value)),
                    }
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
    let mut here: Option<(Arc<str>, Filling)> = None;
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
                    version.directories.insert_mut(name, done.done());
                }
                if let Some((_, filling)) = &mut here {
                    filling.add(key, stored);
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
        version.directories.insert_mut(name, done.done());
    }
    match total == position.sum {
        true => Ok(Some((version, position))),
        false => Err("its entries are not those that were written".to_owned()),
    }
}

/// A number of one entry, so that those of all can be added up in any order.
fn sum(key: &[u8], value: &[u8]) -> u64 {
    let mut low = crc32fast::Hasher::new();
    low.update(key);
    low.update(value);
    let mut high = crc32fast::Hasher::new_with_initial(0x5EED);
    high.update(value);
    high.update(key);
    u64::from(high.finalize()) << 32 | u64::from(low.finalize())
}

fn revocation_entry(revocation: &Revocation) -> (Vec<u8>, Vec<u8>) {
    let mut key = vec![REVOCATION];
    key.extend(serde_json::to_vec(revocation).unwrap_or_default());
    (key, Vec::new())
}

/// Entries are in the order of keys, so that a directory is read in its order. Only an id, which is
/// the rest, may have a zero byte.
fn entity_key(bundle: &str, key: &Key) -> Vec<u8> {
    let mut bytes = vec![ENTITY];
    for part in [bundle, key.type_name.as_str()] {
        bytes.extend(part.as_bytes());
        bytes.push(0);
    }
    bytes.extend(key.id.as_bytes());
    bytes
}

fn read_key(bytes: &[u8]) -> Option<(&str, Key)> {
    let mut parts = std::str::from_utf8(bytes).ok()?.splitn(3, '\0');
    let (bundle, type_name, id) = (parts.next()?, parts.next()?, parts.next()?);
    Some((bundle, Key::new(type_name, id)))
}

fn entity_value(stored: &Stored) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + stored.attributes.len());
    for number in [stored.changed, stored.born, stored.stamp] {
        bytes.extend(number.to_le_bytes());
    }
    put_text(&mut bytes, &stored.attributes);
    for parent in &stored.parents {
        put_text(&mut bytes, &parent.type_name);
        put_text(&mut bytes, &parent.id);
    }
    bytes
}

fn read_value(mut bytes: &[u8]) -> Option<Stored> {
    let mut number = || {
        let (number, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        Some(u64::from_le_bytes(*number))
    };
    let (changed, born, stamp) = (number()?, number()?, number()?);
    let attributes = take_text(&mut bytes)?.into();
    let mut parents = Vec::new();
    while !bytes.is_empty() {
        let (type_name, id) = (take_text(&mut bytes)?, take_text(&mut bytes)?);
        parents.push(Key::new(type_name, id));
    }
    Some(Stored {
        attributes,
        parents: parents.into(),
        changed,
        born,
        stamp,
    })
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn take_text<'b>(bytes: &mut &'b [u8]) -> Option<&'b str> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (text, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

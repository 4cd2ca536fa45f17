//! A version of what the checkpoint holds: one thread reads, another makes entities of it.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
};

use sled::IVec;

use super::entries::{ENTITY, FORMAT, POSITION, Position, REVOCATION, read_key, sum};
use crate::{
    ledger::{Chain, Epoch},
    store::{Stored, directory::Directory, open::Both, version::Version},
};

/// Entries that are handed on together.
const CHUNK: usize = 1_000;

/// What it holds, if it holds a whole version.
pub(super) fn load(db: &sled::Db, both: Both) -> Result<Option<(Version, Position)>, String> {
    let loaded = catch_unwind(AssertUnwindSafe(|| try_load(db, both)));
    loaded.unwrap_or_else(|_| Err("reading it panics".to_owned()))
}

fn try_load(db: &sled::Db, both: Both) -> Result<Option<(Version, Position)>, String> {
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
    let (sender, chunks) = mpsc::channel();
    let (mut sender, mut chunks) = (Some(sender), Some(chunks));
    let mut loading = Loading::of(&position);
    let (mut scanned, mut loaded) = (Ok(()), Ok(()));
    both(
        &mut || scanned = sender.take().map_or(Ok(()), |chunks| scan(db, &chunks)),
        &mut || loaded = chunks.take().map_or(Ok(()), |chunks| loading.all(chunks)),
    );
    scanned.map_err(text)?;
    loaded?;
    let version = loading.end(&position)?;
    Ok(Some((version, position)))
}

/// Reads all entries, in the order of their keys, while someone else makes a version of them.
fn scan(db: &sled::Db, chunks: &mpsc::Sender<Vec<(IVec, IVec)>>) -> Result<(), sled::Error> {
    let mut entries = db.iter();
    loop {
        let chunk: Vec<_> = entries.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
        // Whoever no longer listens has found something that is not right.
        if chunk.is_empty() || chunks.send(chunk).is_err() {
            return Ok(());
        }
    }
}

/// A version that is being made of entries.
struct Loading<'p> {
    version: Version,
    counts: &'p BTreeMap<String, usize>,
    sum: u64,
    /// The bundle whose entities come now.
    here: Option<(Arc<str>, Directory)>,
}

impl<'p> Loading<'p> {
    fn of(position: &'p Position) -> Self {
        let epochs = position.epochs.iter();
        let mut version = Version {
            chain: Chain {
                sequence: position.sequence,
                hash: position.hash,
            },
            epochs: epochs
                .map(|(id, from)| Epoch {
                    id: *id,
                    from: *from,
                })
                .collect(),
            ..Version::default()
        };
        version.revocations.restored = position.restored.clone();
        Self {
            version,
            counts: &position.entities,
            sum: 0,
            here: None,
        }
    }

    fn all(&mut self, chunks: mpsc::Receiver<Vec<(IVec, IVec)>>) -> Result<(), String> {
        let mut entries = chunks.into_iter().flatten();
        entries.try_for_each(|(key, value)| self.entry(&key, &value))
    }

    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match key.split_first() {
            Some((&ENTITY, rest)) => self.entity(rest, value)?,
            Some((&REVOCATION, rest)) => {
                let revocation = serde_json::from_slice(rest).map_err(|why| why.to_string())?;
                self.version.revocations.add(revocation);
            }
            _ => return Ok(()),
        }
        self.sum = self.sum.wrapping_add(sum(key, value));
        Ok(())
    }

    fn entity(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let (bundle, key) = read_key(key).ok_or("a key of no known form")?;
        let stored = Stored::read(key, value).ok_or("a value of no known form")?;
        match &mut self.here {
            Some((name, directory)) if **name == *bundle => directory.take_in(stored),
            _ => {
                self.end_bundle();
                let room = self.counts.get(bundle).copied().unwrap_or_default();
                let mut directory = Directory::with_room(room);
                directory.take_in(stored);
                self.here = Some((bundle.into(), directory));
            }
        }
        Ok(())
    }

    fn end_bundle(&mut self) {
        if let Some((name, directory)) = self.here.take() {
            self.version
                .directories
                .insert_mut(name, Arc::new(directory));
        }
    }

    fn end(mut self, position: &Position) -> Result<Version, String> {
        self.end_bundle();
        match self.sum == position.sum {
            true => Ok(self.version),
            false => Err("its entries are not those that were written".to_owned()),
        }
    }
}

//! One state of everything that is stored.

use std::{fmt, sync::Arc};

use rpds::HashTrieMapSync;
use smol_str::SmolStr;

use super::revocations::Revocations;
use crate::{
    ledger::{Chain, Epoch},
    model::{EntityRef, Revision},
};

/// Everything that is stored, after one record of the ledger.
#[derive(Clone, Default)]
pub struct Version {
    pub(super) directories: HashTrieMapSync<Arc<str>, Directory>,
    pub(super) revocations: Revocations,
    pub(super) chain: Chain,
    /// Every epoch that has records, in their order.
    pub(super) epochs: Arc<[Epoch]>,
    pub(super) revision: Revision,
    /// Records and entities since the ledger was last compacted.
    pub(super) since_snapshot: usize,
}

/// The stored entities of one bundle.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    pub(super) entities: HashTrieMapSync<Key, Arc<Stored>>,
}

/// Names a stored entity: its full type name, and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The full type name.
    pub type_name: SmolStr,
    /// The id.
    pub id: SmolStr,
}

/// A stored entity, as small as it can be held.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// A JSON object.
    pub attributes: Box<str>,
    /// Its parents as they were stated.
    pub parents: Box<[Key]>,
    /// The sequence of the record that changed it last.
    pub changed: u64,
    /// The sequence of the record that made it, since it was last absent.
    pub born: u64,
    /// The fingerprint of the schema types that it passed when it was written.
    pub stamp: u64,
}

impl Version {
    /// The stored entities of a bundle.
    pub fn directory(&self, bundle: &str) -> Option<&Directory> {
        self.directories.get(bundle)
    }

    /// What was revoked.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// By what callers know this version.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The last record that it follows from.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// How many entities there are, in all bundles.
    pub fn entities(&self) -> usize {
        self.directories.values().map(Directory::len).sum()
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version")
            .field("sequence", &self.chain.sequence)
            .field("entities", &self.entities())
            .finish_non_exhaustive()
    }
}

impl FromIterator<(Key, Stored)> for Directory {
    fn from_iter<I: IntoIterator<Item = (Key, Stored)>>(entities: I) -> Self {
        let shared = entities.into_iter().map(|(key, it)| (key, Arc::new(it)));
        Self {
            entities: shared.collect(),
        }
    }
}

impl Directory {
    /// An entity.
    pub fn get(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.entities.get(key)
    }

    /// Every entity, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Stored>)> {
        self.entities.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entities.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// Whether `child` is still in a parent that it names: not after that parent was removed, even if
    /// one of its name was stored later. `stored_type` tells whether such parents are stored here.
    pub fn is_in(&self, child: &Stored, parent: &Key, stored_type: bool) -> bool {
        match self.get(parent) {
            Some(parent) => parent.born <= child.changed,
            None => !stored_type,
        }
    }

    /// The first `limit` entities after `after`, in the order of their keys, that pass `filter`.
    pub fn page(
        &self,
        after: Option<&Key>,
        limit: usize,
        filter: impl Fn(&Key, &Stored) -> bool,
    ) -> Vec<(Key, Arc<Stored>)> {
        let later = self
            .iter()
            .filter(|(key, stored)| after.is_none_or(|after| *key > after) && filter(key, stored));
        // A heap of the smallest keys: only an operator asks, and seldom.
        let mut smallest = std::collections::BinaryHeap::new();
        for (key, _) in later {
            if smallest.len() < limit {
                smallest.push(key);
            } else if smallest.peek().is_some_and(|largest| key < largest) {
                smallest.pop();
                smallest.push(key);
            }
        }
        let sorted = smallest.into_sorted_vec();
        let found = sorted.into_iter().filter_map(|key| {
            let stored = self.get(key)?;
            Some((key.clone(), Arc::clone(stored)))
        });
        found.collect()
    }
}

impl Key {
    /// Names an entity.
    pub fn new(type_name: &str, id: &str) -> Self {
        Self {
            type_name: SmolStr::new(type_name),
            id: SmolStr::new(id),
        }
    }

    /// The same in words of callers.
    pub fn entity(&self) -> EntityRef {
        EntityRef::new(self.type_name.as_str(), self.id.as_str())
    }
}

impl fmt::Debug for Stored {
    /// Attributes are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}

//! One state of everything that is stored.

use std::{
    fmt,
    ops::Bound,
    sync::{Arc, OnceLock},
};

use rpds::HashTrieMapSync;
use smol_str::SmolStr;

use super::{order::Order, revocations::Revocations};
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
    /// Why a later record cannot be read, if there is one: what was revoked is then unknown.
    pub(super) unreadable: Option<Arc<str>>,
}

/// The stored entities of one bundle.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    entities: HashTrieMapSync<Key, Arc<Stored>>,
    /// Made when someone first asks for it, which no decision does, and kept from then on.
    order: Arc<OnceLock<Order>>,
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

    /// Why nothing may be decided by it, if so: a record that comes after it cannot be read, and may
    /// be a revocation.
    pub fn unreadable(&self) -> Option<&Arc<str>> {
        self.unreadable.as_ref()
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
        let mut directory = Self::default();
        for (key, stored) in entities {
            directory.set(&key, Some(Arc::new(stored)));
        }
        directory
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

    /// Every entity, in the order of their keys.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&Key, &Arc<Stored>)> {
        let keys = self.order().onward(Bound::Unbounded);
        keys.filter_map(|key| Some((key, self.get(key)?)))
    }

    /// The first `limit` entities after `after`, of one type or of all, in the order of their keys,
    /// that pass `filter`; no other entities before the last of them are looked at.
    pub fn page(
        &self,
        type_name: Option<&str>,
        after: Option<&Key>,
        limit: usize,
        filter: impl Fn(&Key, &Stored) -> bool,
    ) -> Vec<(Key, Arc<Stored>)> {
        let first = type_name.map(|name| Key::new(name, ""));
        let begin = match (after, &first) {
            (Some(after), Some(first)) if after < first => Bound::Included(first),
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        let keys = self.order().onward(begin);
        let of_type = keys.take_while(|key| type_name.is_none_or(|name| key.type_name == name));
        let found = of_type.filter_map(|key| {
            let stored = self.get(key)?;
            filter(key, stored).then(|| (key.clone(), Arc::clone(stored)))
        });
        found.take(limit).collect()
    }

    /// The keys in their order; of a million it takes a second, once.
    fn order(&self) -> &Order {
        let make = || Order::of(self.entities.keys().cloned().collect());
        self.order.get_or_init(make)
    }

    /// Puts an entity in its place, or takes it away.
    pub(super) fn set(&mut self, key: &Key, stored: Option<Arc<Stored>>) {
        let order = Arc::make_mut(&mut self.order).get_mut();
        match stored {
            Some(stored) => {
                if let Some(order) = order
                    && !self.entities.contains_key(key)
                {
                    order.add(key);
                }
                self.entities.insert_mut(key.clone(), stored);
            }
            None => {
                let was_there = self.entities.remove_mut(key);
                if let Some(order) = order.filter(|_| was_there) {
                    order.remove(key);
                }
            }
        }
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

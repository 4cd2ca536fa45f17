//! The stored entities of one bundle, in one version.
//!
//! Nearly all of them are in a table that versions share whole, where one look finds an entity; what
//! has changed since the table was made is in a persistent map before it. Once that is a good part of
//! all, a new table is made of both, so a change costs little however many there are.

use std::{
    fmt,
    hash::BuildHasher,
    ops::Bound,
    sync::{Arc, OnceLock},
};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};
use rpds::HashTrieMapSync;

use super::{
    order::Order,
    stored::{Key, KeyRef, Stored},
};

/// Changes for which no table is made.
const FEW: usize = if cfg!(test) { 8 } else { 4_096 };
/// A table is made when the changes are one in so many of its entities.
const PART: usize = 4;

/// The stored entities of one bundle.
#[derive(Clone, Default)]
pub struct Directory {
    table: Arc<Table>,
    /// What has changed since the table was made; `None` is gone.
    changed: HashTrieMapSync<Key, Option<Stored>, RandomState>,
    count: usize,
    /// Made when someone first asks for it, which no decision does, and kept from then on.
    order: Arc<OnceLock<Order>>,
}

/// Entities, found by their keys.
#[derive(Clone, Default)]
struct Table {
    entities: HashTable<Stored>,
    hashes: RandomState,
}

impl Table {
    fn get(&self, key: KeyRef<'_>) -> Option<&Stored> {
        let hash = self.hashes.hash_one(key);
        self.entities.find(hash, |it| it.key() == key)
    }

    fn put(&mut self, stored: Stored) {
        let Self { entities, hashes } = self;
        let hash = hashes.hash_one(stored.key());
        let is_it = |it: &Stored| it.key() == stored.key();
        match entities.entry(hash, is_it, |it| hashes.hash_one(it.key())) {
            Entry::Occupied(mut place) => *place.get_mut() = stored,
            Entry::Vacant(place) => drop(place.insert(stored)),
        }
    }

    fn remove(&mut self, key: KeyRef<'_>) {
        let hash = self.hashes.hash_one(key);
        if let Ok(found) = self.entities.find_entry(hash, |it| it.key() == key) {
            found.remove();
        }
    }
}

impl Directory {
    /// An entity.
    pub fn get<'k>(&self, key: impl Into<KeyRef<'k>>) -> Option<&Stored> {
        let key = key.into();
        let changed = match self.changed.is_empty() {
            true => None,
            false => self.changed.get(&key.to_key()),
        };
        match changed {
            Some(changed) => changed.as_ref(),
            None => self.table.get(key),
        }
    }

    /// Every entity, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Stored> {
        let table = self.table.entities.iter();
        let has_changed = |it: &Stored| self.changed.contains_key(&it.key().to_key());
        let unchanged = table.filter(move |it| self.changed.is_empty() || !has_changed(it));
        unchanged.chain(self.changed.values().flatten())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `child` is still in a parent that it names: not after that parent was removed, even if
    /// one of its name was stored later. `stored_type` tells whether such parents are stored here.
    pub fn is_in(&self, child: &Stored, parent: KeyRef<'_>, stored_type: bool) -> bool {
        self.holds_since(parent, stored_type) <= child.changed()
    }

    /// Since which record an entity that names `parent` is in it, as of [`Self::is_in`].
    pub fn holds_since(&self, parent: KeyRef<'_>, stored_type: bool) -> u64 {
        match (self.get(parent), stored_type) {
            (Some(parent), _) => parent.born(),
            (None, true) => u64::MAX,
            (None, false) => 0,
        }
    }

    /// Every entity, in the order of their keys.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Stored> {
        let keys = self.order().onward(Bound::Unbounded);
        keys.filter_map(|key| self.get(key))
    }

    /// The first `limit` entities after `after`, of one type or of all, in the order of their keys,
    /// that pass `filter`; no other entities before the last of them are looked at.
    pub fn page(
        &self,
        type_name: Option<&str>,
        after: Option<&Key>,
        limit: usize,
        filter: impl Fn(&Stored) -> bool,
    ) -> Vec<Stored> {
        let first = type_name.map(|name| Key::new(name, ""));
        let begin = match (after, &first) {
            (Some(after), Some(first)) if after < first => Bound::Included(first),
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        let keys = self.order().onward(begin);
        let of_type = keys.take_while(|key| type_name.is_none_or(|name| key.type_name == name));
        let found = of_type.filter_map(|key| self.get(key).filter(|stored| filter(stored)));
        found.take(limit).cloned().collect()
    }

    /// One that has room for so many entities.
    pub(super) fn with_room(count: usize) -> Self {
        let table = Table {
            entities: HashTable::with_capacity(count),
            ..Table::default()
        };
        Self {
            table: Arc::new(table),
            ..Self::default()
        }
    }

    /// Takes an entity into a directory that is only being made, which nobody else has: into its table
    /// at once.
    pub(super) fn take_in(&mut self, stored: Stored) {
        match Arc::get_mut(&mut self.table) {
            Some(table) => {
                table.put(stored);
                self.count = table.entities.len();
            }
            None => self.put(stored),
        }
    }

    /// The keys in their order; of a million it takes a second, once.
    fn order(&self) -> &Order {
        let make = || Order::of(self.iter().map(|it| it.key().to_key()).collect());
        self.order.get_or_init(make)
    }

    /// Puts an entity in its place.
    pub(super) fn put(&mut self, stored: Stored) {
        let key = stored.key().to_key();
        if self.get(&key).is_none() {
            self.count += 1;
            if let Some(order) = self.made_order() {
                order.add(&key);
            }
        }
        self.changed.insert_mut(key, Some(stored));
        self.fold();
    }

    /// Takes an entity away, if it is there.
    pub(super) fn remove(&mut self, key: &Key) {
        if self.get(key).is_none() {
            return;
        }
        self.count -= 1;
        if let Some(order) = self.made_order() {
            order.remove(key);
        }
        match self.table.get(key.borrowed()) {
            Some(_) => self.changed.insert_mut(key.clone(), None),
            None => drop(self.changed.remove_mut(key)),
        }
        self.fold();
    }

    fn made_order(&mut self) -> Option<&mut Order> {
        Arc::make_mut(&mut self.order).get_mut()
    }

    /// Makes a new table when much has changed since this one was made.
    fn fold(&mut self) {
        if self.changed.size() <= FEW.max(self.table.entities.len() / PART) {
            return;
        }
        let table = Arc::make_mut(&mut self.table);
        for (key, changed) in self.changed.iter() {
            match changed {
                Some(stored) => table.put(stored.clone()),
                None => table.remove(key.borrowed()),
            }
        }
        self.changed = HashTrieMapSync::default();
    }
}

impl FromIterator<Stored> for Directory {
    /// Of two entities of one key, the latter stands.
    fn from_iter<I: IntoIterator<Item = Stored>>(entities: I) -> Self {
        let entities = entities.into_iter();
        let mut directory = Self::with_room(entities.size_hint().0);
        for stored in entities {
            directory.take_in(stored);
        }
        directory
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("entities", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ledger::testing::Dice;

    #[track_caller]
    fn check(directory: &Directory, model: &BTreeMap<Key, u64>) {
        let told = |it: &Stored| (it.key().to_key(), it.changed());
        assert_eq!(
            directory.iter().map(told).collect::<BTreeMap<_, _>>(),
            *model
        );
        assert_eq!(directory.iter().count(), model.len());
        assert_eq!(directory.len(), model.len());
        assert!(directory.in_order().map(told).eq(model.clone()));
        for (key, changed) in model {
            assert_eq!(directory.get(key).map(Stored::changed), Some(*changed));
        }
    }

    #[test]
    fn versions_are_what_a_plain_map_says_and_stay_so() {
        let mut dice = Dice::new(11);
        let (mut directory, mut model) = (Directory::default(), BTreeMap::new());
        let mut earlier = Vec::new();
        for step in 0..4_000 {
            let key = Key::new("T", &dice.below(150).to_string());
            match dice.percent(if step % 1_000 < 700 { 70 } else { 5 }) {
                true => {
                    directory.put(Stored::bare(&key, &[], step));
                    model.insert(key, step);
                }
                false => {
                    directory.remove(&key);
                    model.remove(&key);
                }
            }
            if step % 101 == 0 {
                check(&directory, &model);
                earlier.push((directory.clone(), model.clone()));
            }
        }
        for (directory, model) in &earlier {
            check(directory, model);
        }
        let again: Directory = directory.iter().cloned().collect();
        check(&again, &model);
    }
}

//! From one version to the next: total, deterministic, and the same however often it is done.

use std::{collections::HashSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    directory::Directory,
    stored::{Key, KeyRef, Stored, Unstored},
    version::Version,
};
use crate::ledger::{
    Chain, Entry,
    record::{Change, EntityChanges, Expect, LedgerRecord, Put, Revocation},
};

/// How far up a hierarchy of stored entities may go.
const MAX_DEPTH: usize = 64;
/// How many ancestors a stored entity may have.
const MAX_ANCESTORS: usize = 1_000;

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, all of it.
    Applied,
    /// Nothing was done: what it expects of the change of this number does not hold.
    Conflict(usize),
    /// Nothing was done: the change of this number would break the hierarchy.
    Refused(usize, &'static str),
    /// It is of no kind that changes anything here.
    Nothing,
}

/// One difference between two versions, for the checkpoint.
#[derive(Clone, Debug)]
pub(super) enum Delta {
    Entity {
        bundle: Arc<str>,
        key: Key,
        old: Option<Stored>,
        new: Option<Stored>,
    },
    Revocation(Revocation),
}

/// An entity as its facts are written.
#[derive(Serialize, Deserialize)]
pub(super) struct Facts<'a> {
    #[serde(borrow)]
    pub(super) attrs: &'a RawValue,
    pub(super) parents: Vec<Uid>,
}

/// An entity's name as it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct Uid {
    #[serde(rename = "type")]
    pub(super) type_name: smol_str::SmolStr,
    pub(super) id: smol_str::SmolStr,
}

impl Uid {
    pub(super) fn key(&self) -> KeyRef<'_> {
        KeyRef {
            type_name: &self.type_name,
            id: &self.id,
        }
    }
}

impl Version {
    /// Takes a record into account; one that it follows from already changes nothing.
    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        deltas: &mut Vec<Delta>,
    ) -> Result<Outcome, String> {
        if entry.sequence <= self.chain.sequence {
            return Ok(Outcome::Nothing);
        }
        let record = LedgerRecord::decode(&entry.payload)?;
        if self.epochs.last() != Some(&entry.epoch) {
            let known = self.epochs.iter().copied();
            self.epochs = known.chain([entry.epoch]).collect();
        }
        self.chain = Chain {
            sequence: entry.sequence,
            hash: entry.hash,
        };
        self.since_snapshot += 1;
        match record {
            LedgerRecord::Entities(changes) => self.change(&changes, entry.sequence, deltas),
            LedgerRecord::Revocation(revocation) => {
                self.revocations.add(revocation.clone());
                deltas.push(Delta::Revocation(revocation));
                Ok(Outcome::Applied)
            }
            LedgerRecord::Restored(restored) => {
                self.revocations.restore(restored);
                Ok(Outcome::Applied)
            }
            LedgerRecord::Publication(_) | LedgerRecord::Link(_) => Ok(Outcome::Nothing),
        }
    }

    /// All changes of a record, or none.
    fn change(
        &mut self,
        record: &EntityChanges,
        sequence: u64,
        deltas: &mut Vec<Delta>,
    ) -> Result<Outcome, String> {
        let bundle: Arc<str> = record.bundle.as_str().into();
        let before = self.directories.get(&bundle);
        let mut directory = before.map_or_else(Directory::default, |it| Directory::clone(it));
        let begun = deltas.len();
        let mut outcome = Outcome::Applied;
        for (n, change) in record.changes.iter().enumerate() {
            let key = Key::new(&change.type_name, &change.id);
            let old = directory.get(&key).cloned();
            if !holds(change, old.as_ref()) {
                outcome = Outcome::Conflict(n);
                break;
            }
            if change.type_name.contains('\0') {
                outcome = Outcome::Refused(n, "would be of a type that has no name");
                break;
            }
            let new = match &change.put {
                Some(put) => Some(stored(&key, put, old.as_ref(), sequence)?),
                None => None,
            };
            if let Some(why) = new
                .as_ref()
                .and_then(|new| check_hierarchy(&directory, new).err())
            {
                outcome = Outcome::Refused(n, why);
                break;
            }
            match &new {
                Some(new) => directory.put(new.clone()),
                None => directory.remove(&key),
            }
            if old.is_some() || new.is_some() {
                let bundle = Arc::clone(&bundle);
                deltas.push(Delta::Entity {
                    bundle,
                    key,
                    old,
                    new,
                });
            }
        }
        self.since_snapshot += record.changes.len();
        match outcome {
            Outcome::Applied => self.directories.insert_mut(bundle, Arc::new(directory)),
            _ => deltas.truncate(begun),
        }
        Ok(outcome)
    }
}

/// Whether what a change expects of its entity holds.
fn holds(change: &Change, old: Option<&Stored>) -> bool {
    match change.expect {
        Expect::Anything => true,
        Expect::Absent => old.is_none(),
        Expect::Present => old.is_some(),
        Expect::Unchanged(sequence) => old.is_some_and(|old| old.changed() == sequence),
    }
}

fn stored(key: &Key, put: &Put, old: Option<&Stored>, sequence: u64) -> Result<Stored, String> {
    let facts: Facts<'_> = serde_json::from_str(put.facts.get())
        .map_err(|why| format!("facts of no known form: {why}"))?;
    let of = Unstored {
        key: key.borrowed(),
        attributes: facts.attrs.get(),
        changed: sequence,
        born: old.map_or(sequence, Stored::born),
        stamp: put.stamp,
    };
    let stored = Stored::new(of, facts.parents.iter().map(Uid::key));
    stored.map_err(|why| why.to_string())
}

/// Whether an entity may have the parents that it names: no cycle, not too deep, not too many.
fn check_hierarchy(directory: &Directory, new: &Stored) -> Result<(), &'static str> {
    let mut found: HashSet<KeyRef<'_>> = HashSet::new();
    let mut level: Vec<KeyRef<'_>> = new.parents().collect();
    for _ in 0..MAX_DEPTH {
        if level.is_empty() {
            return Ok(());
        }
        let mut next = Vec::new();
        for parent in level {
            if parent == new.key() {
                return Err("would be its own ancestor");
            }
            if found.insert(parent)
                && let Some(parent) = directory.get(parent)
            {
                next.extend(parent.parents());
            }
        }
        if found.len() > MAX_ANCESTORS {
            return Err("would have more than 1000 ancestors");
        }
        level = next;
    }
    match level.is_empty() {
        true => Ok(()),
        false => Err("would be more than 64 levels deep"),
    }
}

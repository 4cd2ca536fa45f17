//! Counters that were used before, found without making the labels that name them anew.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
};

use foldhash::fast::RandomState;

type Map<K, M> = HashMap<K, M, RandomState>;

/// Handles of one family, by its first label and the rest.
///
/// A family's own look-up takes labels that own their text; on the path of every request that costs
/// more than the counting.
#[derive(Debug)]
pub(super) struct Handles<K, M>(RwLock<Map<Box<str>, Map<K, M>>>);

impl<K, M> Default for Handles<K, M> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Hash + Eq, M> Handles<K, M> {
    /// Calls `using` with the handle, if it is here.
    pub(super) fn with<Q>(&self, first: &str, rest: &Q, using: impl FnOnce(&M)) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // Whoever panicked left whole entries.
        let handles = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let handle = handles.get(first).and_then(|handles| handles.get(rest));
        handle.map(using).is_some()
    }

    /// Keeps a handle.
    pub(super) fn keep(&self, first: &str, rest: K, handle: M) {
        let mut handles = self.0.write().unwrap_or_else(PoisonError::into_inner);
        handles
            .entry(first.into())
            .or_default()
            .insert(rest, handle);
    }
}

//! What was built, for as long as it is asked for.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use foldhash::fast::RandomState;
use quick_cache::{Equivalent, Weighter, sync::Cache};

/// For how many there is room from the beginning.
const FIRST: usize = 64;
/// Names that are remembered; each by where its hash puts it, in place of the one that was there.
const PLACES: u64 = 8_192;

/// Facts of something of the usual size.
const USUAL: usize = 16;

/// Something that is kept.
pub(super) trait Keep: Clone {
    /// How many facts it holds.
    fn facts(&self) -> usize;
}

/// Keeps what is asked for again, within bounds.
pub(super) struct Kept<K, V> {
    cache: Cache<K, V, BySize>,
    recent: Recent,
    /// For how many there is room without a thought.
    full: u64,
}

#[derive(Clone)]
struct BySize;

impl<K, V: Keep> Weighter<K, V> for BySize {
    fn weight(&self, _: &K, kept: &V) -> u64 {
        u64::try_from(1 + kept.facts() / USUAL).unwrap_or(u64::MAX)
    }
}

impl<K: Hash + Eq, V: Keep> Kept<K, V> {
    /// Keeps at most so many of the usual size.
    pub(super) fn new(most: u64) -> Self {
        Self {
            // One is made for every version that requests meet, so it begins small.
            cache: Cache::with_weighter(FIRST, most, BySize),
            recent: Recent::default(),
            full: most / 10 * 9,
        }
    }

    /// What is kept under a key, else what is built for it.
    ///
    /// # Errors
    /// When building fails, of which nothing is kept.
    pub(super) fn get_or_build<Q: Hash + Equivalent<K>, E>(
        &self,
        key: &Q,
        owned: impl FnOnce(&Q) -> K,
        build: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        if let Some(kept) = self.cache.get(key) {
            return Ok(kept);
        }
        let built = build()?;
        // To make room costs as much as building, so what is asked for once takes none.
        if self.cache.weight() < self.full || self.recent.again(key) {
            self.cache.insert(owned(key), built.clone());
        }
        Ok(built)
    }
}

impl<K, V> fmt::Debug for Kept<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// Tells apart what is asked for again from what is asked for once.
///
/// A name may be taken for another one, so nothing but what is kept in memory may depend on it.
#[derive(Default)]
struct Recent {
    /// Made when it is first asked, which is when there is no room left.
    places: OnceLock<Box<[AtomicU32]>>,
    hashes: RandomState,
}

impl Recent {
    /// Whether a name was asked for shortly before; from now on it was.
    fn again(&self, name: &impl Hash) -> bool {
        let hash = self.hashes.hash_one(name);
        let mark = u32::try_from(hash >> 32).unwrap_or(0) | 1;
        let place = usize::try_from(hash % PLACES).unwrap_or(0);
        let places = || (0..PLACES).map(|_| AtomicU32::new(0)).collect();
        let place = self.places.get_or_init(places).get(place);
        place.is_some_and(|it| it.swap(mark, Ordering::Relaxed) == mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_again_is_told_until_much_else_was() {
        let recent = Recent::default();
        let told = |names: std::ops::Range<u64>| names.filter(|it| recent.again(it)).count();
        assert_eq!(told(0..100), 0);
        // Few have had their place taken by another one.
        assert!(told(0..100) > 90);
        assert!(told(1_000..1_000 + 20 * PLACES) < 100);
        assert!(told(0..100) < 10);
    }
}

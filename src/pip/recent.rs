//! What was asked for shortly before, roughly, in little memory.

use std::{
    hash::{BuildHasher, Hash},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use foldhash::fast::RandomState;

/// Names that are remembered; each by where its hash puts it, in place of the one that was there.
const PLACES: u64 = 8_192;

/// Tells apart what is asked for again from what is asked for once.
///
/// A name may be taken for another one, so nothing but what is kept in memory may depend on it.
#[derive(Default)]
pub(super) struct Recent {
    /// Made when it is first asked, which is when there is no room left.
    places: OnceLock<Box<[AtomicU32]>>,
    hashes: RandomState,
}

impl Recent {
    /// Whether a name was asked for shortly before; from now on it was.
    pub(super) fn again(&self, name: &impl Hash) -> bool {
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

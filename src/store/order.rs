//! The keys of a directory in their order, so that a page begins where the one before it ended.
//!
//! Keys stand in short runs, which versions share until a key of them comes or goes. Finding an
//! entity by its key needs none of this.

use std::{ops::Bound, sync::Arc};

use rpds::RedBlackTreeMapSync;

use super::stored::Key;

/// Keys of one run, at most: what is copied when one of them comes or goes.
const RUN: usize = 64;

type Run = Arc<[Key]>;

/// Keys in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    /// Each run by a key that none of its own is before, and all of those of earlier runs are.
    runs: RedBlackTreeMapSync<Key, Run>,
}

impl Order {
    /// Of these keys, which are sorted here where they are not.
    pub(super) fn of(mut keys: Vec<Key>) -> Self {
        if !keys.is_sorted() {
            keys.sort_unstable();
        }
        keys.dedup();
        let mut order = Self::default();
        for run in keys.chunks(RUN) {
            order.put(run);
        }
        order
    }

    /// Takes a key in, if it is new.
    pub(super) fn add(&mut self, key: &Key) {
        let Some((from, run)) = self.run_of(key).or_else(|| self.first()) else {
            return self.put(std::slice::from_ref(key));
        };
        let Err(at) = run.binary_search(key) else {
            return;
        };
        let (before, after) = run.split_at_checked(at).unwrap_or((&*run, &[]));
        if run.len() == RUN && after.is_empty() {
            // Keys that come in their order leave full runs behind.
            return self.put(std::slice::from_ref(key));
        }
        let grown: Run = before.iter().chain([key]).chain(after).cloned().collect();
        if *key < from {
            self.runs.remove_mut(&from);
        }
        match grown
            .split_at_checked(RUN / 2)
            .filter(|_| grown.len() > RUN)
        {
            Some((low, high)) => {
                self.runs.insert_mut(from.min(key.clone()), low.into());
                self.put(high);
            }
            None => self.runs.insert_mut(from.min(key.clone()), grown),
        }
    }

    /// Lets a key go, if it is there.
    pub(super) fn remove(&mut self, key: &Key) {
        let Some((from, run)) = self.run_of(key) else {
            return;
        };
        let Ok(at) = run.binary_search(key) else {
            return;
        };
        let (before, after) = run.split_at_checked(at).unwrap_or((&*run, &[]));
        let left: Run = before.iter().chain(after.iter().skip(1)).cloned().collect();
        self.runs.remove_mut(&from);
        if left.is_empty() {
            return;
        }
        // Two that are nearly empty become one, so that deletions do not leave many.
        let is_little = |other: &Run| left.len() + other.len() <= RUN / 2;
        let earlier = (Bound::Unbounded, Bound::Excluded(&from));
        let earlier = self.runs.range::<Key, _>(earlier).next_back();
        let later = (Bound::Excluded(&from), Bound::Unbounded);
        let later = self.runs.range::<Key, _>(later).next();
        if let Some((begin, run)) = earlier.filter(|(_, run)| is_little(run)) {
            let (begin, whole) = (begin.clone(), run.iter().chain(&*left).cloned().collect());
            self.runs.insert_mut(begin, whole);
        } else if let Some((begin, run)) = later.filter(|(_, run)| is_little(run)) {
            let (begin, whole) = (begin.clone(), left.iter().chain(&**run).cloned().collect());
            self.runs.remove_mut(&begin);
            self.runs.insert_mut(from, whole);
        } else {
            self.runs.insert_mut(from, left);
        }
    }

    /// The keys from `begin` on.
    pub(super) fn onward<'o>(&'o self, begin: Bound<&'o Key>) -> impl Iterator<Item = &'o Key> {
        let first = match begin {
            Bound::Unbounded => None,
            Bound::Included(key) | Bound::Excluded(key) => self.floor(key),
        };
        let first = first.map_or(Bound::Unbounded, |(from, _)| Bound::Included(from));
        let is_before = move |key: &&Key| match begin {
            Bound::Unbounded => false,
            Bound::Included(begin) => *key < begin,
            Bound::Excluded(begin) => *key <= begin,
        };
        let runs = self.runs.range::<Key, _>((first, Bound::Unbounded));
        runs.flat_map(|(_, run)| run.iter()).skip_while(is_before)
    }

    /// The run that has a key, or would have it.
    fn floor(&self, key: &Key) -> Option<(&Key, &Run)> {
        let upto = (Bound::Unbounded, Bound::Included(key));
        self.runs.range::<Key, _>(upto).next_back()
    }

    fn run_of(&self, key: &Key) -> Option<(Key, Run)> {
        let (from, run) = self.floor(key)?;
        Some((from.clone(), Arc::clone(run)))
    }

    fn first(&self) -> Option<(Key, Run)> {
        let (from, run) = self.runs.first()?;
        Some((from.clone(), Arc::clone(run)))
    }

    fn put(&mut self, run: &[Key]) {
        if let Some(first) = run.first() {
            self.runs.insert_mut(first.clone(), run.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ledger::testing::Dice;

    #[track_caller]
    fn check(order: &Order, model: &BTreeSet<Key>, begin: Bound<&Key>) {
        let found: Vec<_> = order.onward(begin).collect();
        let expected: Vec<_> = model.range::<Key, _>((begin, Bound::Unbounded)).collect();
        assert_eq!(found, expected, "from {begin:?}");
    }

    #[test]
    fn keys_that_come_and_go_stand_in_their_order() {
        let mut dice = Dice::new(7);
        let (mut order, mut model) = (Order::default(), BTreeSet::new());
        for step in 0..6_000_u64 {
            // It grows, is nearly emptied, and grows again.
            let growing = step % 3_000 < 2_000;
            let key = Key::new(
                ["A", "AB", "B"][usize::try_from(dice.below(3)).unwrap()],
                &dice.below(900).to_string(),
            );
            if dice.percent(if growing { 80 } else { 5 }) {
                order.add(&key);
                model.insert(key.clone());
            } else {
                order.remove(&key);
                model.remove(&key);
            }
            if step % 37 == 0 {
                check(&order, &model, Bound::Unbounded);
                check(&order, &model, Bound::Included(&key));
                check(&order, &model, Bound::Excluded(&key));
            }
            let mut runs = order.runs.values();
            assert!(runs.all(|run| (1..=RUN).contains(&run.len())));
        }
        let whole = Order::of(model.iter().rev().cloned().collect());
        check(&whole, &model, Bound::Unbounded);
    }

    #[test]
    fn runs_are_full_after_keys_in_order_and_few_after_most_are_gone() {
        let keys: Vec<_> = (0..64 * 50)
            .map(|n| Key::new("T", &format!("{n:05}")))
            .collect();
        let mut order = Order::default();
        for key in &keys {
            order.add(key);
        }
        assert_eq!(order.runs.size(), 50);
        for key in keys.iter().filter(|it| !it.id.ends_with("00")) {
            order.remove(key);
        }
        let left = keys.iter().filter(|it| it.id.ends_with("00")).count();
        assert!(
            order.runs.size() <= 1 + 2 * left / (RUN / 2),
            "{}",
            order.runs.size()
        );
        assert_eq!(order.onward(Bound::Unbounded).count(), left);
    }
}

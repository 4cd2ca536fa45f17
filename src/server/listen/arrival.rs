//! How long requests wait for a thread, and how many do.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{pep::admission::Arrival, server::clock};

/// Requests that have come and whose handler has not begun; one count for all listeners.
#[derive(Clone, Debug)]
pub(in crate::server) struct Waiting {
    count: Arc<AtomicUsize>,
    limit: usize,
}

/// One that waits.
pub(super) struct Waiter {
    waiting: Waiting,
    since: tokio::time::Instant,
    overloaded: bool,
}

impl Waiting {
    /// Beyond `limit`, a request is overload.
    pub(in crate::server) fn new(limit: usize) -> Self {
        Self {
            count: Arc::default(),
            limit,
        }
    }

    /// How many wait, and how many may.
    pub(in crate::server) fn load(&self) -> (usize, usize) {
        (self.count.load(Ordering::Relaxed), self.limit)
    }

    /// Takes in a request that has just come.
    pub(super) fn enter(&self) -> Waiter {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        Waiter {
            overloaded: before >= self.limit,
            waiting: self.clone(),
            since: clock::instant(),
        }
    }
}

impl Waiter {
    /// Its handler begins.
    pub(super) fn begin(self) -> Arrival {
        Arrival {
            waited: self.since.elapsed(),
            overloaded: self.overloaded,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiting.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_than_may_wait_is_overload_until_some_have_begun() {
        let waiting = Waiting::new(1);
        let (first, second) = (waiting.enter(), waiting.enter());
        assert_eq!(waiting.load(), (2, 1));
        assert!(!first.begin().overloaded);
        assert!(second.begin().overloaded);
        assert_eq!(waiting.load().0, 0);
        drop(waiting.enter());
        assert_eq!(waiting.load().0, 0, "one that was given up waits no more");
    }
}

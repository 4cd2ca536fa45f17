//! How often each caller may ask for an explanation.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::model::{CallerName, Timestamp};

/// A minute, in microseconds.
const MINUTE: i64 = 60_000_000;

/// One bucket for each caller: full at first, refilled evenly over a minute. Callers are those of the
/// configuration, so there are never more buckets than that.
#[derive(Debug)]
pub(super) struct Rate {
    per_minute: i64,
    buckets: Mutex<HashMap<CallerName, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// What is left, in explanations times [`MINUTE`].
    left: i64,
    since: Timestamp,
}

impl Rate {
    /// So many a minute for each caller.
    pub(super) fn new(per_minute: usize) -> Self {
        Self {
            per_minute: i64::try_from(per_minute).unwrap_or(i64::MAX / MINUTE),
            buckets: Mutex::default(),
        }
    }

    /// Takes one, if one is left.
    pub(super) fn take(&self, caller: &CallerName, now: Timestamp) -> bool {
        let full = self.per_minute.saturating_mul(MINUTE);
        // Held for this arithmetic alone.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(caller.clone()).or_insert(Bucket {
            left: full,
            since: now,
        });
        // A clock that goes back refills nothing.
        let passed = now.as_microsecond() - bucket.since.as_microsecond();
        if passed > 0 {
            let refill = passed.saturating_mul(self.per_minute);
            bucket.left = bucket.left.saturating_add(refill).min(full);
            bucket.since = now;
        }
        let enough = bucket.left >= MINUTE;
        if enough {
            bucket.left -= MINUTE;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_a_minute_and_no_one_elses() {
        let rate = Rate::new(2);
        let (api, other) = (CallerName::new("api"), CallerName::new("other"));
        let at = |time: &str| -> Timestamp { format!("2030-01-01T{time}Z").parse().unwrap() };
        for (caller, time, expected) in [
            (&api, "09:00:00", true),
            (&api, "09:00:00", true),
            (&api, "09:00:01", false),
            (&other, "09:00:01", true),
            (&api, "09:00:30", true),
            (&api, "09:00:30", false),
            (&api, "08:00:00", false),
            (&api, "12:00:00", true),
            (&api, "12:00:00", true),
            (&api, "12:00:00", false),
        ] {
            assert_eq!(rate.take(caller, at(time)), expected, "{time}");
        }
    }
}

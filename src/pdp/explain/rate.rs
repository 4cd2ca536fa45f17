//! How often each caller may ask for an explanation.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
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

    /// Takes one.
    ///
    /// # Errors
    /// How long it takes until one is left, when none is.
    pub(super) fn take(&self, caller: &CallerName, now: Timestamp) -> Result<(), Duration> {
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
        let lacking = MINUTE - bucket.left;
        if lacking <= 0 {
            bucket.left -= MINUTE;
            return Ok(());
        }
        // Rounded up: whoever waits for just so long is let in.
        let per_minute = self.per_minute.max(1);
        let wait = (lacking + per_minute - 1) / per_minute;
        Err(Duration::from_micros(wait.unsigned_abs()))
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
            (&api, "09:00:00", Ok(())),
            (&api, "09:00:00", Ok(())),
            (&api, "09:00:01", Err(29)),
            (&other, "09:00:01", Ok(())),
            (&api, "09:00:30", Ok(())),
            (&api, "09:00:30", Err(30)),
            (&api, "08:00:00", Err(30)),
            (&api, "12:00:00", Ok(())),
            (&api, "12:00:00", Ok(())),
            (&api, "12:00:00", Err(30)),
        ] {
            let expected = expected.map_err(Duration::from_secs);
            assert_eq!(rate.take(caller, at(time)), expected, "{time}");
        }
    }

    #[test]
    fn who_waits_for_as_long_as_told_is_let_in() {
        let rate = Rate::new(7);
        let api = CallerName::new("api");
        let mut now: Timestamp = "2030-01-01T09:00:00Z".parse().unwrap();
        for n in 0..50 {
            if let Err(wait) = rate.take(&api, now) {
                now = now.checked_add(wait).unwrap();
                assert_eq!(rate.take(&api, now), Ok(()), "{n}");
            }
        }
    }
}

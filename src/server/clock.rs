//! The only place where the clock is read.

use std::time::{Duration, Instant};

use crate::model::Timestamp;

/// The current time.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reader; everything else is told the time"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A moment to measure from.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reader; everything else is told the time"
)]
pub(super) fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Starts a watch that tells whether `budget` is over.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reader; everything else is told the time"
)]
pub(super) fn expires_after(budget: Duration) -> impl Fn() -> bool {
    let start = Instant::now();
    move || start.elapsed() > budget
}

//! Fit to run: batches and streams, bounds, transport, faults, and what operators see.

#![expect(
    clippy::disallowed_methods,
    reason = "servers and callers under test are tasks of the test"
)]

mod batch;
mod hostile;
mod killed;
pub(crate) mod kit;
mod raw;
mod restart;
mod stream;
mod transport;

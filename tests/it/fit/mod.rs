//! Fit to run: batches and streams, bounds, transport, faults, and what operators see.

mod batch;
mod kit;
mod raw;
mod stream;
mod transport;

//! Fit to run: batches and streams, bounds, transport, faults, and what operators see.

mod batch;
mod hostile;
mod kit;
mod program;
mod raw;
mod restart;
mod stream;
mod transport;

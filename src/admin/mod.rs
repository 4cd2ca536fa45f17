//! What operators and probes see.

pub mod probe;

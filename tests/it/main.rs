//! The integration tests: one binary.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod answers;
mod cli;
mod example;
mod faults;
mod fit;
mod isolation;
mod kit;
mod layers;
mod mapping;
mod matrix;
mod oidc;
mod oracle;
mod promises;

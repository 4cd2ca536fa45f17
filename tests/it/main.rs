//! The integration tests: one binary.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod answers;
mod audit;
mod authors;
mod authzen;
mod canonical;
mod cli;
mod client;
mod directory;
mod example;
mod explain;
mod ext_authz;
mod faces;
mod faults;
mod fit;
mod forward_auth;
// The fuzz targets over their seeds, in every run: their crate is a workspace of its own, which would
// have everything compiled once more.
#[path = "../../fuzz/src/lib.rs"]
#[expect(
    clippy::expect_used,
    unreachable_pub,
    reason = "it is a crate elsewhere"
)]
mod fuzz;
mod isolation;
mod kit;
mod layers;
mod lints;
mod mapping;
mod matrix;
mod oidc;
mod oracle;
mod program;
mod promises;
mod reload;
mod replay;
mod rotation;
mod tutorial;
mod wire;

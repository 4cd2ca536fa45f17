//! What is made of the ledger: the stored entities of every bundle, and what was revoked.
//!
//! A [`Version`] is immutable and whole; a request pins one. Every group of records makes the next
//! one. sled is only the checkpoint that spares replaying the ledger at the start.
//!
//! **Invariant:** a version follows from the ledger alone: whoever reads the same records has the
//! same one.

mod applier;
mod apply;
mod checkpoint;
mod directory;
mod health;
mod open;
mod order;
mod past;
mod revision;
mod revocations;
mod state;
mod stored;
#[cfg(test)]
mod tests;
mod version;

pub use applier::Applier;
pub use apply::Outcome;
pub use checkpoint::CheckpointTask;
pub use directory::Directory;
pub use health::Part;
pub use open::{Both, Progress, Store, StoreError, StoreOptions, StoreTasks, Written};
pub use past::{NotPast, Past};
pub use revision::Reach;
pub use revocations::Revocations;
pub use stored::{Key, KeyRef, Stored, Unstored};
pub use version::Version;

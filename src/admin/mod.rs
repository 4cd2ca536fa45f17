//! What operators and probes see and do.

pub mod audit;
mod changes;
pub mod directory;
mod entries;
mod operate;
pub mod probe;
pub mod revocation;
mod visit;

pub use operate::{Desk, RulesFault, rules};

//! What operators and probes see and do.

mod changes;
pub mod directory;
mod operate;
pub mod probe;
pub mod revocation;

pub use operate::{Desk, RulesFault, rules};

//! The life of the rules: files → snapshot → cases → live.

mod cases;
mod publish;

pub use cases::{CaseFailure, CaseReport, run_cases};
pub use publish::{Publication, check, publish};

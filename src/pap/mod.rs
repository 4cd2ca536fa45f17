//! The life of the rules: files → snapshot → cases → live.

mod cases;
mod coverage;
mod publish;

pub use cases::{CaseFailure, CaseReport, run_cases};
pub use coverage::unasked_routes;
pub use publish::{Publication, check, publish};

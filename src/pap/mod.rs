//! The life of the rules: files → snapshot → cases → live.

mod archive;
mod cases;
mod change;
mod coverage;
mod fmt;
mod publish;

pub use archive::{Archive, Kept};
pub use cases::{CaseFailure, CaseReport, Difference, Ran, run_cases};
pub use change::Change;
pub use coverage::unasked_routes;
pub use fmt::format_policies;
pub use publish::{Checked, Expired, Publication, check, check_files, publish, serve, warnings};

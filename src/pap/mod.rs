//! The life of the rules: files → snapshot → cases → live.

mod archive;
mod cases;
mod change;
mod coverage;
mod publish;

pub use archive::{Archive, Kept};
pub use cases::{CaseFailure, CaseReport, run_cases};
pub use change::Change;
pub use coverage::unasked_routes;
pub use publish::{Checked, Expired, Publication, check, check_files, publish, serve, warnings};

//! The life of the rules: files → snapshot → cases → live.

mod archive;
mod cases;
mod change;
mod coverage;
mod fmt;
mod lint;
mod mutate;
mod past;
mod pool;
mod publish;
mod stored;

pub use archive::{Archive, Kept};
pub use cases::{CaseFailure, CaseReport, Difference, Ran, run_cases};
pub use change::Change;
pub use coverage::{ConditionUse, Coverage, PolicyUse, Share, lcov};
pub use fmt::format_policies;
pub use lint::{LINTS, Lint, lint};
pub use mutate::{Alteration, Mutant, MutationReport, mutants, mutate};
pub use past::{NotKept, PastWorld, PastWorlds};
pub use publish::{Checked, Expired, Publication, check, check_files, publish, serve, warnings};
pub use stored::check_stored;

//! A directory of rules, read and compiled into one immutable [`Snapshot`].
//!
//! **Invariant:** compiling is pure: the same files and options give the same snapshot or faults.
//! Only [`BundleFiles::read`] touches the disk.

mod cases;
mod entities;
mod files;
mod links;
mod live;
mod looked_at;
mod mapping;
mod nearby;
mod preset;
mod raw;
mod read;
mod routes;
mod snapshot;
mod sources;
mod template;

pub use cases::{Case, CaseQuestion, Cases, Expectation, ExpectedOutcome, SubjectSpec};
pub(crate) use entities::MAX_ANCESTORS;
pub use entities::{EntityStore, entity_facts};
pub use files::{BundleFiles, BundleLimits, Sighting};
pub use live::{Live, LiveBundles};
pub use looked_at::{Look, LookedAt};
pub use mapping::{ClaimPath, ClaimTest, Mapping, ParentRule, PrincipalRule, TestKind};
pub use nearby::{Nearby, WhyNot};
pub use routes::{Matched, Route, Routes};
pub use snapshot::{CompileOptions, Snapshot};
pub use sources::{Owners, Source, Sources};
pub use template::Template;

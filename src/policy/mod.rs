//! The engine: policy text → policies with places → an evaluation with reasons.
//!
//! **Invariant:** pure and synchronous; does no I/O, reads no clock, logs nothing.
//!
//! `core` is the only module that names `cedar_policy_core`, so an upgrade of the engine is its work
//! alone; the property tests hold it to Cedar's own `Authorizer`.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

mod annotations;
mod change;
pub mod core;
mod evaluate;
mod explain;
mod fault;
mod guard;
mod index;
mod parts;
mod schema;
mod set;
mod suggest;
mod survey;
mod typing;

/// A map that questions look into: hashed by chance, as the standard library's, in a third of its time.
pub type Map<K, V> = HashMap<K, V, RandomState>;
/// A set of that kind.
pub type Set<T> = HashSet<T, RandomState>;

pub use annotations::{AllowedLint, allowed_lints};
pub use change::{Change, Edit, Root, Spot, edited};
pub use evaluate::{Evaluation, Expired, Request, evaluate, evaluate_within};
pub use explain::{
    Ask, Came, FactKind, Finding, Findings, Near, Reach, Saw, Shown, Supposed, nearest, told,
    weight,
};
pub use fault::{Fault, Lines, Place};
pub use guard::{TextLimits, check_policies, check_schema};
pub use index::Party;
pub use parts::{Condition, Observed, observe};
pub use schema::{ActionDef, EntityTypeDef, PRELUDE, Schema, Standard};
pub use set::{Link, ParsedPolicies, Policy, PolicySet};
pub use suggest::{closest, suggestion};
pub use survey::{Envs, Site, Survey};
pub use typing::{
    Member, RecordType, Type, TypeFault, keep_declared, missing_members, read,
    read_members as typed_members, read_record as typed_record,
};

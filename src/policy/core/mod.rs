//! All that Doorward takes from `cedar-policy-core`; nothing outside of this folder names it.
//!
//! That crate makes no promise of stability, so it is pinned exactly and everything here is small:
//! parsing with places, values without re-evaluation, entities without re-closing the hierarchy, and
//! evaluation without rebuilding conditions.

mod entity;
mod eval;
mod glance;
mod head;
mod layout;
mod parts;
mod public;
mod seen;
mod survey;
mod text;
mod types;
mod validate;
mod value;
mod ways;

pub use cedar_policy_core::ast::{EntityType as TypeName, EntityUID as Uid, Value as CedarValue};

pub(super) use entity::action_entities;
pub use entity::{Above, Entities, Entity, entity_references, uid};
pub(super) use eval::{Conditions, Evaluator, RuleError};
pub(super) use head::{ActionScope, HeadPart, Scope};
pub(super) use layout::{Laid, Laying, Layout};
pub(super) use parts::Part;
pub use parts::Truth;
pub(super) use seen::{Seen, ancestors_like};
pub(super) use survey::Env;
pub use text::Rule;
pub(super) use text::{Body, Statement, Template, parse};
pub(super) use types::{actions, entity_types};
pub(super) use validate::{Invalid, PolicyValidator};
pub use value::{
    as_entity, as_record, as_set, as_text, bool, datetime, decimal, duration, entity_value, ip,
    long, notation, notation_of_uid, record, references, set, stated, stated_uid, string,
    type_text,
};
pub(super) use ways::{Plan, Way, Ways};

//! Changes of facts in words, and which of them come first.

use super::{
    super::{
        change::{Change, Edit, Root},
        core::{self, CedarValue},
    },
    Supposed, shown_value,
};

/// What becomes of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// It has another value.
    Set,
    /// It is absent.
    Absent,
    /// A set contains a member.
    Contains,
    /// A set lacks a member.
    Lacks,
    /// An entity is in another.
    In,
    /// An entity is not in another.
    NotIn,
}

/// A change's kind, its value for who may see it, and a sentence without its subject "it would be
/// allowed if".
pub fn told(change: &Change, values: bool) -> (FactKind, Option<String>, String) {
    let named = &change.spot.named;
    let shown = values || change.literal;
    let (kind, value) = match &change.edit {
        Edit::Set(value) => (FactKind::Set, Some(plain(value))),
        Edit::Unset => (FactKind::Absent, None),
        Edit::Insert(value) => (FactKind::Contains, Some(plain(value))),
        Edit::Remove(value) => (FactKind::Lacks, Some(plain(value))),
        Edit::Join(uid) => (FactKind::In, Some(uid.to_string())),
        Edit::Leave(uid) => (FactKind::NotIn, Some(uid.to_string())),
    };
    let value = value.filter(|_| shown);
    let text = match (kind, &value) {
        (FactKind::Set, Some(value)) => format!("`{named}` was `{value}`"),
        (FactKind::Set, None) => format!("`{named}` was another"),
        (FactKind::Absent, _) => format!("`{named}` was absent"),
        (FactKind::Contains, Some(value)) => format!("`{named}` contained `{value}`"),
        (FactKind::Contains, None) => format!("`{named}` contained one more"),
        (FactKind::Lacks, Some(value)) => format!("`{named}` did not contain `{value}`"),
        (FactKind::Lacks, None) => format!("`{named}` contained one less"),
        (FactKind::In, Some(value)) => format!("`{named}` was in `{value}`"),
        (FactKind::In, None) => format!("`{named}` had another parent"),
        (FactKind::NotIn, Some(value)) => format!("`{named}` was not in `{value}`"),
        (FactKind::NotIn, None) => format!("`{named}` lacked one of its parents"),
    };
    (kind, value, text)
}

/// A string without its quotes, anything else in Cedar's notation.
fn plain(value: &CedarValue) -> String {
    match core::as_text(value) {
        Some(text) if !text.is_empty() => shown_value(text),
        _ => shown_value(&core::notation(value)),
    }
}

/// How far a state is from what is so: first the number of facts, then what is least to ask for.
///
/// To be granted something is less than to be another, and the subject's own facts are nearer than
/// those of what it asks about.
pub fn weight(state: &Supposed) -> (usize, u32) {
    let of = |change: &Change| {
        let edit = match change.edit {
            Edit::Insert(_) => 0,
            Edit::Join(_) => 1,
            Edit::Set(_) => 2,
            Edit::Unset | Edit::Remove(_) | Edit::Leave(_) => 3,
        };
        let request = &state.request;
        let root = match &change.spot.root {
            Root::Context if change.spot.path.first().is_some_and(|name| name == "now") => 8,
            Root::Context => 0,
            Root::Entity(uid) if *uid == request.principal => 0,
            Root::Entity(uid) if *uid == request.resource => 1,
            Root::Entity(_) => 4,
        };
        edit + root
    };
    (state.changes.len(), state.changes.iter().map(of).sum())
}

//! One fact otherwise than it is, and what follows for a context, an entity and the schema.
//!
//! A fact is an attribute, a member of a set, a parent or a member of the context. Who the principal
//! is, what it does and to which resource is the question itself, and no fact.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::{
    core::{self, CedarValue, Uid},
    schema::{ActionDef, Schema, Standard},
    typing::{Member, RecordType, Type},
};

/// Where a fact is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// In the context.
    Context,
    /// With an entity.
    Entity(Uid),
}

/// A place that can hold something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Where.
    pub root: Root,
    /// The names that lead to it from there; none for the entity's parents.
    pub path: Vec<SmolStr>,
    /// What the policy's author calls it, as `context.token.scopes`.
    pub named: String,
}

/// What becomes of a spot.
#[derive(Clone, PartialEq, Eq)]
pub enum Edit {
    /// It has this value.
    Set(CedarValue),
    /// It is absent.
    Unset,
    /// Its set has this member.
    Insert(CedarValue),
    /// Its set lacks this member.
    Remove(CedarValue),
    /// The entity has this parent.
    Join(Uid),
    /// The entity lacks this parent.
    Leave(Uid),
}

impl std::fmt::Debug for Edit {
    /// Values are facts about someone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Set(_) => "Set(***)",
            Self::Unset => "Unset",
            Self::Insert(_) => "Insert(***)",
            Self::Remove(_) => "Remove(***)",
            Self::Join(_) => "Join(***)",
            Self::Leave(_) => "Leave(***)",
        })
    }
}

/// One fact otherwise than it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub spot: Spot,
    /// How.
    pub edit: Edit,
    /// Whether its value stands in a policy, so that it tells nothing about what is stored.
    pub literal: bool,
}

#[cfg(test)]
mod tests;

type Members = BTreeMap<SmolStr, CedarValue>;

impl Change {
    /// Whether it is about the same fact, or about one within the other.
    fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (&self.spot, &other.spot);
        let within = a.path.starts_with(&b.path) || b.path.starts_with(&a.path);
        a.root == b.root
            && within
            && match (&self.edit, &other.edit) {
                (Edit::Join(a) | Edit::Leave(a), Edit::Join(b) | Edit::Leave(b)) => a == b,
                (Edit::Join(_) | Edit::Leave(_), _) | (_, Edit::Join(_) | Edit::Leave(_)) => false,
                (Edit::Insert(a) | Edit::Remove(a), Edit::Insert(b) | Edit::Remove(b)) => a == b,
                _ => true,
            }
    }

    /// Whether the schema lets the fact be so.
    pub fn is_possible(&self, schema: &Schema, action: &ActionDef) -> bool {
        let Some(last) = self.spot.path.last() else {
            return match (&self.spot.root, &self.edit) {
                (Root::Entity(child), Edit::Join(parent)) => schema
                    .entity_type(child.entity_type())
                    .is_some_and(|def| def.ancestors.contains(parent.entity_type())),
                (Root::Entity(_), Edit::Leave(_)) => true,
                _ => false,
            };
        };
        let Some(member) = member_at(&self.spot, schema, action) else {
            return false;
        };
        let fixed = matches!(self.spot.root, Root::Context) && is_of_the_question(&self.spot.path);
        !fixed
            && match &self.edit {
                Edit::Set(value) => fits(value, &member.ty, schema),
                Edit::Unset => !member.required && !last.is_empty(),
                Edit::Insert(value) | Edit::Remove(value) => match &member.ty {
                    Type::Set(item) => fits(value, item, schema),
                    _ => false,
                },
                Edit::Join(_) | Edit::Leave(_) => false,
            }
    }
}

/// Who asks and how is no fact about what is asked.
fn is_of_the_question(path: &[SmolStr]) -> bool {
    path.first().is_some_and(|name| {
        matches!(
            Standard::named(name),
            Some(Standard::Caller | Standard::Http | Standard::Peer)
        )
    })
}

/// What the schema says of a spot.
pub(super) fn member_at<'s>(
    spot: &Spot,
    schema: &'s Schema,
    action: &'s ActionDef,
) -> Option<&'s Member> {
    let mut record: &RecordType = match &spot.root {
        Root::Context => &action.context,
        Root::Entity(uid) => &schema.entity_type(uid.entity_type())?.attributes,
    };
    let (last, outer) = spot.path.split_last()?;
    for name in outer {
        record = match &record.members.get(name)?.ty {
            Type::Record(inner) => inner,
            _ => return None,
        };
    }
    record.members.get(last)
}

fn fits(value: &CedarValue, ty: &Type, schema: &Schema) -> bool {
    match ty {
        Type::Entity(name) => core::as_entity(value).is_some_and(|uid| {
            let id: &str = uid.eid().as_ref();
            uid.entity_type() == name && schema.uid_of(name, id).is_ok()
        }),
        Type::Set(item) => {
            core::as_set(value).is_some_and(|all| all.iter().all(|it| fits(it, item, schema)))
        }
        Type::Record(record) => core::as_record(value).is_some_and(|members| {
            let declared = |(name, value): (&SmolStr, &CedarValue)| {
                let member = record.members.get(name);
                member.is_some_and(|member| fits(value, &member.ty, schema))
            };
            let complete = super::missing_members(members.keys(), record)
                .next()
                .is_none();
            complete && members.iter().all(declared)
        }),
        // Comparisons are between equal types, as strict validation has it.
        _ => true,
    }
}

/// A value of a type, with `within` (names of nested members) there as well.
pub(super) fn some_value(ty: &Type, within: &[SmolStr], schema: &Schema) -> Option<CedarValue> {
    Some(match ty {
        Type::Bool => core::bool(false),
        Type::Long => core::long(0),
        Type::String => core::string(""),
        Type::Set(_) => core::set(Vec::new()),
        Type::Record(record) => {
            let mut members = Members::new();
            for (name, member) in &record.members {
                let rest = match within.split_first() {
                    Some((first, rest)) if first == name => Some(rest),
                    _ => None,
                };
                if member.required || rest.is_some() {
                    let value = some_value(&member.ty, rest.unwrap_or_default(), schema)?;
                    members.insert(name.clone(), value);
                }
            }
            core::record(members)
        }
        Type::Entity(name) => {
            let ids = schema.entity_type(name)?.ids.as_ref();
            let id = ids
                .and_then(|ids| ids.iter().min())
                .map_or("", String::as_str);
            core::entity_value(core::uid(name, id))
        }
        Type::Ip => core::ip("0.0.0.0")?,
        Type::Decimal => core::decimal("0.0")?,
        Type::Datetime => core::datetime(crate::model::Timestamp::UNIX_EPOCH)?,
        Type::Duration => core::duration("0ms")?,
    })
}

/// Adds a change to others. A change of the same fact replaces the earlier one, and a change within
/// a value that was set becomes part of it.
///
/// `None` when they contradict each other, or it changes nothing further.
pub(super) fn add(changes: &[Change], next: &Change) -> Option<Vec<Change>> {
    let mut all = changes.to_vec();
    let Some(earlier) = all.iter_mut().find(|earlier| earlier.overlaps(next)) else {
        all.push(next.clone());
        return Some(all);
    };
    let depth = earlier.spot.path.len();
    match (&earlier.edit, &next.edit) {
        (Edit::Set(value), edit) if next.spot.path.len() > depth => {
            let rest = next.spot.path.get(depth..)?;
            let members = edited(core::as_record(value)?.clone(), rest, edit)?;
            earlier.edit = Edit::Set(core::record(members));
            earlier.literal &= next.literal;
        }
        (Edit::Set(value), Edit::Insert(_) | Edit::Remove(_)) if next.spot.path.len() == depth => {
            earlier.edit = Edit::Set(edited_set(value, &next.edit)?);
            earlier.literal &= next.literal;
        }
        (Edit::Set(_), Edit::Set(_)) if next.spot.path.len() == depth => *earlier = next.clone(),
        _ => return None,
    }
    Some(all)
}

/// Members with one edit; `None` where it does not apply or changes nothing.
pub fn edited(mut members: Members, path: &[SmolStr], edit: &Edit) -> Option<Members> {
    let (first, rest) = path.split_first()?;
    if !rest.is_empty() {
        let inner = core::as_record(members.get(first)?)?.clone();
        members.insert(first.clone(), core::record(edited(inner, rest, edit)?));
        return Some(members);
    }
    match edit {
        Edit::Set(value) => {
            let before = members.insert(first.clone(), value.clone());
            (before.as_ref() != Some(value)).then_some(members)
        }
        Edit::Unset => members.remove(first).map(|_| members),
        Edit::Insert(_) | Edit::Remove(_) => {
            let set = edited_set(members.get(first)?, edit)?;
            members.insert(first.clone(), set);
            Some(members)
        }
        Edit::Join(_) | Edit::Leave(_) => None,
    }
}

fn edited_set(set: &CedarValue, edit: &Edit) -> Option<CedarValue> {
    let mut values: Vec<CedarValue> = core::as_set(set)?.into_iter().cloned().collect();
    match edit {
        Edit::Insert(value) if !values.contains(value) => values.push(value.clone()),
        Edit::Remove(value) if values.contains(value) => values.retain(|it| it != value),
        _ => return None,
    }
    Some(core::set(values))
}

//! The one conversion of others' facts to Cedar values, directed by the schema.
//!
//! Cedar's JSON escapes (`__entity`, `__extn`) are never interpreted: a type comes from the schema,
//! so whoever sends a fact cannot choose it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use smol_str::SmolStr;

use super::{
    core::{self, CedarValue, TypeName},
    schema::Schema,
};
use crate::model::{Members, Value, Violation};

/// A Cedar type, as far as facts can have it.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// `Bool`
    Bool,
    /// `Long`
    Long,
    /// `String`
    String,
    /// `Set<…>`
    Set(Arc<Type>),
    /// A record.
    Record(Arc<RecordType>),
    /// A reference to an entity of one type.
    Entity(TypeName),
    /// `ipaddr`
    Ip,
    /// `decimal`
    Decimal,
    /// `datetime`
    Datetime,
    /// `duration`
    Duration,
}

/// The members of a record type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordType {
    /// By name.
    pub members: BTreeMap<SmolStr, Member>,
}

/// One member of a record type.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its type.
    pub ty: Type,
    /// Whether it must be there.
    pub required: bool,
}

/// A fact that does not have the type that the schema declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFault {
    /// Where in the value, outermost first.
    pub path: Vec<String>,
    /// The kind of fault.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

impl TypeFault {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            code,
            message: message.into(),
        }
    }

    /// The same, seen from one level further out.
    #[must_use]
    pub(crate) fn within(mut self, step: impl Into<String>) -> Self {
        self.path.insert(0, step.into());
        self
    }

    /// The fault as a violation of a request whose field `root` holds the value.
    pub fn violation(self, root: &str) -> Violation {
        let mut field = root.to_owned();
        for step in &self.path {
            field.push('.');
            field.push_str(step);
        }
        Violation {
            field,
            code: self.code,
            message: self.message,
        }
    }
}

/// Reads a value as `ty`; `null` is not a value (members that are `null` are absent).
///
/// # Errors
/// A [`TypeFault`] naming the offending part.
pub fn read(value: &Value, ty: &Type, schema: &Schema) -> Result<CedarValue, TypeFault> {
    let wrong = |expected: &str| {
        Err(TypeFault::new(
            "wrong_type",
            format!("must be {expected}, not {}", value.kind()),
        ))
    };
    match ty {
        Type::Bool => match value {
            Value::Bool(value) => Ok(core::bool(*value)),
            _ => wrong("a boolean"),
        },
        Type::Long => match value {
            Value::Long(value) => Ok(core::long(*value)),
            _ => wrong("a 64-bit integer"),
        },
        Type::String => match value {
            Value::String(text) => Ok(core::string(text)),
            _ => wrong("a string"),
        },
        Type::Set(item) => match value {
            Value::Set(values) => values
                .iter()
                .enumerate()
                .map(|(n, value)| read(value, item, schema).map_err(|f| f.within(n.to_string())))
                .collect::<Result<Vec<_>, _>>()
                .map(core::set),
            _ => wrong("a set"),
        },
        Type::Record(record) => match value {
            Value::Record(members) => read_record(members, record, schema).map(core::record),
            _ => wrong("a record"),
        },
        Type::Entity(type_name) => match value {
            Value::String(id) => schema.uid_of(type_name, id).map(core::entity_value),
            Value::Entity(uid) => {
                let (named, id) = (schema.type_name(&uid.type_name), &uid.id);
                if named != Some(type_name) {
                    return wrong(&format!("a `{type_name}`"));
                }
                schema.uid_of(type_name, id).map(core::entity_value)
            }
            Value::Record(members) => {
                let (kind, id) = (members.get("type"), members.get("id"));
                match (kind.and_then(Value::as_str), id.and_then(Value::as_str)) {
                    (Some(kind), Some(id))
                        if members.len() == 2 && schema.type_name(kind) == Some(type_name) =>
                    {
                        schema.uid_of(type_name, id).map(core::entity_value)
                    }
                    _ => wrong(&format!("a `{type_name}` as `{{\"type\", \"id\"}}`")),
                }
            }
            _ => wrong(&format!("a `{type_name}`")),
        },
        Type::Ip => match value {
            Value::String(text) | Value::Ip(text) => {
                extension(core::ip(text), "an ip address or range")
            }
            _ => wrong("an ip address"),
        },
        Type::Decimal => match value {
            Value::String(text) | Value::Decimal(text) => extension(
                core::decimal(text),
                "a decimal with one to four fraction digits",
            ),
            _ => wrong("a decimal as a string"),
        },
        Type::Duration => match value {
            Value::String(text) | Value::Duration(text) => {
                extension(core::duration(text), "a duration such as `1h30m`")
            }
            _ => wrong("a duration as a string"),
        },
        Type::Datetime => {
            read_datetime(value).map_or_else(|| wrong("an RFC 3339 date and time"), Ok)
        }
    }
}

/// Reads members as a record type: nothing undeclared, nothing required missing.
///
/// # Errors
/// A [`TypeFault`] naming the offending member.
pub fn read_record(
    members: &Members,
    ty: &RecordType,
    schema: &Schema,
) -> Result<BTreeMap<SmolStr, CedarValue>, TypeFault> {
    let read = read_members(members, ty, schema)?;
    let read: BTreeMap<_, _> = read.into_iter().collect();
    let missing = missing_members(read.keys(), ty).next();
    match missing {
        Some(name) => Err(TypeFault::new("missing_member", "is required").within(name.as_str())),
        None => Ok(read),
    }
}

/// Reads members as part of a record type, in the order of their names: nothing undeclared, but what
/// is required may be missing.
///
/// # Errors
/// A [`TypeFault`] naming the offending member.
pub fn read_members(
    members: &Members,
    ty: &RecordType,
    schema: &Schema,
) -> Result<Vec<(SmolStr, CedarValue)>, TypeFault> {
    let mut read_so_far = Vec::with_capacity(members.len());
    // Both are in the order of their names.
    let mut declared = ty.members.iter().peekable();
    for (name, value) in members {
        while declared
            .next_if(|(it, _)| it.as_str() < name.as_str())
            .is_some()
        {}
        let Some((name, member)) = declared.next_if(|(it, _)| it.as_str() == name) else {
            let code = if name.starts_with("__") {
                "reserved_key"
            } else {
                "unknown_member"
            };
            let message = "is not declared in the schema";
            return Err(TypeFault::new(code, message).within(name.as_str()));
        };
        if *value != Value::Null {
            let value = read(value, &member.ty, schema).map_err(|f| f.within(name.as_str()))?;
            read_so_far.push((name.clone(), value));
        }
    }
    Ok(read_so_far)
}

/// Leaves out of `members` what `ty` does not declare, at every depth; returns how many were left
/// out. Names reserved in Cedar's JSON stay, so that reading refuses them.
pub fn keep_declared(members: &mut Members, ty: &RecordType) -> usize {
    let before = members.len();
    members.retain(|name, _| ty.members.contains_key(name.as_str()) || name.starts_with("__"));
    let mut dropped = before - members.len();
    for (name, value) in members {
        if let Some(member) = ty.members.get(name.as_str()) {
            dropped += keep_declared_within(value, &member.ty);
        }
    }
    dropped
}

fn keep_declared_within(value: &mut Value, ty: &Type) -> usize {
    match (value, ty) {
        (Value::Record(members), Type::Record(declared)) => keep_declared(members, declared),
        (Value::Set(values), Type::Set(item)) => values
            .iter_mut()
            .map(|value| keep_declared_within(value, item))
            .sum(),
        _ => 0,
    }
}

/// The members that `ty` requires and that are not among `names`, all of them declared and in order.
pub fn missing_members<'a, 'n>(
    names: impl IntoIterator<Item = &'n SmolStr>,
    ty: &'a RecordType,
) -> impl Iterator<Item = &'a SmolStr> {
    let mut names = names.into_iter().peekable();
    let missing = move |(name, member): &(&SmolStr, &Member)| {
        let is_there = names.next_if(|it| it == name).is_some();
        member.required && !is_there
    };
    ty.members.iter().filter(missing).map(|(name, _)| name)
}

fn extension(value: Option<CedarValue>, expected: &str) -> Result<CedarValue, TypeFault> {
    value.ok_or_else(|| TypeFault::new("out_of_range", format!("must be {expected}")))
}

/// RFC 3339 text, or seconds since 1970 (RFC 7519 §2 NumericDate), to the millisecond.
fn read_datetime(value: &Value) -> Option<CedarValue> {
    let moment = match value {
        Value::String(text) | Value::Datetime(text) => text.parse().ok()?,
        Value::Long(seconds) => Timestamp::from_second(*seconds).ok()?,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "out of range saturates, and is refused"
        )]
        Value::Number(seconds) if seconds.is_finite() => {
            Timestamp::from_millisecond((seconds * 1000.0).round() as i64).ok()?
        }
        _ => return None,
    };
    core::datetime(moment)
}

//! The vocabulary's facts as the wire has them.

use std::collections::BTreeMap;

use crate::{
    model::{EntityRef, Members, Value},
    proto::v1::{self as wire, value::Kind},
};

/// A fact that the wire cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is a number that is not a 64-bit integer: send a decimal as a string, as in `\"1.5\"`"
)]
pub struct NotSendable(String);

impl From<EntityRef> for wire::EntityUid {
    fn from(it: EntityRef) -> Self {
        Self {
            r#type: it.type_name,
            id: it.id,
        }
    }
}

impl From<EntityRef> for wire::Entity {
    /// An entity about which nothing is stated.
    fn from(it: EntityRef) -> Self {
        Self {
            uid: Some(it.into()),
            ..Self::default()
        }
    }
}

/// Attributes or context members; a null is left out.
///
/// # Errors
/// [`NotSendable`] for numbers that are not 64-bit integers.
pub fn to_members(members: Members) -> Result<BTreeMap<String, wire::Value>, NotSendable> {
    let mut sent = BTreeMap::new();
    for (name, value) in members {
        if let Some(value) = to_value(&name, value)? {
            sent.insert(name, value);
        }
    }
    Ok(sent)
}

fn to_value(name: &str, value: Value) -> Result<Option<wire::Value>, NotSendable> {
    let kind = match value {
        Value::Null => return Ok(None),
        Value::Number(_) => return Err(NotSendable(name.to_owned())),
        Value::Bool(value) => Kind::Bool(value),
        Value::Long(value) => Kind::Int64(value),
        Value::String(text) => Kind::String(text),
        Value::Entity(uid) => Kind::Entity(uid.into()),
        Value::Ip(text) => Kind::Ip(text),
        Value::Decimal(text) => Kind::Decimal(text),
        Value::Datetime(text) => Kind::Datetime(text),
        Value::Duration(text) => Kind::Duration(text),
        Value::Set(items) => {
            let items = items.into_iter().map(|item| to_value(name, item));
            let values = items
                .filter_map(Result::transpose)
                .collect::<Result<_, _>>()?;
            Kind::Set(wire::ValueSet { values })
        }
        Value::Record(members) => Kind::Record(wire::ValueRecord {
            members: to_members(members)?,
        }),
    };
    Ok(Some(wire::Value { kind: Some(kind) }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn send(json: serde_json::Value) -> Result<BTreeMap<String, wire::Value>, NotSendable> {
        let Value::Record(members) = Value::from(json) else {
            panic!()
        };
        to_members(members)
    }

    #[test]
    fn facts_keep_their_kinds_and_nulls_are_absent() {
        let sent = send(json!({"a": 1, "b": null, "c": {"d": [true, null, "x"]}})).unwrap();
        assert_eq!(sent["a"].kind, Some(Kind::Int64(1)));
        assert!(!sent.contains_key("b"));
        let Some(Kind::Record(c)) = &sent["c"].kind else {
            panic!()
        };
        let Some(Kind::Set(d)) = &c.members["d"].kind else {
            panic!()
        };
        assert_eq!(d.values.len(), 2);
    }

    #[test]
    fn fractions_are_refused_by_name() {
        let why = send(json!({"a": {"rate": [1.5]}})).unwrap_err();
        assert!(why.to_string().starts_with("`rate`"), "{why}");
    }
}

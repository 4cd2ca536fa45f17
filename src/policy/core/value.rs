//! Values of the engine.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, LazyLock},
};

use cedar_policy_core::{
    ast::{
        ExprKind, ExtensionFunction, Literal, Name, PartialValue, RestrictedExpr, Value, ValueKind,
    },
    extensions::Extensions,
};
use jiff::Timestamp;
use smol_str::SmolStr;

use super::{CedarValue, Uid};
use crate::model;

/// A boolean.
pub fn bool(value: bool) -> CedarValue {
    Value::from(value)
}

/// An integer.
pub fn long(value: i64) -> CedarValue {
    Value::from(value)
}

/// A string.
pub fn string(text: &str) -> CedarValue {
    Value::from(text)
}

/// A set.
pub fn set(values: Vec<CedarValue>) -> CedarValue {
    Value::set(values, None)
}

/// A record.
pub fn record(members: BTreeMap<SmolStr, CedarValue>) -> CedarValue {
    Value::record_arc(Arc::new(members), None)
}

/// A reference to an entity.
pub fn entity_value(uid: Uid) -> CedarValue {
    Value::from(uid)
}

/// An IP address or range; `None` when the text is none.
pub fn ip(text: &str) -> Option<CedarValue> {
    static IP: LazyLock<Option<&ExtensionFunction>> = LazyLock::new(|| function("ip"));
    construct(*IP, text)
}

/// A decimal; `None` when the text is none.
pub fn decimal(text: &str) -> Option<CedarValue> {
    static DECIMAL: LazyLock<Option<&ExtensionFunction>> = LazyLock::new(|| function("decimal"));
    construct(*DECIMAL, text)
}

/// A duration; `None` when the text is none.
pub fn duration(text: &str) -> Option<CedarValue> {
    static DURATION: LazyLock<Option<&ExtensionFunction>> = LazyLock::new(|| function("duration"));
    construct(*DURATION, text)
}

/// A moment, to the millisecond; `None` outside of Cedar's years.
pub fn datetime(moment: Timestamp) -> Option<CedarValue> {
    static DATETIME: LazyLock<Option<&ExtensionFunction>> = LazyLock::new(|| function("datetime"));
    construct(
        *DATETIME,
        &moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
    )
}

fn function(name: &str) -> Option<&'static ExtensionFunction> {
    Extensions::all_available()
        .func(&Name::parse_unqualified_name(name).ok()?)
        .ok()
}

fn construct(function: Option<&ExtensionFunction>, text: &str) -> Option<CedarValue> {
    match function?.call(&[Value::from(text)]).ok()? {
        PartialValue::Value(value) => Some(value),
        PartialValue::Residual(_) => None,
    }
}

/// The entities that a value refers to, at any depth.
pub fn references(value: &CedarValue) -> HashSet<Uid> {
    value.all_literal_uids()
}

/// The value as someone may state it: read by its own type, it is the same again.
pub fn stated(value: &CedarValue) -> model::Value {
    match value.value_kind() {
        ValueKind::Lit(Literal::Bool(value)) => model::Value::Bool(*value),
        ValueKind::Lit(Literal::Long(value)) => model::Value::Long(*value),
        ValueKind::Lit(Literal::String(text)) => model::Value::String(text.to_string()),
        ValueKind::Lit(Literal::EntityUID(uid)) => model::Value::Entity(stated_uid(uid)),
        ValueKind::Set(set) => model::Value::Set(set.iter().map(stated).collect()),
        ValueKind::Record(members) => {
            let members = members.iter();
            let members = members.map(|(name, value)| (name.to_string(), stated(value)));
            model::Value::Record(members.collect())
        }
        ValueKind::ExtensionValue(_) => stated_extension(value),
    }
}

/// An entity as someone may name it.
pub fn stated_uid(uid: &Uid) -> model::EntityRef {
    let id: &str = uid.eid().as_ref();
    model::EntityRef::new(uid.entity_type().to_string(), id)
}

/// What its constructor was given: every one that is made here has one text.
fn stated_extension(value: &CedarValue) -> model::Value {
    let call = RestrictedExpr::from(value.clone());
    if let ExprKind::ExtensionFunctionApp { fn_name, args } = call.expr_kind()
        && let Some(ExprKind::Lit(Literal::String(text))) = args.first().map(|it| it.expr_kind())
    {
        let text = text.to_string();
        match fn_name.to_string().as_str() {
            "ip" => return model::Value::Ip(text),
            "decimal" => return model::Value::Decimal(text),
            "datetime" => return model::Value::Datetime(text),
            "duration" => return model::Value::Duration(text),
            _ => {}
        }
    }
    model::Value::String(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_stated_as_they_are_read() {
        let moment = "2030-01-01T09:00:00.250Z".parse().unwrap();
        let of = |value: Option<CedarValue>| stated(&value.unwrap());
        assert_eq!(of(ip("10.0.0.0/8")), model::Value::Ip("10.0.0.0/8".into()));
        assert_eq!(of(decimal("1.50")), model::Value::Decimal("1.50".into()));
        assert_eq!(
            of(duration("1h30m")),
            model::Value::Duration("1h30m".into())
        );
        assert_eq!(
            of(datetime(moment)),
            model::Value::Datetime("2030-01-01T09:00:00.250Z".into())
        );
        let nested = record([("a".into(), set(vec![long(1), bool(true)]))].into());
        let members = [("a".to_owned(), stated(&set(vec![long(1), bool(true)])))];
        assert_eq!(stated(&nested), model::Value::Record(members.into()));
    }
}

//! Values of the engine.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, LazyLock},
};

use cedar_policy_core::{
    ast::{ExtensionFunction, Name, PartialValue, Value},
    extensions::Extensions,
};
use jiff::Timestamp;
use smol_str::SmolStr;

use super::{CedarValue, Uid};

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

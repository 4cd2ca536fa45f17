//! Values of the engine.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use cedar_policy_core::{
    ast::{ExtensionFunction, Literal, Name, PartialValue, Value, ValueKind},
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
///
/// Cedar makes one of text alone, which costs more than a small decision. So the last one of each
/// thread is kept: requests of one millisecond share their `now`.
pub fn datetime(moment: Timestamp) -> Option<CedarValue> {
    thread_local! {
        static LAST: RefCell<Option<(i128, CedarValue)>> = const { RefCell::new(None) };
    }
    static DATETIME: LazyLock<Option<&ExtensionFunction>> = LazyLock::new(|| function("datetime"));
    let millisecond = moment.as_nanosecond().div_euclid(1_000_000);
    LAST.with_borrow_mut(|last| {
        if let Some((of, value)) = last
            && *of == millisecond
        {
            return Some(value.clone());
        }
        let text = moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
        let value = construct(*DATETIME, &text)?;
        *last = Some((millisecond, value.clone()));
        Some(value)
    })
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

/// Calls `found` with every entity that a value refers to, at any depth, as often as it does.
pub fn references(value: &CedarValue, found: &mut impl FnMut(&Uid)) {
    match value.value_kind() {
        ValueKind::Lit(Literal::EntityUID(uid)) => found(uid),
        ValueKind::Lit(_) | ValueKind::ExtensionValue(_) => {}
        ValueKind::Set(set) => set.iter().for_each(|item| references(item, found)),
        ValueKind::Record(members) => members.values().for_each(|item| references(item, found)),
    }
}

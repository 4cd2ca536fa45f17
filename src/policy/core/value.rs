//! Values of the engine.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::BTreeMap,
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

/// The members of a record.
pub fn as_record(value: &CedarValue) -> Option<&BTreeMap<SmolStr, CedarValue>> {
    match value.value_kind() {
        ValueKind::Record(members) => Some(members),
        _ => None,
    }
}

/// The members of a set, in their order.
pub fn as_set(value: &CedarValue) -> Option<Vec<&CedarValue>> {
    match value.value_kind() {
        ValueKind::Set(set) => Some(set.iter().collect()),
        _ => None,
    }
}

/// The entity that a value refers to.
pub fn as_entity(value: &CedarValue) -> Option<&Uid> {
    match value.value_kind() {
        ValueKind::Lit(Literal::EntityUID(uid)) => Some(uid),
        _ => None,
    }
}

/// The text of a string.
pub fn as_text(value: &CedarValue) -> Option<&str> {
    match value.value_kind() {
        ValueKind::Lit(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// What a boolean is.
pub(in crate::policy) fn as_bool(value: &CedarValue) -> Option<bool> {
    match value.value_kind() {
        ValueKind::Lit(Literal::Bool(value)) => Some(*value),
        _ => None,
    }
}

/// What can be counted in steps of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Scale {
    /// Integers.
    Long,
    /// Durations, in milliseconds.
    Duration,
    /// Moments, in milliseconds since 1970.
    Datetime,
}

/// A value as a number on its scale.
pub(in crate::policy) fn as_number(value: &CedarValue) -> Option<(Scale, i64)> {
    let long = |value: &CedarValue| match value.value_kind() {
        ValueKind::Lit(Literal::Long(value)) => Some(*value),
        _ => None,
    };
    if let Some(value) = long(value) {
        return Some((Scale::Long, value));
    }
    if !matches!(value.value_kind(), ValueKind::ExtensionValue(_)) {
        return None;
    }
    if let Some(length) = call("toMilliseconds", std::slice::from_ref(value)) {
        return Some((Scale::Duration, long(&length)?));
    }
    let since = call("durationSince", &[value.clone(), epoch()?])?;
    let length = call("toMilliseconds", &[since])?;
    Some((Scale::Datetime, long(&length)?))
}

/// The value that is this number on its scale.
pub(in crate::policy) fn of_number(scale: Scale, number: i64) -> Option<CedarValue> {
    match scale {
        Scale::Long => Some(long(number)),
        Scale::Duration => duration(&format!("{number}ms")),
        Scale::Datetime => call("offset", &[epoch()?, duration(&format!("{number}ms"))?]),
    }
}

/// A value in Cedar's notation, moments and durations as people write them.
pub fn notation(value: &CedarValue) -> String {
    match as_number(value) {
        Some((Scale::Datetime, at)) => match Timestamp::from_millisecond(at) {
            Ok(at) => format!("datetime(\"{at}\")"),
            Err(_) => value.to_string(),
        },
        Some((Scale::Duration, length)) => format!("duration(\"{}\")", in_units(length)),
        Some((Scale::Long, _)) | None => value.to_string(),
    }
}

fn in_units(length: i64) -> String {
    let mut text = String::from(if length < 0 { "-" } else { "" });
    let mut left = length.unsigned_abs();
    for (unit, size) in [
        ("d", 24 * 60 * 60 * 1000),
        ("h", 60 * 60 * 1000),
        ("m", 60 * 1000),
        ("s", 1000),
        ("ms", 1),
    ] {
        if left >= size {
            text.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    match length {
        0 => "0ms".to_owned(),
        _ => text,
    }
}

fn epoch() -> Option<CedarValue> {
    datetime(Timestamp::UNIX_EPOCH)
}

fn call(name: &str, arguments: &[CedarValue]) -> Option<CedarValue> {
    // A name is read by Cedar's parser, which costs more than the call.
    static CALLED: LazyLock<[(&str, Option<&ExtensionFunction>); 3]> = LazyLock::new(|| {
        ["toMilliseconds", "durationSince", "offset"].map(|name| (name, function(name)))
    });
    let (_, function) = CALLED.iter().find(|(called, _)| *called == name)?;
    match (*function)?.call(arguments).ok()? {
        PartialValue::Value(value) => Some(value),
        PartialValue::Residual(_) => None,
    }
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
    model::EntityRef::new(type_text(uid), id)
}

/// An entity in Cedar's notation.
pub fn notation_of_uid(uid: &Uid) -> String {
    let id: &str = uid.eid().as_ref();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    match id.bytes().all(is_plain) {
        // What most are, without formatting.
        true => [&*type_text(uid), "::\"", id, "\""].concat(),
        false => uid.to_string(),
    }
}

/// The full name of an entity's type.
pub fn type_text(uid: &Uid) -> Cow<'_, str> {
    let name = uid.entity_type().name();
    match name.is_unqualified() {
        true => Cow::Borrowed(name.basename_as_ref().as_ref()),
        false => Cow::Owned(name.to_string()),
    }
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
    fn entities_are_written_as_cedar_writes_them() {
        for uid in [
            r#"User::"alice""#,
            r#"A::B::User::"u-1|x""#,
            r#"User::"two words""#,
            r#"User::"it's \"so\" \\ \n""#,
            r#"User::"é\u{202e}""#,
            r#"User::"""#,
        ] {
            let uid: Uid = uid.parse().unwrap();
            assert_eq!(notation_of_uid(&uid), uid.to_string());
            assert_eq!(stated_uid(&uid).type_name, uid.entity_type().to_string());
        }
    }

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

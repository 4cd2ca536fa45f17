//! The claims of a token that Envoy's own `jwt_authn` filter verified.

use std::collections::HashMap;

use envoy_types::pb::{
    envoy::config::core::v3::Metadata,
    google::protobuf::{Struct, Value as Json, value::Kind},
};

use crate::model::{Members, Refusal, Value};

/// Where the filter writes, and the key that its configuration must choose (`payload_in_metadata`).
const FILTER: &str = "envoy.filters.http.jwt_authn";
const KEY: &str = "jwt_payload";

/// As for a token's own payload.
const MAX_DEPTH: usize = 32;
const MAX_VALUES: usize = 4096;

/// Integers beyond this are not exact in a double (RFC 7493 §2.2).
const EXACT: f64 = 9_007_199_254_740_991.0;

/// The payload as the filter left it.
///
/// # Errors
/// [`Refusal::TooLarge`].
pub(super) fn read(metadata: Option<Metadata>) -> Result<Option<Members>, Refusal> {
    let by_filter = metadata.map(|it| it.filter_metadata).unwrap_or_default();
    let Some(Kind::StructValue(payload)) = payload(by_filter) else {
        return Ok(None);
    };
    let mut left = MAX_VALUES;
    members(payload, MAX_DEPTH, &mut left).map(Some)
}

fn payload(mut by_filter: HashMap<String, Struct>) -> Option<Kind> {
    by_filter.remove(FILTER)?.fields.remove(KEY)?.kind
}

fn members(of: Struct, depth: usize, left: &mut usize) -> Result<Members, Refusal> {
    let members = of.fields.into_iter();
    members
        .map(|(name, json)| Ok((name, value(json, depth, left)?)))
        .collect()
}

fn value(json: Json, depth: usize, left: &mut usize) -> Result<Value, Refusal> {
    let too_large = |what, limit| Refusal::TooLarge { what, limit };
    let inner = || {
        let deeper = depth.checked_sub(1);
        deeper.ok_or(too_large("nesting of claims", MAX_DEPTH))
    };
    *left = left.checked_sub(1).ok_or(too_large("claims", MAX_VALUES))?;
    Ok(match json.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(number)) => number_value(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => {
            let depth = inner()?;
            let items = list.values.into_iter().map(|item| value(item, depth, left));
            Value::Set(items.collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(record)) => Value::Record(members(record, inner()?, left)?),
    })
}

/// `Struct` has doubles only: what is integral and exact was an integer.
fn number_value(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "integral and within 2^53")]
        let integer = number as i64;
        return Value::Long(integer);
    }
    Value::Number(number)
}

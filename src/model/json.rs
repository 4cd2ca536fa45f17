//! One strict JSON reader for whatever others send: tokens, contexts, request bodies.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::value::{Members, Value};

/// How much JSON one document may hold.
#[derive(Clone, Copy, Debug)]
pub struct JsonLimits {
    /// The greatest nesting of objects and arrays.
    pub depth: usize,
    /// The greatest number of values, members and items together.
    pub values: usize,
}

/// Why a document was refused; never quotes the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Not one JSON value of RFC 8259, in UTF-8, with nothing after it.
    #[error("not a JSON document")]
    Syntax,
    /// A member name occurs twice in one object (RFC 7493 §2.3).
    #[error("an object has the same member twice")]
    DuplicateMember,
    /// Nested too deeply.
    #[error("nested too deeply")]
    TooDeep,
    /// More values than the limit.
    #[error("too many values")]
    TooMany,
}

/// Reads one JSON document as I-JSON (RFC 7493): UTF-8, no duplicate members, bounded.
///
/// # Errors
/// A [`JsonFault`] for anything else than exactly one such document.
pub fn parse_json(bytes: &[u8], limits: JsonLimits) -> Result<Value, JsonFault> {
    let state = State {
        left: Cell::new(limits.values),
        fault: Cell::new(JsonFault::Syntax),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed {
        state: &state,
        depth: limits.depth,
    };
    let value = seed
        .deserialize(&mut deserializer)
        .map_err(|_| state.fault.get())?;
    deserializer.end().map_err(|_| JsonFault::Syntax)?;
    Ok(value)
}

struct State {
    left: Cell<usize>,
    fault: Cell<JsonFault>,
}

impl State {
    fn fail<E: serde::de::Error>(&self, fault: JsonFault) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.left
            .set(left.ok_or_else(|| self.fail(JsonFault::TooMany))?);
        Ok(())
    }
}

/// Reads the next value with `depth` levels of nesting left.
#[derive(Clone, Copy)]
struct Seed<'a> {
    state: &'a State,
    depth: usize,
}

impl Seed<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(self.state.fail(JsonFault::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.state.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Long(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Value::Long(value),
            #[expect(clippy::cast_precision_loss, reason = "only kept to be refused")]
            Err(_) => Value::Number(value as f64),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Set(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut members = Members::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(inner)?;
            if members.insert(name, value).is_some() {
                return Err(self.state.fail(JsonFault::DuplicateMember));
            }
        }
        Ok(Value::Record(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: JsonLimits = JsonLimits {
        depth: 3,
        values: 10,
    };

    #[track_caller]
    fn check(text: &[u8], expected: Result<serde_json::Value, JsonFault>) {
        assert_eq!(parse_json(text, LIMITS), expected.map(Value::from));
    }

    #[test]
    fn one_document_is_read_and_anything_else_refused() {
        check(
            br#"{"a":[1,"x",null,true]}"#,
            Ok(serde_json::json!({"a": [1, "x", null, true]})),
        );
        for text in [
            &b""[..],
            b"{",
            b"{} {}",
            b"[1,]",
            b"{a:1}",
            b"\xef\xbb\xbf{}",
            b"\"\xff\"",
            b"\"\\ud800\"",
            b"NaN",
            b"1e400",
        ] {
            check(text, Err(JsonFault::Syntax));
        }
    }

    #[test]
    fn duplicate_members_are_refused_at_any_depth() {
        check(br#"{"a":1,"a":1}"#, Err(JsonFault::DuplicateMember));
        check(
            br#"{"x":{"a":1,"\u0061":2}}"#,
            Err(JsonFault::DuplicateMember),
        );
    }

    #[test]
    fn depth_and_size_are_bounded() {
        check(b"[[[1]]]", Ok(serde_json::json!([[[1]]])));
        check(b"[[[[1]]]]", Err(JsonFault::TooDeep));
        check(
            b"[1,2,3,4,5,6,7,8,9]",
            Ok(serde_json::json!([1, 2, 3, 4, 5, 6, 7, 8, 9])),
        );
        check(b"[1,2,3,4,5,6,7,8,9,0]", Err(JsonFault::TooMany));
    }

    #[test]
    fn numbers_beyond_64_bits_are_kept_apart_from_integers() {
        assert_eq!(
            parse_json(b"9223372036854775807", LIMITS),
            Ok(Value::Long(i64::MAX))
        );
        assert!(matches!(
            parse_json(b"9223372036854775808", LIMITS),
            Ok(Value::Number(_))
        ));
        assert_eq!(parse_json(b"1.5", LIMITS), Ok(Value::Number(1.5)));
    }
}

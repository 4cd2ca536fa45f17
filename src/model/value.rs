//! Facts as someone outside the bundle states them, before the schema says what they mean.

use std::{collections::BTreeMap, fmt, str::FromStr};

/// The members of a record, by name.
pub type Members = BTreeMap<String, Value>;

/// A fact's value: the union of what JSON and the wire can say.
///
/// It has no Cedar type yet; `policy::typing` reads it in the light of the schema.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Value {
    /// JSON's `null`: the fact is absent.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer within 64 bits.
    Long(i64),
    /// A JSON number that is not a 64-bit integer; only dates read it (RFC 7519 §2 NumericDate).
    Number(f64),
    /// Text, which the schema may declare to be an entity id, address, decimal, date or duration.
    String(String),
    /// A reference to an entity.
    Entity(EntityRef),
    /// An IP address or range, as text.
    Ip(String),
    /// A decimal, as text.
    Decimal(String),
    /// A date and time, as text.
    Datetime(String),
    /// A duration in Cedar's notation, as text.
    Duration(String),
    /// A set.
    Set(Vec<Value>),
    /// A record.
    Record(Members),
}

impl Value {
    /// What this value is, in words for an error message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Long(_) => "an integer",
            Self::Number(_) => "a number that is not a 64-bit integer",
            Self::String(_) => "a string",
            Self::Entity(_) => "an entity",
            Self::Ip(_) => "an ip",
            Self::Decimal(_) => "a decimal",
            Self::Datetime(_) => "a datetime",
            Self::Duration(_) => "a duration",
            Self::Set(_) => "a set",
            Self::Record(_) => "a record",
        }
    }

    /// The text, when this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members, when this is a record.
    pub fn as_record(&self) -> Option<&Members> {
        match self {
            Self::Record(members) => Some(members),
            _ => None,
        }
    }

    /// Looks a value up by JSON pointer (RFC 6901), sets by index included.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let mut here = self;
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = token.replace("~1", "/").replace("~0", "~");
            here = match here {
                Self::Record(members) => members.get(&token)?,
                Self::Set(values) => values.get(token.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(here)
    }
}

impl Value {
    /// The value in JSON for people and other programs; an entity is `{"type", "id"}`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Long(value) => (*value).into(),
            Self::Number(value) => (*value).into(),
            Self::String(text)
            | Self::Ip(text)
            | Self::Decimal(text)
            | Self::Datetime(text)
            | Self::Duration(text) => text.as_str().into(),
            Self::Entity(uid) => serde_json::json!({ "type": uid.type_name, "id": uid.id }),
            Self::Set(values) => values.iter().map(Self::to_json).collect(),
            Self::Record(members) => members_to_json(members),
        }
    }
}

/// Members as a JSON object.
pub fn members_to_json(members: &Members) -> serde_json::Value {
    let members = members.iter();
    let members = members.map(|(name, value)| (name.clone(), value.to_json()));
    serde_json::Value::Object(members.collect())
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Self::Long(value),
                None => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::String(text),
            serde_json::Value::Array(items) => {
                Self::Set(items.into_iter().map(Self::from).collect())
            }
            serde_json::Value::Object(members) => Self::Record(
                members
                    .into_iter()
                    .map(|(name, value)| (name, Self::from(value)))
                    .collect(),
            ),
        }
    }
}

impl From<&Value> for serde_json::Value {
    /// As the schema reads it back: an entity as its type and id, what JSON has no type for as text.
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Long(value) => Self::from(*value),
            Value::Number(value) => Self::from(*value),
            Value::String(text)
            | Value::Ip(text)
            | Value::Decimal(text)
            | Value::Datetime(text)
            | Value::Duration(text) => Self::String(text.clone()),
            Value::Entity(uid) => serde_json::json!({ "type": uid.type_name, "id": uid.id }),
            Value::Set(items) => items.iter().map(Self::from).collect(),
            Value::Record(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), Self::from(value)))
                .collect(),
        }
    }
}

/// Names one entity: a type, bare or full, and an id that is any text.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct EntityRef {
    /// The entity type, as `User` or `Shop::User`.
    pub type_name: String,
    /// The id, compared byte for byte.
    pub id: String,
}

impl EntityRef {
    /// Names the entity `id` of type `type_name`.
    pub fn new(type_name: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            type_name: type_name.into(),
            id: id.into(),
        }
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::\"{}\"", self.type_name, self.id.escape_debug())
    }
}

/// Text that does not name an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an entity such as `Order::\"o-1\"`")]
pub struct NotAnEntityRef;

impl FromStr for EntityRef {
    type Err = NotAnEntityRef;

    /// Reads Cedar's notation, `Type::"id"`, with its escapes.
    fn from_str(text: &str) -> Result<Self, NotAnEntityRef> {
        let (type_name, quoted) = text.split_once("::\"").ok_or(NotAnEntityRef)?;
        let id = quoted.strip_suffix('"').ok_or(NotAnEntityRef)?;
        let is_name = |part: &str| {
            let mut chars = part.chars();
            chars
                .next()
                .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
                && chars.all(|next| next.is_ascii_alphanumeric() || next == '_')
        };
        if !type_name.split("::").all(is_name) {
            return Err(NotAnEntityRef);
        }
        Ok(Self::new(type_name, unescape(id).ok_or(NotAnEntityRef)?))
    }
}

/// Undoes Cedar's string escapes; `None` for an unknown escape or an unescaped quote.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return None,
            '\\' => out.push(match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                same @ ('\\' | '"' | '\'') => same,
                'u' => {
                    let hex: String = chars
                        .by_ref()
                        .skip_while(|c| *c == '{')
                        .take_while(|c| *c != '}')
                        .collect();
                    char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?
                }
                _ => return None,
            }),
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_refs_read_what_they_print() {
        for id in [
            "o-1",
            "",
            "a\"b",
            "a\\b",
            "::",
            "line\nbreak",
            "é✓",
            "\0",
            "it's",
        ] {
            let uid = EntityRef::new("Shop::Order", id);
            assert_eq!(uid.to_string().parse(), Ok(uid));
        }
    }

    #[test]
    fn text_that_names_no_entity_is_refused() {
        for text in [
            "",
            "Order",
            "Order::o-1",
            "Order::\"a",
            "::\"a\"",
            "1a::\"b\"",
            "A::\"x\"y\"",
        ] {
            assert_eq!(text.parse::<EntityRef>(), Err(NotAnEntityRef), "{text}");
        }
    }

    #[test]
    fn pointers_follow_rfc_6901() {
        let value = Value::from(serde_json::json!({"a": {"b/c": [1, {"d~e": true}]}}));
        assert_eq!(value.pointer("/a/b~1c/1/d~0e"), Some(&Value::Bool(true)));
        assert_eq!(value.pointer("/a/x"), None);
        assert_eq!(value.pointer("a"), None);
    }
}

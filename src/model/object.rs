//! A JSON object as text, each of whose members is found without reading the others.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer as _, Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Bytes of one number of the index.
const NUMBER: usize = size_of::<u32>();
/// Bytes of what the index has of one member: the sum of its name, and where it begins.
const ENTRY: usize = 2 * NUMBER;

/// A JSON object as text after an index of its members, in one piece of memory.
///
/// A look at a member touches the index and that member. Short ones stand first, so that those are
/// near the index which are looked at most: numbers, flags, names.
///
/// It may be written to a disk: its form is that of `store`'s checkpoint, whose number changes with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct JsonObject<'b>(&'b [u8]);

/// A text that is no JSON object, has a member twice, or is too large; never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one JSON object")]
pub struct NoJsonObject;

/// The name of a member to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberName {
    name: Box<str>,
    /// The beginning of the member.
    begin: Box<str>,
    sum: u32,
}

/// What the index has of a member.
#[derive(Clone, Copy, Default)]
struct Place {
    sum: u32,
    /// Where in the text it begins, in bytes.
    begin: u32,
}

impl<'b> JsonObject<'b> {
    /// Writes an object with its index to `bytes`; of the text, all but the order of its members and
    /// the spaces between them is kept.
    ///
    /// # Errors
    /// [`NoJsonObject`] when it is none, has a member twice, or has 4 GiB or more.
    pub fn write(text: &str, bytes: &mut Vec<u8>) -> Result<(), NoJsonObject> {
        let mut members = members(text).map_err(|_| NoJsonObject)?;
        let number = |size: usize| u32::try_from(size).map_err(|_| NoJsonObject);
        bytes.extend(number(members.len())?.to_le_bytes());
        members.sort_unstable_by_key(|(name, value)| (value.len(), name.len()));
        let index = bytes.len();
        bytes.resize(index + members.len() * ENTRY, 0);
        let begin = bytes.len();
        bytes.push(b'{');
        for (n, (name, value)) in members.iter().enumerate() {
            if n > 0 {
                bytes.push(b',');
            }
            let place = [sum(name), number(bytes.len() - begin)?].map(u32::to_le_bytes);
            let entry = index + n * ENTRY;
            if let Some(entry) = bytes.get_mut(entry..entry + ENTRY) {
                entry.copy_from_slice(place.as_flattened());
            }
            match name {
                // Without escapes, and so it needs none.
                Cow::Borrowed(name) => bytes.extend([b"\"", name.as_bytes(), b"\":"].concat()),
                Cow::Owned(name) => bytes.extend(begin_of(name).as_bytes()),
            }
            bytes.extend(value.as_bytes());
        }
        bytes.push(b'}');
        number(bytes.len() - begin).map(|_| ())
    }

    /// What [`Self::write`] wrote; of any other bytes, an object without members.
    pub fn read(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// The whole text.
    pub fn text(self) -> &'b str {
        let text = self.parts().map(|(_, text)| std::str::from_utf8(text));
        text.and_then(Result::ok).unwrap_or_default()
    }

    /// The text of a member's value.
    pub fn member(self, name: &MemberName) -> Option<&'b [u8]> {
        let (index, text) = self.parts()?;
        let places = || index.iter().map(Place::read);
        let of_name = |(n, place): (usize, Place)| {
            // A comma or the last brace comes before.
            let after = places().nth(n + 1).map_or(text.len(), |it| at(it.begin));
            let member = text.get(at(place.begin)..after.checked_sub(1)?)?;
            member.strip_prefix(name.begin.as_bytes())
        };
        let mut alike = places().enumerate().filter(|(_, it)| it.sum == name.sum);
        alike.find_map(of_name)
    }

    /// The index, and the text.
    fn parts(self) -> Option<(&'b [[u8; ENTRY]], &'b [u8])> {
        let (count, rest) = self.0.split_first_chunk()?;
        let size = at(u32::from_le_bytes(*count)).checked_mul(ENTRY)?;
        let (index, text) = rest.split_at_checked(size)?;
        Some((index.as_chunks().0, text))
    }
}

impl MemberName {
    /// A name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            begin: begin_of(name).into(),
            sum: sum(name),
        }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl Place {
    fn read(bytes: &[u8; ENTRY]) -> Self {
        match bytes.as_chunks().0 {
            [sum, begin] => Self {
                sum: u32::from_le_bytes(*sum),
                begin: u32::from_le_bytes(*begin),
            },
            _ => Self::default(),
        }
    }
}

fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// How a member of this name begins.
fn begin_of(name: &str) -> String {
    format!("{}:", serde_json::Value::from(name))
}

fn sum(name: &str) -> u32 {
    crc32fast::hash(name.as_bytes())
}

/// The members of an object, each by its name and the text of its value, in the order of their names.
fn members(text: &str) -> Result<Vec<(Cow<'_, str>, &str)>, serde_json::Error> {
    struct Members;

    /// Not copied where it has no escapes.
    #[derive(Deserialize)]
    struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

    impl<'t> Visitor<'t> for Members {
        type Value = Vec<(Cow<'t, str>, &'t str)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some((Name(name), value)) = map.next_entry::<_, &RawValue>()? {
                found.push((name, value.get()));
            }
            found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            match found.is_sorted_by(|(a, _), (b, _)| a < b) {
                true => Ok(found),
                false => Err(A::Error::custom("a member twice")),
            }
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = deserializer.deserialize_map(Members)?;
    deserializer.end()?;
    Ok(found)
}

impl fmt::Debug for JsonObject<'_> {
    /// Members are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonObject").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, members: &[(&str, &str)]) {
        let mut bytes = b"before".to_vec();
        JsonObject::write(text, &mut bytes).unwrap();
        let object = JsonObject::read(&bytes[6..]);
        assert_eq!(object.text(), expected);
        for (name, value) in members {
            let found = object.member(&MemberName::new(name));
            assert_eq!(found, Some(value.as_bytes()), "{name}");
        }
        assert_eq!(object.member(&MemberName::new("not there")), None);
    }

    #[test]
    fn members_are_found_however_they_were_written() {
        check("{}", "{}", &[]);
        check(" { } ", "{}", &[]);
        check(
            r#"{"a":1,"b":{"a":2},"c":[{"b" : 3}],"":null}"#,
            r#"{"a":1,"":null,"b":{"a":2},"c":[{"b" : 3}]}"#,
            &[
                ("a", "1"),
                ("b", r#"{"a":2}"#),
                ("c", r#"[{"b" : 3}]"#),
                ("", "null"),
            ],
        );
        check(
            "{ \"\\u0061\" :\n-0.5 , \"é\\\"\":\"\\\"}\" }",
            "{\"a\":-0.5,\"é\\\"\":\"\\\"}\"}",
            &[("a", "-0.5"), ("é\"", "\"\\\"}\"")],
        );
        assert_eq!(JsonObject::read(b"").text(), "");
        assert_eq!(JsonObject::read(b"").member(&MemberName::new("a")), None);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in [
            "",
            "1",
            "[]",
            "null",
            "{",
            "{}}",
            "{} {}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"b\":2,\"\\u0061\":1}",
        ] {
            let written = JsonObject::write(text, &mut Vec::new());
            assert_eq!(written, Err(NoJsonObject), "{text}");
        }
    }

    proptest! {
        #[test]
        fn each_member_is_what_a_parser_of_the_whole_reads(
            members in proptest::collection::btree_map(".{0,6}", ".{0,6}", 0..40),
            pretty: bool,
        ) {
            let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let mut bytes = Vec::new();
            JsonObject::write(&write(&members).unwrap(), &mut bytes).unwrap();
            let object = JsonObject::read(&bytes);
            for (name, value) in &members {
                let found = object.member(&MemberName::new(name)).unwrap();
                prop_assert_eq!(&serde_json::from_slice::<String>(found).unwrap(), value);
            }
        }
    }
}

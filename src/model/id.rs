//! Names and ids, each a type of its own.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it stands.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name by which callers ask for a bundle.
    BundleName
}
name! {
    /// The operator's name of a trusted issuer (not its URL).
    IssuerName
}
name! {
    /// The operator's name of a caller: the service or gateway that asks.
    CallerName
}

/// A time-ordered id (UUID version 7, RFC 9562 §5.7) of a decision or refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId(uuid::Uuid);

impl DecisionId {
    /// A fresh id of the moment `now`.
    pub fn new(now: super::Timestamp) -> Self {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        // A hash under keys that the system chose for this thread and that no two calls share: as
        // good as random here, where ids must differ, and without a system call for each.
        let chance = || RandomState::new().build_hasher().finish().to_be_bytes();
        let [a, b, c, d, e, ..] = chance();
        let [f, g, h, i, j, ..] = chance();
        let bytes = [a, b, c, d, e, f, g, h, i, j];
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }
}

impl DecisionId {
    /// The id of these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// The moment that it is of, to the millisecond.
    pub fn time(&self) -> super::Timestamp {
        let [a, b, c, d, e, f, ..] = *self.0.as_bytes();
        let millis = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        super::Timestamp::from_millisecond(millis).unwrap_or(super::Timestamp::MAX)
    }

    /// Its bytes, which sort as the id does.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl std::str::FromStr for DecisionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = uuid::Uuid::try_parse(text);
        id.map(Self)
            .map_err(|_| format!("expected a decision id, not `{}`", text.escape_debug()))
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for DecisionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DecisionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A SHA-256 that names content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps 32 bytes of SHA-256.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or_default();
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// By what callers know a state of stored data: opaque to them, empty while nothing is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Revision(Arc<str>);

impl Revision {
    /// Wraps the text that was made of a position in the log of stored data.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self(Arc::from(""))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decision_ids_sort_by_time() {
        let earlier = DecisionId::new("2030-01-01T00:00:00Z".parse().unwrap());
        let later = DecisionId::new("2030-01-01T00:00:00.002Z".parse().unwrap());
        assert!(earlier < later);
        assert!(earlier.to_string() < later.to_string());
    }

    #[test]
    fn decision_ids_of_one_moment_differ() {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let ids: std::collections::BTreeSet<_> =
            (0..10_000).map(|_| DecisionId::new(now)).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.0.get_version_num() == 7));
    }

    #[test]
    fn digests_print_as_hexadecimal() {
        assert_eq!(Digest::new([0xab; 32]).short(), "abababababab");
    }
}

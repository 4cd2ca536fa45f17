//! A stored entity, in one piece of memory.

use std::{fmt, sync::Arc};

use quick_cache::Equivalent;
use smol_str::SmolStr;

use crate::model::{EntityRef, JsonObject, NoJsonObject};

/// Names a stored entity: its full type name, and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The full type name.
    pub type_name: SmolStr,
    /// The id.
    pub id: SmolStr,
}

/// The same where it stands, with the same order and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRef<'k> {
    /// The full type name.
    pub type_name: &'k str,
    /// The id.
    pub id: &'k str,
}

/// What is to be stored of an entity.
#[derive(Clone, Copy)]
pub struct Unstored<'a> {
    /// By what name.
    pub key: KeyRef<'a>,
    /// A JSON object.
    pub attributes: &'a str,
    /// The sequence of the record that changed it last.
    pub changed: u64,
    /// The sequence of the record that made it, since it was last absent.
    pub born: u64,
    /// The fingerprint of the schema types that it passed when it was written.
    pub stamp: u64,
}

/// A stored entity.
///
/// There may be millions, most of them in none of the processor's caches when they are asked for. So
/// all of one stands together, and what a decision reads of it, before the text of its attributes.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored(Arc<[u8]>);

/// Bytes before the names: when it was changed, and how long its type name, its id and its parents are.
const HEADER: usize = size_of::<u64>() + 3 * size_of::<u32>();
/// Bytes after the attributes: since when it is there, and the stamp.
const END: usize = 2 * size_of::<u64>();

impl Stored {
    /// An entity, in these parents as they were stated.
    ///
    /// # Errors
    /// When its attributes are no JSON object, or a part of it has 4 GiB or more.
    pub fn new<'a>(
        of: Unstored<'a>,
        parents: impl IntoIterator<Item = KeyRef<'a>>,
    ) -> Result<Self, NoJsonObject> {
        let mut names = Vec::new();
        for parent in parents {
            for length in [parent.type_name.len(), parent.id.len()] {
                names.extend(length_bytes(length)?);
            }
            names.extend([parent.type_name, parent.id].map(str::as_bytes).concat());
        }
        let KeyRef { type_name, id } = of.key;
        let mut bytes = Vec::with_capacity(512);
        bytes.extend(of.changed.to_le_bytes());
        for length in [type_name.len(), id.len(), names.len()] {
            bytes.extend(length_bytes(length)?);
        }
        bytes.extend(type_name.as_bytes());
        bytes.extend(id.as_bytes());
        bytes.extend(names);
        JsonObject::write(of.attributes, &mut bytes)?;
        bytes.extend([of.born, of.stamp].map(u64::to_le_bytes).as_flattened());
        Ok(Self(bytes.into()))
    }

    /// What [`Self::bytes`] gave, if it is all there and of this name.
    pub(super) fn read(key: KeyRef<'_>, bytes: &[u8]) -> Option<Self> {
        let ([type_name, id, parents], rest) = lengths(bytes.get(size_of::<u64>()..)?)?;
        let stored = Self(bytes.into());
        let is_whole = type_name + id + parents + END <= rest.len();
        (is_whole && stored.key() == key).then_some(stored)
    }

    /// All of it, in the form of the checkpoint.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// An entity without attributes, as of one record.
    #[cfg(test)]
    pub(crate) fn bare(key: &Key, parents: &[Key], changed: u64) -> Self {
        let of = Unstored {
            key: key.borrowed(),
            attributes: "{}",
            changed,
            born: 1,
            stamp: 0,
        };
        Self::new(of, parents.iter().map(Key::borrowed)).unwrap()
    }

    /// Its name.
    pub fn key(&self) -> KeyRef<'_> {
        let [type_name, id, _] = self.lengths();
        KeyRef {
            type_name: text(&self.0, HEADER, type_name),
            id: text(&self.0, HEADER + type_name, id),
        }
    }

    /// Its parents as they were stated.
    pub fn parents(&self) -> impl Iterator<Item = KeyRef<'_>> {
        let [type_name, id, parents] = self.lengths();
        let begin = HEADER + type_name + id;
        let mut rest = self.0.get(begin..begin + parents).unwrap_or_default();
        std::iter::from_fn(move || {
            let ([type_name, id], after) = lengths(rest)?;
            let key = KeyRef {
                type_name: text(after, 0, type_name),
                id: text(after, type_name, id),
            };
            rest = after.get(type_name + id..)?;
            Some(key)
        })
    }

    /// Its attributes as they were stated.
    pub fn attributes(&self) -> JsonObject<'_> {
        let begin = HEADER + self.lengths().iter().sum::<usize>();
        let end = self.0.len().saturating_sub(END);
        JsonObject::read(self.0.get(begin..end).unwrap_or_default())
    }

    /// The sequence of the record that changed it last.
    pub fn changed(&self) -> u64 {
        number_at(self.0.first_chunk())
    }

    /// The sequence of the record that made it, since it was last absent.
    pub fn born(&self) -> u64 {
        let end = self.0.last_chunk::<END>();
        number_at(end.and_then(|end| end.first_chunk()))
    }

    /// The fingerprint of the schema types that it passed when it was written.
    pub fn stamp(&self) -> u64 {
        number_at(self.0.last_chunk())
    }

    fn lengths(&self) -> [usize; 3] {
        let after = self.0.get(size_of::<u64>()..).and_then(lengths);
        after.map_or([0; 3], |(lengths, _)| lengths)
    }
}

fn number_at(bytes: Option<&[u8; size_of::<u64>()]>) -> u64 {
    bytes.map_or(0, |it| u64::from_le_bytes(*it))
}

/// Lengths that stand at the beginning of `bytes`, and what comes after them.
fn lengths<const N: usize>(bytes: &[u8]) -> Option<([usize; N], &[u8])> {
    let (lengths, rest) = bytes.split_at_checked(N * size_of::<u32>())?;
    let mut lengths = lengths
        .as_chunks()
        .0
        .iter()
        .map(|it| u32::from_le_bytes(*it));
    let mut next = || usize::try_from(lengths.next().unwrap_or(0)).unwrap_or(0);
    Some((std::array::from_fn(|_| next()), rest))
}

fn length_bytes(length: usize) -> Result<[u8; 4], NoJsonObject> {
    let length = u32::try_from(length).map_err(|_| NoJsonObject)?;
    Ok(length.to_le_bytes())
}

/// It was text when it was written there.
fn text(bytes: &[u8], begin: usize, length: usize) -> &str {
    let bytes = bytes.get(begin..begin + length).unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl Key {
    /// Names an entity.
    pub fn new(type_name: &str, id: &str) -> Self {
        KeyRef { type_name, id }.to_key()
    }

    /// The same where it stands.
    pub fn borrowed(&self) -> KeyRef<'_> {
        KeyRef {
            type_name: &self.type_name,
            id: &self.id,
        }
    }

    /// The same in words of callers.
    pub fn entity(&self) -> EntityRef {
        self.borrowed().entity()
    }
}

impl KeyRef<'_> {
    /// The same to be kept.
    pub fn to_key(self) -> Key {
        Key {
            type_name: SmolStr::new(self.type_name),
            id: SmolStr::new(self.id),
        }
    }

    /// The same in words of callers.
    pub fn entity(self) -> EntityRef {
        EntityRef::new(self.type_name, self.id)
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.borrowed()
    }
}

impl<'k> From<&'k Key> for KeyRef<'k> {
    fn from(key: &'k Key) -> Self {
        key.borrowed()
    }
}

impl fmt::Debug for Stored {
    /// Attributes are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("changed", &self.changed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn key() -> impl Strategy<Value = (String, String)> {
        ("[A-Z]{1,3}(::[a-z]{1,30})?", ".{0,30}")
    }

    proptest! {
        #[test]
        fn what_was_stored_is_read_again(
            name in key(),
            parents in proptest::collection::vec(key(), 0..4),
            attributes in proptest::collection::btree_map(".{0,6}", ".{0,6}", 0..6),
            numbers: [u64; 3],
        ) {
            let of = |(type_name, id): &(String, String)| Key::new(type_name, id);
            let (name, parents) = (of(&name), parents.iter().map(of).collect::<Vec<_>>());
            let text = json!(attributes).to_string();
            let [changed, born, stamp] = numbers;
            let of = Unstored {
                key: name.borrowed(),
                attributes: &text,
                changed,
                born,
                stamp,
            };
            let stored = Stored::new(of, parents.iter().map(Key::borrowed)).unwrap();
            let again = Stored::read(stored.key(), stored.bytes());
            prop_assert_eq!(again.as_ref(), Some(&stored));
            prop_assert_eq!(Stored::read(Key::new("T", "").borrowed(), stored.bytes()), None);
            for cut in 0..HEADER + END {
                prop_assert_eq!(Stored::read(stored.key(), &stored.bytes()[..cut]), None);
            }
            prop_assert_eq!(stored.key(), name.borrowed());
            prop_assert!(stored.parents().eq(parents.iter().map(Key::borrowed)));
            let read: serde_json::Value =
                serde_json::from_str(stored.attributes().text()).unwrap();
            prop_assert_eq!(read, json!(attributes));
            prop_assert_eq!([stored.changed(), stored.born(), stored.stamp()], numbers);
        }
    }
}

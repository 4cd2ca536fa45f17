//! The entries of the checkpoint, as bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ledger::record::{Restored, Revocation},
    store::stored::{KeyRef, Stored, Unstored},
};

pub(super) const POSITION: &[u8] = b"p";
pub(super) const ENTITY: u8 = b'e';
pub(super) const REVOCATION: u8 = b'r';
pub(super) const FORMAT: u32 = 2;

/// Where the checkpoint stands.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) format: u32,
    pub(super) sequence: u64,
    pub(super) hash: [u8; 32],
    pub(super) epochs: Vec<(u64, u64)>,
    pub(super) restored: Option<Restored>,
    /// How many entities each bundle has.
    #[serde(default)]
    pub(super) entities: BTreeMap<String, usize>,
    /// The sum over all other entries.
    pub(super) sum: u64,
}

/// A number of one entry, so that those of all can be added up in any order.
pub(super) fn sum(key: &[u8], value: &[u8]) -> u64 {
    let mut low = crc32fast::Hasher::new();
    low.update(key);
    low.update(value);
    let mut high = crc32fast::Hasher::new_with_initial(0x5EED);
    high.update(value);
    high.update(key);
    u64::from(high.finalize()) << 32 | u64::from(low.finalize())
}

pub(super) fn revocation_entry(revocation: &Revocation) -> (Vec<u8>, Vec<u8>) {
    let mut key = vec![REVOCATION];
    key.extend(serde_json::to_vec(revocation).unwrap_or_default());
    (key, Vec::new())
}

/// Entries are in the order of keys, so that a directory is read in its order. Only an id, which is
/// the rest, may have a zero byte.
pub(super) fn entity_key(bundle: &str, key: KeyRef<'_>) -> Vec<u8> {
    let mut bytes = vec![ENTITY];
    for part in [bundle, key.type_name] {
        bytes.extend(part.as_bytes());
        bytes.push(0);
    }
    bytes.extend(key.id.as_bytes());
    bytes
}

pub(super) fn read_key(bytes: &[u8]) -> Option<(&str, KeyRef<'_>)> {
    let mut parts = std::str::from_utf8(bytes).ok()?.splitn(3, '\0');
    let (bundle, type_name, id) = (parts.next()?, parts.next()?, parts.next()?);
    Some((bundle, KeyRef { type_name, id }))
}

pub(super) fn entity_value(stored: &Stored) -> Vec<u8> {
    let attributes = stored.attributes().text();
    let mut bytes = Vec::with_capacity(64 + attributes.len());
    for number in [stored.changed(), stored.born(), stored.stamp()] {
        bytes.extend(number.to_le_bytes());
    }
    put_text(&mut bytes, attributes);
    for parent in stored.parents() {
        put_text(&mut bytes, parent.type_name);
        put_text(&mut bytes, parent.id);
    }
    bytes
}

pub(super) fn read_value(key: KeyRef<'_>, mut bytes: &[u8]) -> Option<Stored> {
    let mut number = || {
        let (number, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        Some(u64::from_le_bytes(*number))
    };
    let (changed, born, stamp) = (number()?, number()?, number()?);
    let of = Unstored {
        key,
        attributes: take_text(&mut bytes)?,
        changed,
        born,
        stamp,
    };
    let mut parents = Vec::new();
    while !bytes.is_empty() {
        let (type_name, id) = (take_text(&mut bytes)?, take_text(&mut bytes)?);
        parents.push(KeyRef { type_name, id });
    }
    Stored::new(of, parents).ok()
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn take_text<'b>(bytes: &mut &'b [u8]) -> Option<&'b str> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (text, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

//! The entries of the checkpoint, as bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ledger::record::{Restored, Revocation},
    store::stored::KeyRef,
};

pub(super) const POSITION: &[u8] = b"p";
pub(super) const ENTITY: u8 = b'e';
pub(super) const REVOCATION: u8 = b'r';
/// Of this file, and of [`Stored`]'s bytes.
pub(super) const FORMAT: u32 = 3;

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

//! One state of everything that is stored.

use std::{collections::BTreeMap, fmt, sync::Arc};

use rpds::HashTrieMapSync;
use smol_str::SmolStr;

use super::{directory::Directory, revocations::Revocations};
use crate::{
    ledger::{Chain, Epoch},
    model::{EntityRef, Revision},
};

/// Everything that is stored, after one record of the ledger.
#[derive(Clone, Default)]
pub struct Version {
    pub(super) directories: HashTrieMapSync<Arc<str>, Arc<Directory>>,
    pub(super) revocations: Revocations,
    pub(super) chain: Chain,
    /// Every epoch that has records, in their order.
    pub(super) epochs: Arc<[Epoch]>,
    pub(super) revision: Revision,
    /// Records and entities since the ledger was last compacted.
    pub(super) since_snapshot: usize,
    /// Why a later record cannot be read, if there is one: what was revoked is then unknown.
    pub(super) unreadable: Option<Arc<str>>,
}

/// Names a stored entity: its full type name, and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The full type name.
    pub type_name: SmolStr,
    /// The id.
    pub id: SmolStr,
}

/// A stored entity, as small as it can be held.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// By what name.
    pub key: Key,
    /// A JSON object.
    pub attributes: Box<str>,
    /// Its parents as they were stated.
    pub parents: Box<[Key]>,
    /// The sequence of the record that changed it last.
    pub changed: u64,
    /// The sequence of the record that made it, since it was last absent.
    pub born: u64,
    /// The fingerprint of the schema types that it passed when it was written.
    pub stamp: u64,
}

impl Version {
    /// The stored entities of a bundle: the same ones in each version until one of them changes.
    pub fn directory(&self, bundle: &str) -> Option<&Arc<Directory>> {
        self.directories.get(bundle)
    }

    /// What was revoked.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// By what callers know this version.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The last record that it follows from.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Why nothing may be decided by it, if so: a record that comes after it cannot be read, and may
    /// be a revocation.
    pub fn unreadable(&self) -> Option<&Arc<str>> {
        self.unreadable.as_ref()
    }

    /// How many entities each bundle has.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        let counts = self
            .directories
            .iter()
            .map(|(name, it)| (name.to_string(), it.len()));
        counts.collect()
    }

    /// How many entities there are, in all bundles.
    pub fn entities(&self) -> usize {
        self.directories.values().map(|it| it.len()).sum()
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version")
            .field("sequence", &self.chain.sequence)
            .field("entities", &self.entities())
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Names an entity.
    pub fn new(type_name: &str, id: &str) -> Self {
        Self {
            type_name: SmolStr::new(type_name),
            id: SmolStr::new(id),
        }
    }

    /// The same in words of callers.
    pub fn entity(&self) -> EntityRef {
        EntityRef::new(self.type_name.as_str(), self.id.as_str())
    }
}

impl fmt::Debug for Stored {
    /// Attributes are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}

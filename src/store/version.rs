//! One state of everything that is stored.

use std::{collections::BTreeMap, fmt, sync::Arc};

use rpds::HashTrieMapSync;

use super::{directory::Directory, revocations::Revocations};
use crate::{
    ledger::{Chain, Epoch},
    model::Revision,
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

//! Makes versions of records, on the ledger's writer thread.

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    apply::{Delta, Outcome},
    checkpoint::Checkpoint,
    health::{Health, Part},
    open::{RECENT, Recent},
    revision::RevisionKey,
    version::Version,
};
use crate::ledger::{Apply, Entry, NotAppended};

/// Makes versions of records, on the writer's thread.
pub struct Applier {
    pub(super) current: Arc<ArcSwap<Version>>,
    pub(super) reached: watch::Sender<u64>,
    pub(super) recent: Arc<Recent>,
    pub(super) key: Arc<RevisionKey>,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) behind: Behind,
    pub(super) health: Arc<Health>,
}

/// What the checkpoint was not told yet of the start.
pub(super) enum Behind {
    No,
    By(Arc<Version>, Vec<Delta>),
    All(Arc<Version>),
}

impl Applier {
    fn catch_up(&mut self) {
        let Some(checkpoint) = &self.checkpoint else {
            return;
        };
        match std::mem::replace(&mut self.behind, Behind::No) {
            Behind::No => {}
            Behind::By(version, deltas) => checkpoint.changes(version, deltas),
            Behind::All(version) => checkpoint.all(version),
        }
    }

    /// Nothing is decided any more: what cannot be read may be a revocation.
    fn cannot_read(&self, mut version: Version, sequence: u64, why: &str) {
        let why = format!("record {sequence}: {why}; use the program that wrote it");
        version.unreadable = Some(why.as_str().into());
        self.current.store(Arc::new(version));
        self.health.set(Part::Records, Some(why));
    }
}

impl Apply for Applier {
    type Outcome = Outcome;

    fn begin(&mut self) {
        self.catch_up();
    }

    fn apply(&mut self, records: &[Entry]) -> Vec<Outcome> {
        let Some(last) = records.last() else {
            return Vec::new();
        };
        self.health.set(Part::Ledger, None);
        let before = self.current.load_full();
        if before.unreadable.is_some() {
            return vec![Outcome::Nothing; records.len()];
        }
        let mut version = Version::clone(&before);
        let mut deltas = Vec::new();
        let mut outcomes = Vec::with_capacity(records.len());
        for entry in records {
            match version.apply(entry, &mut deltas) {
                Ok(outcome) => outcomes.push(outcome),
                Err(why) => {
                    self.cannot_read(Version::clone(&before), entry.sequence, &why);
                    return vec![Outcome::Nothing; records.len()];
                }
            }
        }
        drop(before);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in records {
            let hash = entry.hash.first_chunk().copied().unwrap_or_default();
            recent.push_back((entry.sequence, hash));
        }
        while recent.len() > RECENT {
            recent.pop_front();
        }
        drop(recent);
        version.revision = self.key.make(last.epoch, version.chain);
        let version = Arc::new(version);
        self.current.store(Arc::clone(&version));
        self.reached.send_replace(version.chain.sequence);
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.changes(version, deltas);
        }
        outcomes
    }

    fn refused(&mut self, why: &NotAppended) {
        self.health.set(Part::Ledger, Some(why.to_string()));
    }
}

impl fmt::Debug for Applier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Applier")
    }
}

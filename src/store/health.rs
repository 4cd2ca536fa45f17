//! What is not as it should be with the store while it is open.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A part of the store that can fail while others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Nothing can be written, so nothing can be revoked either; what was written counts.
    Ledger,
    /// A later record cannot be read: nothing is decided until a restart.
    Records,
    /// The checkpoint is not kept, so the next start replays the ledger.
    Checkpoint,
    /// The ledger is not compacted, so it grows.
    Compaction,
}

/// The troubles of all parts.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<BTreeMap<Part, String>>);

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Ledger,
        Self::Records,
        Self::Checkpoint,
        Self::Compaction,
    ];

    /// Its name, as probes and metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Records => "records",
            Self::Checkpoint => "checkpoint",
            Self::Compaction => "compaction",
        }
    }

    /// What its trouble means for whoever asks.
    fn meaning(self) -> &'static str {
        match self {
            Self::Ledger => "writes and revocations are refused",
            Self::Records => "every question is refused",
            Self::Checkpoint => "the next start replays the ledger",
            Self::Compaction => "the ledger grows",
        }
    }
}

impl Health {
    /// Says what is wrong with a part, or that nothing is; logged when that changes.
    pub(super) fn set(&self, part: Part, trouble: Option<String>) {
        let mut all = self.all();
        let (name, meaning) = (part.name(), part.meaning());
        match trouble {
            Some(why) => {
                if !all.contains_key(&part) {
                    tracing::error!(part = name, why, "the store is degraded: {meaning}");
                }
                all.insert(part, format!("{meaning}: {why}"));
            }
            None => {
                if all.remove(&part).is_some() {
                    tracing::info!(part = name, "the store is as it should be again");
                }
            }
        }
    }

    /// What is wrong, in words.
    pub(super) fn troubles(&self) -> Vec<(Part, String)> {
        let all = self.all();
        all.iter().map(|(part, why)| (*part, why.clone())).collect()
    }

    /// Held for moments only, by code that does not panic.
    fn all(&self) -> MutexGuard<'_, BTreeMap<Part, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What is not as it should be with one bundle.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{admin::probe::Degraded, model::BundleName, policy::Fault, watch::WatchState};

/// How many faults a probe is told.
const TOLD_FAULTS: usize = 10;

/// The state of one bundle, for probes.
#[derive(Debug)]
pub(in crate::server) struct Status {
    bundle: BundleName,
    watch: WatchState,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    refused: Option<Vec<Fault>>,
    restored: Option<String>,
    not_kept: Option<String>,
}

impl Status {
    pub(super) fn new(bundle: BundleName, watch: WatchState) -> Self {
        Self {
            bundle,
            watch,
            now: Mutex::default(),
        }
    }

    /// All is as it should be, except that it may not be kept.
    pub(super) fn published(&self, not_kept: Option<String>) {
        *self.now() = Now {
            not_kept,
            ..Now::default()
        };
    }

    /// New content was refused.
    pub(super) fn refused(&self, faults: Vec<Fault>) {
        self.now().refused = Some(faults);
    }

    /// What is served is not what is in the directory.
    pub(super) fn restored(&self, detail: String) {
        self.now().restored = Some(detail);
    }

    /// What is not as it should be.
    pub(in crate::server) fn degraded(&self) -> Vec<Degraded> {
        let mut found = Vec::new();
        let mut tell = |what, detail: String, faults: &[Fault]| {
            found.push(Degraded {
                bundle: Some(self.bundle.clone()),
                what,
                detail,
                faults: faults.to_vec(),
            });
        };
        let now = self.now();
        if let Some(faults) = &now.refused {
            let detail = format!("{} faults in the directory", faults.len());
            tell(
                "refused",
                detail,
                faults.get(..TOLD_FAULTS).unwrap_or(faults),
            );
        }
        if let Some(detail) = &now.restored {
            tell("restored", detail.clone(), &[]);
        }
        if let Some(why) = &now.not_kept {
            let detail = format!("the bundle could not be kept for a restart: {why}");
            tell("not_kept", detail, &[]);
        }
        drop(now);
        if let Some(reason) = self.watch.poll_only() {
            tell("poll_only", reason, &[]);
        }
        found
    }

    /// Held for moments only, by code that does not panic.
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

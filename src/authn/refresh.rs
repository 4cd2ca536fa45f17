//! Keeps the keys of each issuer fresh: one task reads them, whatever asks for them.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{sleep, timeout},
};

use crate::{
    config::IssuerConfig,
    model::{AccessToken, IssuerName, Timestamp},
};

use super::{
    fetch::TIMEOUT,
    keys::{TokenVerifier, TrustedKeys},
    ring::KeyRing,
    source::{POLL, Source},
    verify::Signature,
};

#[cfg(test)]
mod tests;

/// Most requests that wait for one issuer's keys at a time: each holds a token of up to 16 KiB, so
/// a megabyte. Further ones are answered at once from the keys there are.
const MAX_WAITING: usize = 64;

/// Where requests ask an issuer's task for fresh keys.
pub(super) struct Desk {
    source: Source,
    /// Least time between two reads that tokens ask for, and between a failed read and the next.
    min_between: Duration,
    wanted: Notify,
    waiting: Semaphore,
    reads: watch::Sender<Reads>,
}

/// How far the task is.
#[derive(Clone, Copy, Default)]
struct Reads {
    done: u64,
    /// One is under way, or was asked for and is about to be.
    running: bool,
    /// When the last one ended.
    last: Option<Timestamp>,
}

impl Desk {
    pub(super) fn new(source: Source, min_between: Duration) -> Self {
        Self {
            source,
            min_between,
            wanted: Notify::new(),
            waiting: Semaphore::new(MAX_WAITING),
            reads: watch::Sender::default(),
        }
    }

    /// Waits until the task has read the keys anew. `false` at once when it has done so lately or
    /// too many wait already: a flood of unknown `kid`s costs one read per `min_between`.
    async fn fresh(&self, now: Timestamp) -> bool {
        let Ok(_place) = self.waiting.try_acquire() else {
            return false;
        };
        let mut reads = self.reads.subscribe();
        let before = reads.borrow_and_update().done;
        let lately = |last: Timestamp| now.duration_since(last).unsigned_abs() < self.min_between;
        let asked = self.reads.send_if_modified(|reads| {
            let ask = !reads.running && !reads.last.is_some_and(lately);
            reads.running |= ask;
            ask
        });
        if asked {
            self.wanted.notify_one();
        } else if !self.reads.borrow().running {
            return false;
        }
        let done = reads.wait_for(|reads| reads.done > before);
        matches!(timeout(TIMEOUT, done).await, Ok(Ok(_)))
    }

    /// Waits for the time of the next read, or for someone to ask.
    async fn due(&self, pause: Duration) {
        let asked = async {
            // A call left over from before the last read has been served by it.
            while !self.reads.borrow().running {
                self.wanted.notified().await;
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = asked => {}
        }
    }
}

impl TokenVerifier {
    /// For a token that `pinned` refused as `kid_unknown`, `iss_key_mismatch` (its new key may be
    /// called like another issuer's) or `keys_unavailable`, of issuer number `index`: the keys that a
    /// new read brought, if one was due and brought any in time (at most 5 seconds).
    ///
    /// One read serves all who wait, at most one per issuer and `key_refetch`; nobody else waits.
    pub(super) async fn renewed(
        &self,
        index: usize,
        pinned: &TrustedKeys,
        token: &AccessToken,
        now: Timestamp,
    ) -> Option<Arc<TrustedKeys>> {
        let current = self.pin();
        // A signature is not checked twice against the same keys.
        if !std::ptr::eq(pinned, &*current) && current.signature(token, now).lacking().is_none() {
            return Some(current);
        }
        let desk = self.desks.get(index)?.as_ref()?;
        if !desk.source.is_remote() || !desk.fresh(now).await {
            return None;
        }
        Some(self.pin())
    }

    /// What the `pinned` keys say of a token's signature, checked once; where the token is by a key
    /// that they lack, the keys that a new read brought are pinned, and say it.
    pub async fn signature(
        &self,
        pinned: &mut Arc<TrustedKeys>,
        token: &AccessToken,
        now: Timestamp,
    ) -> Signature {
        let found = pinned.signature(token, now);
        let Some(index) = found.lacking() else {
            return found;
        };
        match self.renewed(index, pinned, token, now).await {
            Some(fresh) => {
                *pinned = fresh;
                pinned.signature(token, now)
            }
            None => found,
        }
    }

    /// One task per issuer whose keys can change; `server` runs them for as long as it lives.
    pub fn tasks(self: &Arc<Self>) -> Vec<KeyTask> {
        let issuers = &self.pin().issuers;
        let watched = self.desks.iter().zip(issuers).enumerate();
        watched
            .filter(|(_, (desk, _))| desk.is_some())
            .map(|(index, (_, trusted))| KeyTask {
                verifier: Arc::clone(self),
                config: Arc::clone(&trusted.config),
                index,
            })
            .collect()
    }
}

/// Reads one issuer's keys again and again.
pub struct KeyTask {
    verifier: Arc<TokenVerifier>,
    config: Arc<IssuerConfig>,
    index: usize,
}

impl KeyTask {
    /// Whose keys.
    pub fn issuer(&self) -> &IssuerName {
        &self.config.name
    }

    /// Reads ahead of the keys' expiry and when tokens ask for it; never ends, and may be dropped
    /// at any time. `clock` tells the time of each read.
    pub async fn run(self, clock: impl Fn() -> Timestamp) {
        let Some(desk) = self.verifier.desks.get(self.index).and_then(Option::as_ref) else {
            return;
        };
        let mut failures = 0;
        // Keys on this machine were read when trust was set up.
        let mut pause = match desk.source.is_remote() {
            true => Duration::ZERO,
            false => POLL,
        };
        loop {
            desk.due(pause).await;
            desk.reads.send_modify(|reads| reads.running = true);
            let read = self.read(desk, &clock).await;
            desk.reads.send_modify(|reads| {
                reads.running = false;
                reads.done += 1;
                reads.last = Some(clock());
            });
            pause = match read {
                Some(next) => {
                    failures = 0;
                    next
                }
                None => {
                    failures += 1;
                    self.retry(failures, desk.min_between)
                }
            };
        }
    }

    /// Reads once; how long until the next time, unless it failed.
    async fn read(&self, desk: &Desk, clock: &impl Fn() -> Timestamp) -> Option<Duration> {
        match desk.source.load(&self.config).await {
            Ok(loaded) => {
                self.tell(&loaded.ring);
                self.verifier.publish(self.index, Ok(loaded.ring), clock());
                Some(loaded.next)
            }
            Err(fault) => {
                let fault = fault.to_string();
                if self.known(|trusted| trusted.fault() != Some(fault.as_str())) {
                    tracing::warn!(
                        issuer = %self.config.name,
                        fault,
                        "keys could not be read; the last good ones stay for a day"
                    );
                }
                self.verifier
                    .publish(self.index, Err(fault.into()), clock());
                None
            }
        }
    }

    /// After a failure: soon while there are no keys at all, else after the usual pause.
    fn retry(&self, failures: u32, usual: Duration) -> Duration {
        match self.known(|trusted| trusted.has_keys()) {
            true => usual,
            false => Duration::from_secs(1 << failures.min(5)).min(usual),
        }
    }

    /// Logs what changed, and keys that should have stayed secret.
    fn tell(&self, ring: &KeyRing) {
        if !self.known(|trusted| trusted.fault().is_some() || !trusted.holds(ring)) {
            return;
        }
        tracing::info!(issuer = %self.config.name, keys = ring.keys().len(), "keys read");
        for key in ring.skipped() {
            match key.alarming {
                true => tracing::error!(
                    issuer = %self.config.name, key = key.index, why = key.why,
                    "the issuer publishes a secret key; it is not used"
                ),
                false => tracing::info!(
                    issuer = %self.config.name, key = key.index, why = key.why, "key not used"
                ),
            }
        }
    }

    fn known(&self, is: impl Fn(&super::keys::TrustedIssuer) -> bool) -> bool {
        self.verifier.pin().issuers.get(self.index).is_some_and(is)
    }
}

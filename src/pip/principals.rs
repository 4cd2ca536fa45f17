//! Principals of verified tokens, so that a token presented again costs a look-up instead of a mapping.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use quick_cache::{Weighter, sync::Cache};

use super::Principal;
use crate::{
    bundle::Snapshot,
    model::{Claims, Refusal},
};

/// The memory of one bundle's principals, in bytes as weighed.
const CAPACITY: u64 = 64 * 1024 * 1024;
/// What an entry of the usual size weighs, with the claims that it keeps.
const USUAL: u64 = 4 * 1024;

/// The principals that one snapshot makes of tokens.
///
/// **Invariant:** an entry is a function of its token's claims and of this snapshot alone. It is found
/// by the very claims that a verified token's entry shares, so whoever asks has verified that token,
/// and its times, audience and issuer are checked before each look-up as if it were new.
pub struct Principals {
    snapshot: Weak<Snapshot>,
    made: Cache<These, Arc<Principal>, ByMemory>,
}

/// Claims by their identity: the same ones, not equal ones. Holding them keeps their address theirs.
#[derive(Clone)]
struct These(Arc<Claims>);

impl PartialEq for These {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for These {}

impl Hash for These {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[derive(Clone)]
struct ByMemory;

impl Weighter<These, Arc<Principal>> for ByMemory {
    fn weight(&self, _: &These, principal: &Arc<Principal>) -> u64 {
        USUAL + principal.weight()
    }
}

impl Principals {
    fn new(snapshot: Weak<Snapshot>) -> Self {
        let items = usize::try_from(CAPACITY / USUAL).unwrap_or(1);
        Self {
            snapshot,
            made: Cache::with_weighter(items, CAPACITY, ByMemory),
        }
    }

    /// The principal of a verified token's claims.
    ///
    /// # Errors
    /// As of [`Principal::of_claims`]; none is remembered.
    pub fn of_claims(
        &self,
        snapshot: &Snapshot,
        claims: &Arc<Claims>,
    ) -> Result<Arc<Principal>, Refusal> {
        if !std::ptr::eq(self.snapshot.as_ptr(), snapshot) {
            return Principal::of_claims(snapshot, Arc::clone(claims)).map(Arc::new);
        }
        let these = These(Arc::clone(claims));
        if let Some(made) = self.made.get(&these) {
            return Ok(made);
        }
        let made = Arc::new(Principal::of_claims(snapshot, Arc::clone(claims))?);
        self.made.insert(these, Arc::clone(&made));
        Ok(made)
    }
}

impl fmt::Debug for Principals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principals").finish_non_exhaustive()
    }
}

/// The principals of the snapshot that a bundle serves now; those of the one before go with it, when
/// the first request meets the new one.
#[derive(Debug)]
pub struct LivePrincipals(ArcSwap<Principals>);

impl LivePrincipals {
    /// The principals that `snapshot` makes.
    pub fn of(&self, snapshot: &Arc<Snapshot>) -> Arc<Principals> {
        let live = self.0.load();
        if std::ptr::eq(live.snapshot.as_ptr(), Arc::as_ptr(snapshot)) {
            return Arc::clone(&live);
        }
        let fresh = Arc::new(Principals::new(Arc::downgrade(snapshot)));
        self.0.store(Arc::clone(&fresh));
        fresh
    }
}

impl Default for LivePrincipals {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(Principals::new(Weak::new())))
    }
}

#[cfg(test)]
mod tests;

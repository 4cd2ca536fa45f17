//! Principals of verified tokens, so that a token presented again costs a look-up instead of a mapping.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock, Weak},
};

use arc_swap::ArcSwap;
use quick_cache::{Weighter, sync::Cache};

use super::{
    Principal,
    stored::{DirectoryView, Known},
};
use crate::{
    bundle::Snapshot,
    model::{Claims, Refusal},
    store::{Directory, Version},
};

/// The memory of one bundle's principals, in bytes as weighed.
const CAPACITY: u64 = 64 * 1024 * 1024;
/// What a bundle has that uses none, or of which nothing is stored.
static NO_DIRECTORY: LazyLock<Arc<Directory>> = LazyLock::new(Arc::default);
/// What an entry of the usual size weighs, with the claims that it keeps.
const USUAL: u64 = 4 * 1024;

/// The principals that one snapshot, with what its directory says of them, makes of tokens.
///
/// **Invariant:** an entry is a function of its token's claims and of these two alone. It is found
/// by the very claims that a verified token's entry shares, so whoever asks has verified that token,
/// and its times, audience and issuer are checked before each look-up as if it were new.
pub struct Principals {
    snapshot: Weak<Snapshot>,
    view: Arc<DirectoryView>,
    made: Arc<Cache<These, Arc<Principal>, ByMemory>>,
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
    fn new(snapshot: Weak<Snapshot>, view: DirectoryView) -> Self {
        let items = usize::try_from(CAPACITY / USUAL).unwrap_or(1);
        Self {
            snapshot,
            view: Arc::new(view),
            made: Arc::new(Cache::with_weighter(items, CAPACITY, ByMemory)),
        }
    }

    /// What the directory says of anyone.
    pub fn directory(&self) -> &DirectoryView {
        &self.view
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
        let known = Known::new(snapshot, &self.view);
        if !std::ptr::eq(self.snapshot.as_ptr(), snapshot) {
            return Principal::of_claims(known, Arc::clone(claims)).map(Arc::new);
        }
        let these = These(Arc::clone(claims));
        if let Some(made) = self.made.get(&these) {
            return Ok(made);
        }
        let made = Arc::new(Principal::of_claims(known, Arc::clone(claims))?);
        self.made.insert(these, Arc::clone(&made));
        Ok(made)
    }
}

impl fmt::Debug for Principals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principals").finish_non_exhaustive()
    }
}

/// The principals of the snapshot that a bundle serves now, and of its directory as it is now; those
/// of the ones before go with them, when the first request meets new ones.
#[derive(Debug)]
pub struct LivePrincipals(ArcSwap<Principals>);

impl LivePrincipals {
    /// The principals that `snapshot` makes, with what `version` has in the directory `bundle`.
    pub fn of(
        &self,
        snapshot: &Arc<Snapshot>,
        version: &Arc<Version>,
        bundle: &str,
    ) -> Arc<Principals> {
        let uses = snapshot.sources.uses_directory();
        let directory = version.directory(bundle).filter(|_| uses);
        let directory = directory.unwrap_or(&NO_DIRECTORY);
        let unreadable = version.unreadable();
        let live = self.0.load();
        let is_of_snapshot = std::ptr::eq(live.snapshot.as_ptr(), Arc::as_ptr(snapshot));
        if is_of_snapshot && live.view.is_of(directory, unreadable.is_none()) {
            return Arc::clone(&live);
        }
        let view = DirectoryView::new(Arc::clone(directory)).unreadable(unreadable.cloned());
        let mut fresh = Principals::new(Arc::downgrade(snapshot), view);
        let mut of_token = snapshot.mapping.principal_types();
        let depend = |name| snapshot.sources.is_in_directory(name);
        if is_of_snapshot && !of_token.any(depend) {
            // The directory says nothing of those whom tokens are about.
            fresh.made = Arc::clone(&live.made);
        }
        let fresh = Arc::new(fresh);
        self.0.store(Arc::clone(&fresh));
        fresh
    }
}

impl Default for LivePrincipals {
    fn default() -> Self {
        let none = Principals::new(Weak::new(), DirectoryView::default());
        Self(ArcSwap::from_pointee(none))
    }
}

#[cfg(test)]
mod tests;

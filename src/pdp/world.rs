//! What one request sees, pinned once.

use std::sync::Arc;

use crate::{
    authn::TrustedKeys,
    bundle::{LiveBundles, Snapshot},
    model::{BundleName, Refusal, Revision},
    pip::{Known, LivePrincipals, Principals},
    store::Version,
};

/// One generation of everything that decides; nothing on a request's path loads any of it again.
#[derive(Clone, Debug)]
pub struct World {
    /// The bundle's name.
    pub bundle: BundleName,
    /// Its rules.
    pub snapshot: Arc<Snapshot>,
    /// The principals that these rules make of tokens.
    pub principals: Arc<Principals>,
    /// The keys that are trusted.
    pub keys: Arc<TrustedKeys>,
    /// What is stored: directories and revocations.
    pub stored: Arc<Version>,
    /// The revision of what is stored.
    pub revision: Revision,
}

impl World {
    /// The rules with what is stored of whom they are about.
    pub fn known(&self) -> Known<'_> {
        Known::new(&self.snapshot, self.principals.directory())
    }
}

/// What one request, or all of one batch, sees: each bundle it asks is pinned when first asked.
#[derive(Debug)]
pub struct View {
    pub(super) keys: Arc<TrustedKeys>,
    pub(super) stored: Arc<Version>,
    worlds: Vec<Arc<World>>,
}

impl View {
    pub(super) fn new(keys: Arc<TrustedKeys>, stored: Arc<Version>) -> Self {
        Self {
            keys,
            stored,
            worlds: Vec::new(),
        }
    }

    /// Sees what is stored as of now, unless something was seen already; whether it does.
    pub(super) fn renew(&mut self, stored: Arc<Version>) -> bool {
        if self.worlds.is_empty() {
            self.stored = stored;
        }
        self.worlds.is_empty()
    }

    /// The world of `bundle`, the same one each time.
    pub(super) fn world(
        &mut self,
        bundle: BundleName,
        bundles: &LiveBundles,
        principals: &LivePrincipals,
    ) -> Result<Arc<World>, Refusal> {
        if let Some(pinned) = self.worlds.iter().find(|world| world.bundle == bundle) {
            return Ok(Arc::clone(pinned));
        }
        let (_, live) = bundles.get(bundle.as_str()).ok_or(Refusal::UnknownBundle)?;
        let snapshot = live.pin().ok_or_else(|| Refusal::Unavailable {
            detail: format!("bundle `{bundle}` was never published"),
        })?;
        let world = Arc::new(World {
            principals: principals.of(&snapshot, &self.stored, bundle.as_str()),
            bundle,
            snapshot,
            keys: Arc::clone(&self.keys),
            stored: Arc::clone(&self.stored),
            revision: self.stored.revision().clone(),
        });
        self.worlds.push(Arc::clone(&world));
        Ok(world)
    }
}

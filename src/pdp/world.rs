//! What one request sees, pinned once.

use std::sync::Arc;

use crate::{
    authn::TrustedKeys,
    bundle::{LiveBundles, Snapshot},
    model::{BundleName, Refusal, Revision},
    pip::{LivePrincipals, Principals},
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
    /// The revision of stored data.
    pub revision: Revision,
}

/// What one request, or all of one batch, sees: each bundle it asks is pinned when first asked.
#[derive(Debug)]
pub struct View {
    pub(super) keys: Arc<TrustedKeys>,
    worlds: Vec<World>,
}

impl View {
    pub(super) fn new(keys: Arc<TrustedKeys>) -> Self {
        Self {
            keys,
            worlds: Vec::new(),
        }
    }

    /// The world of `bundle`, the same one each time.
    pub(super) fn world(
        &mut self,
        bundle: BundleName,
        bundles: &LiveBundles,
        principals: &LivePrincipals,
    ) -> Result<World, Refusal> {
        if let Some(pinned) = self.worlds.iter().find(|world| world.bundle == bundle) {
            return Ok(pinned.clone());
        }
        let (_, live) = bundles.get(bundle.as_str()).ok_or(Refusal::UnknownBundle)?;
        let snapshot = live.pin().ok_or_else(|| Refusal::Unavailable {
            detail: format!("bundle `{bundle}` was never published"),
        })?;
        let world = World {
            bundle,
            principals: principals.of(&snapshot),
            snapshot,
            keys: Arc::clone(&self.keys),
            revision: Revision::default(),
        };
        self.worlds.push(world.clone());
        Ok(world)
    }
}

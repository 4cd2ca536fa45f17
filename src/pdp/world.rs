//! What one request sees, pinned once.

use std::sync::Arc;

use crate::{
    authn::TrustedKeys,
    bundle::Snapshot,
    model::{BundleName, Revision},
};

/// One generation of everything that decides; nothing on a request's path loads any of it again.
#[derive(Clone, Debug)]
pub struct World {
    /// The bundle's name.
    pub bundle: BundleName,
    /// Its rules.
    pub snapshot: Arc<Snapshot>,
    /// The keys that are trusted.
    pub keys: Arc<TrustedKeys>,
    /// The revision of stored data.
    pub revision: Revision,
}

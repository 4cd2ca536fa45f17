//! The one way to stored entities.

use std::sync::Arc;

use crate::{
    bundle::Snapshot,
    policy::core::{self, CedarValue, Entity, Uid},
};

/// The stored entities of one world, each listing all of its ancestors.
///
/// Nothing else in this module reads a store, so every entity of a slice, and every principal's
/// entity, is of one generation: that of the snapshot that is given here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'w> {
    snapshot: &'w Snapshot,
}

impl<'w> Stored<'w> {
    /// What `snapshot` stores.
    pub(super) fn of(snapshot: &'w Snapshot) -> Self {
        Self { snapshot }
    }

    /// An entity by name, shared and never copied.
    pub(super) fn get(self, uid: &Uid) -> Option<&'w Arc<Entity>> {
        self.snapshot.entities.get(uid)
    }

    /// One attribute of an entity.
    pub(super) fn attribute(self, uid: &Uid, name: &str) -> Option<&'w CedarValue> {
        core::attribute(self.get(uid)?, name)
    }

    /// The parents of an entity.
    pub(super) fn parents(self, uid: &Uid) -> impl Iterator<Item = &'w Uid> + use<'w> {
        self.get(uid)
            .into_iter()
            .flat_map(|entity| entity.parents())
    }
}

//! The one way to stored entities: those of the bundle, and those of its directory.

use std::{collections::HashSet, fmt, sync::Arc};

use quick_cache::{UnitWeighter, sync::Cache};
use smol_str::format_smolstr;

use super::{facts::Stated, recent::Recent};
use crate::{
    bundle::{MAX_ANCESTORS, Snapshot, Source},
    model::{EntityFacts, JsonLimits, Refusal, Value, parse_json},
    policy::core::{self, Entity, Uid},
    store::{self, Directory, Key},
};

/// Entities that a view keeps built, of some 3 KB each.
const BUILT: u64 = 100_000;
/// For how many it has room without a thought.
const FULL: u64 = BUILT / 10 * 9;
/// How deep a hierarchy of both stores may be; each of them alone is bounded when it is written.
const MAX_DEPTH: usize = 130;
/// For how many it has room from the beginning.
const FIRST: usize = 64;
/// Bounds on the attributes of a stored entity, checked when it was written as well.
const LIMITS: JsonLimits = JsonLimits {
    depth: 32,
    values: 65_536,
};

/// What one world knows of stored entities, each listing all of its ancestors.
///
/// Nothing else in this module reads a store, so every entity of a slice, and every principal's
/// entity, is of one generation: that of the snapshot and the directory that are given here.
#[derive(Clone, Copy, Debug)]
pub struct Known<'w> {
    pub(super) snapshot: &'w Snapshot,
    directory: Option<&'w DirectoryView>,
}

/// One version of a bundle's directory, with the entities that were built of it.
pub struct DirectoryView {
    directory: Arc<Directory>,
    /// Why nothing may be decided by it, if so.
    unreadable: Option<Arc<str>>,
    built: Cache<Uid, Option<Arc<Entity>>>,
    recent: Recent,
}

impl<'w> Known<'w> {
    /// What a bundle and its directory store.
    pub fn new(snapshot: &'w Snapshot, directory: &'w DirectoryView) -> Self {
        Self {
            snapshot,
            directory: Some(directory),
        }
    }

    /// The bundle.
    pub fn snapshot(self) -> &'w Snapshot {
        self.snapshot
    }

    /// Whether it knows all that the rules may look at: a directory is there, or none is used.
    pub fn is_whole(self) -> bool {
        self.directory.is_some() || !self.snapshot.sources.uses_directory()
    }

    /// Whether what is stored could be read to its end.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when not: what is missing may be a revocation.
    pub(super) fn check_readable(self) -> Result<(), Refusal> {
        match self.directory.and_then(|view| view.unreadable.as_ref()) {
            None => Ok(()),
            Some(why) => Err(Refusal::Unavailable {
                detail: format!("what is stored cannot be read: {why}"),
            }),
        }
    }

    /// An entity by name, shared and never copied.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when what is stored does not fit the rules.
    pub(super) fn get(self, uid: &Uid) -> Result<Option<Arc<Entity>>, Refusal> {
        match self.directory {
            Some(view) if self.snapshot.sources.is_in_directory(uid.entity_type()) => {
                view.entity(self.snapshot, uid, 0)
            }
            _ => Ok(self.snapshot.entities.get(uid).cloned()),
        }
    }

    /// The parents of an entity.
    ///
    /// # Errors
    /// As of [`Self::get`].
    pub(super) fn parents(self, uid: &Uid) -> Result<Vec<Uid>, Refusal> {
        let entity = self.get(uid)?;
        Ok(entity.map_or_else(Vec::new, |entity| entity.parents().cloned().collect()))
    }
}

impl<'w> From<&'w Snapshot> for Known<'w> {
    /// Without a directory.
    fn from(snapshot: &'w Snapshot) -> Self {
        Self {
            snapshot,
            directory: None,
        }
    }
}

impl<'w> From<&'w Arc<Snapshot>> for Known<'w> {
    fn from(snapshot: &'w Arc<Snapshot>) -> Self {
        Self::from(&**snapshot)
    }
}

impl DirectoryView {
    /// A view of a directory, as it is in one version.
    pub fn new(directory: Arc<Directory>) -> Self {
        Self {
            // One is made for every version that requests meet, so it begins small.
            built: Cache::with_weighter(FIRST, BUILT, UnitWeighter),
            recent: Recent::default(),
            directory,
            unreadable: None,
        }
    }

    /// The same, of a version that may not be decided by.
    pub(super) fn unreadable(self, why: Option<Arc<str>>) -> Self {
        Self {
            unreadable: why,
            ..self
        }
    }

    /// Whether it is of this directory, and may be decided by if `readable`.
    pub(super) fn is_of(&self, directory: &Arc<Directory>, readable: bool) -> bool {
        Arc::ptr_eq(&self.directory, directory) && self.unreadable.is_none() == readable
    }

    /// An entity, built from those above it; `below`: how many are being built below it.
    fn entity(
        &self,
        snapshot: &Snapshot,
        uid: &Uid,
        below: usize,
    ) -> Result<Option<Arc<Entity>>, Refusal> {
        if let Some(built) = self.built.get(uid) {
            return Ok(built);
        }
        let entity = self.build(snapshot, uid, below)?.map(Arc::new);
        // To make room costs as much as building, so what is asked for once takes none.
        if self.built.weight() < FULL || self.recent.again(uid) {
            self.built.insert(uid.clone(), entity.clone());
        }
        Ok(entity)
    }

    fn build(
        &self,
        snapshot: &Snapshot,
        uid: &Uid,
        below: usize,
    ) -> Result<Option<Entity>, Refusal> {
        let own = snapshot.entities.get(uid);
        let stored = self.directory.get(&key_of(uid));
        if own.is_none() && stored.is_none() {
            return Ok(None);
        }
        let of_bundle = own.into_iter().flat_map(|it| core::attributes(it));
        let mut attributes: Vec<_> = of_bundle
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut direct: HashSet<Uid> =
            own.map_or_else(HashSet::new, |it| it.parents().cloned().collect());
        if let Some(stored) = stored {
            let stated = self.stated(snapshot, stored)?;
            // Where both are there, the latter stands.
            attributes.extend(stated.attributes);
            direct.extend(stated.parents);
        }
        let mut found: HashSet<Uid> = HashSet::new();
        for parent in direct.iter().filter(|_| below < MAX_DEPTH) {
            // Those above many are built already, and list all that is above them.
            if let Some(parent) = self.entity(snapshot, parent, below + 1)? {
                found.extend(parent.ancestors().cloned());
            }
        }
        found.retain(|ancestor| !direct.contains(ancestor));
        let is_own = found.contains(uid) || direct.contains(uid);
        if is_own || below >= MAX_DEPTH || direct.len() + found.len() > MAX_ANCESTORS {
            let detail = format!("stored entity `{uid}` has no sound hierarchy");
            return Err(Refusal::Unavailable { detail });
        }
        Ok(Some(core::entity(uid.clone(), attributes, direct, found)))
    }

    /// What the directory states of an entity: the parents in which it still is.
    fn stated(&self, snapshot: &Snapshot, stored: &store::Stored) -> Result<Stated, Refusal> {
        let parents = live_parents(snapshot, &self.directory, stored);
        let facts = EntityFacts {
            parents: parents.map(Key::entity).collect(),
            ..facts_of(stored)?
        };
        let root = &facts.uid;
        let stated = Stated::read(snapshot, &facts, Source::Directory, root).and_then(|stated| {
            stated.require(snapshot, Source::Directory, root)?;
            Ok(stated)
        });
        stated.map_err(|why| Refusal::Unavailable {
            detail: format!("stored entity `{root}` does not fit the rules: {why}"),
        })
    }
}

impl Default for DirectoryView {
    /// Of a directory with nothing in it.
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl fmt::Debug for DirectoryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryView").finish_non_exhaustive()
    }
}

/// The parents in which a stored entity still is: where the directory has the parents' type, not
/// those that were removed since.
pub fn live_parents<'d>(
    snapshot: &Snapshot,
    directory: &'d Directory,
    stored: &'d store::Stored,
) -> impl Iterator<Item = &'d Key> {
    stored.parents.iter().filter(move |parent| {
        let def = snapshot.schema.type_named(&parent.type_name);
        let owner = def.map(|def| snapshot.sources.of_type(&def.name));
        directory.is_in(stored, parent, owner == Some(Source::Directory))
    })
}

/// What is stored of an entity, in the words of whoever stated it.
///
/// # Errors
/// [`Refusal::Unavailable`] when its attributes are no JSON object.
pub fn facts_of(stored: &store::Stored) -> Result<EntityFacts, Refusal> {
    let attributes = match parse_json(stored.attributes.as_bytes(), LIMITS) {
        Ok(Value::Record(attributes)) => attributes,
        _ => {
            let detail = format!("stored entity `{}` has no attributes", stored.key.entity());
            return Err(Refusal::Unavailable { detail });
        }
    };
    Ok(EntityFacts {
        uid: stored.key.entity(),
        attributes,
        parents: stored.parents.iter().map(Key::entity).collect(),
    })
}

/// The name by which a directory has an entity.
pub(super) fn key_of(uid: &Uid) -> Key {
    let id: &str = uid.eid().as_ref();
    Key {
        type_name: format_smolstr!("{}", uid.entity_type()),
        id: id.into(),
    }
}

#[cfg(test)]
mod tests;

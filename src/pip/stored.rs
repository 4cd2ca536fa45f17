//! The one way to stored entities: those of the bundle, and those of its directory.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

use quick_cache::{UnitWeighter, sync::Cache};

use super::facts::Stated;
use crate::{
    bundle::{MAX_ANCESTORS, Snapshot, Source},
    model::{EntityFacts, EntityRef, JsonLimits, Members, Refusal, Value, parse_json},
    policy::core::{self, Entity, Uid},
    store::{self, Directory, Key},
};

/// Entities that a view keeps built, of some 3 KB each.
const BUILT: u64 = 60_000;
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
    directory: Directory,
    /// Why nothing may be decided by it, if so.
    unreadable: Option<Arc<str>>,
    built: Cache<Uid, Option<Arc<Entity>>>,
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
    pub fn new(directory: Directory) -> Self {
        Self {
            // One is made for every version that requests meet, so it begins small.
            built: Cache::with_weighter(FIRST, BUILT, UnitWeighter),
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

    pub(super) fn is_readable(&self) -> bool {
        self.unreadable.is_none()
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
        self.built.insert(uid.clone(), entity.clone());
        Ok(entity)
    }

    fn build(
        &self,
        snapshot: &Snapshot,
        uid: &Uid,
        below: usize,
    ) -> Result<Option<Entity>, Refusal> {
        let key = key_of(uid);
        let (own, stored) = (snapshot.entities.get(uid), self.directory.get(&key));
        if own.is_none() && stored.is_none() {
            return Ok(None);
        }
        let mut attributes: BTreeMap<_, _> = own
            .into_iter()
            .flat_map(|entity| core::attributes(entity))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some(stored) = stored {
            let facts = facts_of(&key, stored)?;
            let root = key.entity();
            let stated = Stated::read(snapshot, &facts, Source::Directory, &root);
            let stated = stated.map_err(|why| does_not_fit(&key, &why))?;
            let whole = stated.require(snapshot, Source::Directory, &root);
            whole.map_err(|why| does_not_fit(&key, &why))?;
            attributes.extend(stated.attributes);
        }
        let parents = self.parents(snapshot, &key, own.map(|it| &**it), stored.map(|it| &**it))?;
        let direct: HashSet<Uid> = parents.iter().cloned().collect();
        let mut found: HashSet<Uid> = HashSet::new();
        for parent in parents.iter().filter(|_| below < MAX_DEPTH) {
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

    /// The parents of an entity, as both stores have it.
    fn parents(
        &self,
        snapshot: &Snapshot,
        key: &Key,
        own: Option<&Entity>,
        stored: Option<&store::Stored>,
    ) -> Result<Vec<Uid>, Refusal> {
        let mut parents: Vec<Uid> = own
            .into_iter()
            .flat_map(|it| it.parents().cloned())
            .collect();
        let Some(stored) = stored else {
            return Ok(parents);
        };
        for parent in live_parents(snapshot, &self.directory, stored) {
            let def = snapshot.schema.type_named(&parent.type_name);
            let uid = def.and_then(|def| def.uid_of(&parent.id).ok());
            parents.push(uid.ok_or_else(|| Refusal::Unavailable {
                detail: format!("stored entity `{}` is in an unknown type", key.entity()),
            })?);
        }
        Ok(parents)
    }
}

impl Default for DirectoryView {
    /// Of a directory with nothing in it.
    fn default() -> Self {
        Self::new(Directory::default())
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
pub fn facts_of(key: &Key, stored: &store::Stored) -> Result<EntityFacts, Refusal> {
    let attributes = match parse_json(stored.attributes.as_bytes(), LIMITS) {
        Ok(Value::Record(attributes)) => attributes,
        _ => {
            let detail = format!("stored entity `{}` has no attributes", key.entity());
            return Err(Refusal::Unavailable { detail });
        }
    };
    Ok(EntityFacts {
        uid: key.entity(),
        attributes,
        parents: stored.parents.iter().map(Key::entity).collect(),
    })
}

/// Facts that may be stored in the directory.
#[derive(Debug)]
pub struct Storable {
    /// By what name.
    pub key: Key,
    /// Its attributes as stated.
    pub attributes: Members,
    /// Its parents by their full names.
    pub parents: Vec<Key>,
}

impl Storable {
    /// Its attributes as a JSON object.
    pub fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        let members = self.attributes.iter();
        members
            .map(|(name, value)| (name.clone(), value.into()))
            .collect()
    }

    fn into_stored(self, changed: u64, stamp: u64) -> store::Stored {
        store::Stored {
            attributes: serde_json::Value::Object(self.json()).to_string().into(),
            parents: self.parents.into(),
            changed,
            born: changed,
            stamp,
        }
    }
}

/// Checks facts as the directory's: typed by the schema, complete, and the directory's to state.
///
/// # Errors
/// [`Refusal::Malformed`] with what is wrong, its place beginning with `root`.
pub fn storable(snapshot: &Snapshot, facts: EntityFacts, root: &str) -> Result<Storable, Refusal> {
    let stated = Stated::read(snapshot, &facts, Source::Directory, &root)?;
    stated.require(snapshot, Source::Directory, &root)?;
    let key = key_of(&stated.uid);
    if !is_directory_type(snapshot, &key) {
        let message = format!("no fact about a `{}` is the directory's", key.type_name);
        return Err(Refusal::malformed(root, "fact_not_owned", message));
    }
    // A null says that there is no such attribute.
    let present = facts
        .attributes
        .into_iter()
        .filter(|(_, it)| *it != Value::Null);
    Ok(Storable {
        key,
        attributes: present.collect(),
        parents: stated.parents.iter().map(key_of).collect(),
    })
}

/// The directory that a case supposes: of the entities stated with it, those whose facts are the
/// directory's. The others are the request's.
pub fn suppose_directory<'e>(
    snapshot: &Snapshot,
    entities: &'e [EntityFacts],
) -> (DirectoryView, Cow<'e, [EntityFacts]>) {
    if !snapshot.sources.uses_directory() {
        return (DirectoryView::default(), Cow::Borrowed(entities));
    }
    let (mut stored, mut stated) = (Vec::new(), Vec::new());
    for facts in entities {
        match storable(snapshot, facts.clone(), "entities") {
            Ok(it) => stored.push((it.key.clone(), it.into_stored(0, 0))),
            Err(_) => stated.push(facts.clone()),
        }
    }
    let view = DirectoryView::new(stored.into_iter().collect());
    (view, Cow::Owned(stated))
}

/// The name by which the directory has an entity that a request names.
///
/// # Errors
/// [`Refusal::Malformed`] when the schema knows no such entity.
pub fn storable_key(snapshot: &Snapshot, uid: &EntityRef, root: &str) -> Result<Key, Refusal> {
    let (_, uid) = super::facts::entity_name(snapshot, uid, &root)?;
    Ok(key_of(&uid))
}

/// Whether the directory says anything about entities of this very type.
fn is_directory_type(snapshot: &Snapshot, key: &Key) -> bool {
    let Some(def) = snapshot.schema.type_named(&key.type_name) else {
        return false;
    };
    let owners = snapshot.sources.owners(&def.name);
    let attributes = def.attributes.members.keys();
    owners.of_type() == Source::Directory
        || attributes
            .into_iter()
            .any(|it| owners.of_attribute(it) == Source::Directory)
        || def
            .ancestors
            .iter()
            .any(|it| owners.of_parent(it) == Source::Directory)
}

/// A number that changes when the schema or the sources of an entity type do.
pub fn stamp(snapshot: &Snapshot, type_name: &str) -> u64 {
    let Some(def) = snapshot.schema.type_named(type_name) else {
        return 0;
    };
    let owners = snapshot.sources.owners(&def.name);
    let mut parents: Vec<String> = def
        .ancestors
        .iter()
        .map(|it| format!("{it}={}", owners.of_parent(it)))
        .collect();
    parents.sort();
    let members = &def.attributes.members;
    let sources: Vec<_> = members
        .keys()
        .map(|it| owners.of_attribute(it).to_string())
        .collect();
    let mut ids: Vec<_> = def.ids.iter().flatten().collect();
    ids.sort();
    let text = format!("{members:?} {sources:?} {parents:?} {ids:?}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .first_chunk()
        .map_or(0, |it| u64::from_le_bytes(*it))
}

fn key_of(uid: &Uid) -> Key {
    let id: &str = uid.eid().as_ref();
    Key::new(&uid.entity_type().to_string(), id)
}

fn does_not_fit(key: &Key, why: &Refusal) -> Refusal {
    Refusal::Unavailable {
        detail: format!(
            "stored entity `{}` does not fit the rules: {why}",
            key.entity()
        ),
    }
}

#[cfg(test)]
mod tests;

//! The one way to stored entities: those of the bundle, and those of its directory.

use std::{
    fmt::{self, Display},
    sync::Arc,
};

use smol_str::SmolStr;

use super::{
    facts::entity_name,
    kept::{Keep, Kept},
};
use crate::{
    bundle::{MAX_ANCESTORS, Snapshot, Source},
    model::{EntityFacts, JsonLimits, Refusal, Value, parse_json},
    policy::{
        core::{self, Above, CedarValue, Entity, Uid},
        read,
    },
    store::{self, Directory, Key, KeyRef},
};

/// How much of one kind a view keeps of what it built.
const KEPT: u64 = 100_000;
/// Facts of an entity that takes longer to be found again, once built, than to be built.
const FEW: usize = 4;
/// How deep a hierarchy of both stores may be; each of them alone is bounded when it is written.
const MAX_DEPTH: usize = 130;
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

/// One version of a bundle's directory.
///
/// Entities are read where they are stored, and of their attributes no more than the rules look at.
/// What is above them is kept, and so is an entity that takes long to build.
pub struct DirectoryView {
    directory: Arc<Directory>,
    /// Why nothing may be decided by it, if so.
    unreadable: Option<Arc<str>>,
    built: Kept<Uid, Arc<Entity>>,
    parents: Kept<Key, Parent>,
}

/// An entity as it is to those who name it as a parent.
#[derive(Clone)]
struct Parent {
    /// What whoever is in it alone is in.
    above: Above,
    /// The first sequence of the ledger that may put an entity in it.
    since: u64,
}

impl Keep for Arc<Entity> {
    fn facts(&self) -> usize {
        self.attributes().len() + self.ancestors().len()
    }
}

impl Keep for Parent {
    fn facts(&self) -> usize {
        self.above.all().len()
    }
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
                view.entity(self.snapshot, uid)
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
        Ok(entity.map_or_else(Vec::new, |entity| entity.parents().to_vec()))
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
            built: Kept::new(KEPT),
            parents: Kept::new(KEPT),
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

    /// An entity, if anything is known of it.
    fn entity(&self, snapshot: &Snapshot, uid: &Uid) -> Result<Option<Arc<Entity>>, Refusal> {
        let of_bundle = snapshot.entities.get(uid);
        let stored = self.directory.get(KeyRef {
            type_name: &core::type_text(uid),
            id: uid.eid().as_ref(),
        });
        let facts = of_bundle.map_or(0, |it| it.attributes().len() + it.parents().len())
            + stored.map_or(0, |it| it.parents().count())
            + snapshot.looked_at.of_type(uid.entity_type()).len();
        match (of_bundle, stored) {
            (None, None) => Ok(None),
            _ if facts <= FEW && !snapshot.looked_at.is_converted() => {
                self.build(snapshot, uid, of_bundle, stored).map(Some)
            }
            _ => {
                let build = || self.build(snapshot, uid, of_bundle, stored);
                self.built.get_or_build(uid, Uid::clone, build).map(Some)
            }
        }
    }

    fn build(
        &self,
        snapshot: &Snapshot,
        uid: &Uid,
        of_bundle: Option<&Arc<Entity>>,
        stored: Option<&store::Stored>,
    ) -> Result<Arc<Entity>, Refusal> {
        let own = of_bundle.into_iter().flat_map(|it| it.attributes());
        let mut attributes: Vec<_> = own
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some(stored) = stored {
            self.read(snapshot, uid, stored, &mut attributes)?;
        }
        let above = self.above(snapshot, uid, of_bundle, stored, 0)?;
        Ok(Arc::new(Entity::new(uid.clone(), attributes, above)))
    }

    /// Adds those of the stored attributes that rules look at; where the bundle has one as well, the
    /// stored one stands.
    fn read(
        &self,
        snapshot: &Snapshot,
        uid: &Uid,
        stored: &store::Stored,
        attributes: &mut Vec<(SmolStr, CedarValue)>,
    ) -> Result<(), Refusal> {
        for look in snapshot.looked_at.of_type(uid.entity_type()) {
            let value = stored.attributes().member(&look.name);
            let value = value.map(|text| parse_json(text, LIMITS)).transpose();
            let value = value.map_err(|why| misfit(uid, &why))?;
            let name = look.name.as_str();
            match value.filter(|it| *it != Value::Null) {
                Some(_) if look.owner != Source::Directory => {
                    let owner = look.owner;
                    return Err(misfit(uid, &format!("`{name}` is a fact of the {owner}")));
                }
                Some(value) => {
                    let typed = read(&value, &look.ty, &snapshot.schema);
                    let typed = typed.map_err(|why| misfit(uid, &why.violation(name)))?;
                    attributes.push((name.into(), typed));
                }
                None => {
                    let is_of_bundle = attributes.iter().any(|(it, _)| it == name);
                    if look.owner == Source::Directory && look.required && !is_of_bundle {
                        return Err(misfit(uid, &format!("it lacks `{name}`")));
                    }
                }
            }
        }
        Ok(())
    }

    /// What an entity is in, by the bundle and by the directory; `below`: how many below it ask.
    fn above(
        &self,
        snapshot: &Snapshot,
        uid: &Uid,
        of_bundle: Option<&Arc<Entity>>,
        stored: Option<&store::Stored>,
        below: usize,
    ) -> Result<Above, Refusal> {
        let unsound = || unavailable(uid, "has no sound hierarchy");
        if below >= MAX_DEPTH {
            return Err(unsound());
        }
        let mut all = Vec::new();
        for parent in of_bundle.into_iter().flat_map(|it| it.parents()) {
            all.push(
                self.parent(snapshot, key_of(parent).borrowed(), below)?
                    .above,
            );
        }
        if let Some(stored) = stored {
            let def = snapshot.schema.entity_type(uid.entity_type());
            let owners = snapshot.sources.owners(uid.entity_type());
            for key in stored.parents() {
                let parent = self.parent(snapshot, key, below)?;
                if parent.since > stored.changed() {
                    continue;
                }
                let kind = parent.above.parents().first().map(Uid::entity_type);
                let fits = |kind| {
                    def.is_some_and(|it| it.ancestors.contains(kind))
                        && owners.of_parent(kind) == Source::Directory
                };
                if !kind.is_some_and(fits) {
                    let parent = key.entity();
                    let why = format!("that it is in `{parent}` is no fact of the directory");
                    return Err(misfit(uid, &why));
                }
                all.push(parent.above);
            }
        }
        let above = Above::of_all(&all);
        match above.has(uid) || above.all().len() > MAX_ANCESTORS {
            true => Err(unsound()),
            false => Ok(above),
        }
    }

    /// A parent that an entity names; `below`: how many are below that one.
    fn parent(
        &self,
        snapshot: &Snapshot,
        key: KeyRef<'_>,
        below: usize,
    ) -> Result<Parent, Refusal> {
        self.parents.get_or_build(
            &key,
            |key| key.to_key(),
            || {
                let named = key.entity();
                let (def, uid) =
                    entity_name(snapshot, &named, &named).map_err(|why| misfit(&named, &why))?;
                let of_bundle = snapshot.entities.get(&uid);
                let stored = self.directory.get(key);
                let its = self.above(snapshot, &uid, of_bundle, stored, below + 1)?;
                let is_of_directory = snapshot.sources.of_type(&def.name) == Source::Directory;
                Ok(Parent {
                    above: Above::of_one(uid, &its),
                    since: self.directory.holds_since(key, is_of_directory),
                })
            },
        )
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
) -> impl Iterator<Item = KeyRef<'d>> {
    stored.parents().filter(move |parent| {
        let def = snapshot.schema.type_named(parent.type_name);
        let owner = def.map(|def| snapshot.sources.of_type(&def.name));
        directory.is_in(stored, *parent, owner == Some(Source::Directory))
    })
}

/// What is stored of an entity, in the words of whoever stated it.
///
/// # Errors
/// [`Refusal::Unavailable`] when its attributes are no JSON object.
pub fn facts_of(stored: &store::Stored) -> Result<EntityFacts, Refusal> {
    let attributes = match parse_json(stored.attributes().text().as_bytes(), LIMITS) {
        Ok(Value::Record(attributes)) => attributes,
        _ => return Err(unavailable(&stored.key().entity(), "has no attributes")),
    };
    Ok(EntityFacts {
        uid: stored.key().entity(),
        attributes,
        parents: stored.parents().map(KeyRef::entity).collect(),
    })
}

fn misfit(uid: &dyn Display, why: &dyn Display) -> Refusal {
    unavailable(uid, &format!("does not fit the rules: {why}"))
}

fn unavailable(uid: &dyn Display, what: &str) -> Refusal {
    let detail = format!("stored entity `{uid}` {what}");
    Refusal::Unavailable { detail }
}

/// The name by which a directory has an entity.
pub(super) fn key_of(uid: &Uid) -> Key {
    Key::new(&core::type_text(uid), uid.eid().as_ref())
}

#[cfg(test)]
mod tests;

//! Facts on their way into the directory of a bundle: typed, complete, and the directory's to state.

use std::{borrow::Cow, sync::Arc};

use super::{
    facts::{Stated, entity_name},
    stored::{DirectoryView, key_of},
};
use crate::{
    bundle::{Snapshot, Source},
    model::{EntityFacts, EntityRef, Members, Refusal, Value},
    store::{Key, Stored, Unstored},
};

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

    fn into_stored(self) -> Result<Stored, Refusal> {
        let attributes = serde_json::Value::Object(self.json()).to_string();
        let of = Unstored {
            key: self.key.borrowed(),
            attributes: &attributes,
            changed: 0,
            born: 0,
            stamp: 0,
        };
        let stored = Stored::new(of, self.parents.iter().map(Key::borrowed));
        stored.map_err(|why| Refusal::Unavailable {
            detail: why.to_string(),
        })
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
        match storable(snapshot, facts.clone(), "entities").and_then(Storable::into_stored) {
            Ok(it) => stored.push(it),
            Err(_) => stated.push(facts.clone()),
        }
    }
    let view = DirectoryView::new(Arc::new(stored.into_iter().collect()));
    (view, Cow::Owned(stated))
}

/// The name by which the directory has an entity that a request names.
///
/// # Errors
/// [`Refusal::Malformed`] when the schema knows no such entity.
pub fn storable_key(snapshot: &Snapshot, uid: &EntityRef, root: &str) -> Result<Key, Refusal> {
    let (_, uid) = entity_name(snapshot, uid, &root)?;
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

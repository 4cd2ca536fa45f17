//! What a request states about entities, held to the schema and to who owns which fact.

use std::collections::{BTreeMap, HashMap, HashSet};

use smol_str::SmolStr;

use crate::{
    bundle::{Matched, Snapshot, Source},
    model::{EntityFacts, EntityRef, Refusal, Value},
    policy::{
        core::{self, CedarValue, TypeName, Uid},
        read, typed_members,
    },
};

/// What one source states about one entity, typed.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    pub(super) uid: Uid,
    pub(super) type_name: TypeName,
    pub(super) attributes: BTreeMap<SmolStr, CedarValue>,
    pub(super) parents: HashSet<Uid>,
}

impl Stated {
    /// Types the facts and checks that each is `source`'s to state. `root` is where the request has them.
    pub(super) fn read(
        snapshot: &Snapshot,
        facts: &EntityFacts,
        source: Source,
        root: &str,
    ) -> Result<Self, Refusal> {
        let schema = &snapshot.schema;
        let (type_name, uid) = entity_name(snapshot, &facts.uid, root)?;
        let def = schema
            .entity_type(type_name)
            .ok_or_else(|| unknown_type(&facts.uid, root))?;
        let attributes =
            typed_members(&facts.attributes, &def.attributes, schema).map_err(|fault| {
                Refusal::Malformed(vec![fault.violation(&format!("{root}.attributes"))])
            })?;
        for name in attributes.keys() {
            let owner = snapshot.sources.of_attribute(type_name, name);
            if owner != source {
                return Err(not_owned(format!("{root}.attributes.{name}"), owner));
            }
        }
        let mut parents = HashSet::new();
        for (n, parent) in facts.parents.iter().enumerate() {
            let at = format!("{root}.parents.{n}");
            let (parent_type, parent) = entity_name(snapshot, parent, &at)?;
            if !def.ancestors.contains(parent_type) {
                let message = format!("a `{type_name}` is never in a `{parent_type}`");
                return Err(Refusal::malformed(at, "parent_type", message));
            }
            let owner = snapshot.sources.of_parent(type_name, parent_type);
            if owner != source {
                return Err(not_owned(at, owner));
            }
            parents.insert(parent);
        }
        Ok(Self {
            type_name: type_name.clone(),
            uid,
            attributes,
            parents,
        })
    }

    /// Checks that nothing required of `source` is missing.
    pub(super) fn require(
        &self,
        snapshot: &Snapshot,
        source: Source,
        root: &str,
    ) -> Result<(), Refusal> {
        let Some(def) = snapshot.schema.entity_type(&self.type_name) else {
            return Ok(());
        };
        for (name, member) in &def.attributes.members {
            let owned = snapshot.sources.of_attribute(&self.type_name, name) == source;
            if member.required
                && owned
                && !self.attributes.contains_key(name)
                && !is_stored_else(snapshot, &self.type_name, &self.uid, name)
            {
                let message = format!("is required of every `{}`", self.type_name);
                return Err(Refusal::malformed(
                    format!("{root}.attributes.{name}"),
                    "missing_member",
                    message,
                ));
            }
        }
        Ok(())
    }
}

/// Everything that the subject's side and the request state, by entity.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    entities: HashMap<Uid, Stated>,
}

impl Overlay {
    pub(super) fn get(&self, uid: &Uid) -> Option<&Stated> {
        self.entities.get(uid)
    }

    pub(super) fn contains(&self, uid: &Uid) -> bool {
        self.entities.contains_key(uid)
    }

    /// Adds what the request states about an entity.
    pub(super) fn state(
        &mut self,
        snapshot: &Snapshot,
        facts: &EntityFacts,
        root: &str,
    ) -> Result<Uid, Refusal> {
        let stated = Stated::read(snapshot, facts, Source::Request, root)?;
        stated.require(snapshot, Source::Request, root)?;
        let uid = stated.uid.clone();
        if self.entities.insert(uid.clone(), stated).is_some() {
            let message = format!("entity `{uid}` is stated twice");
            return Err(Refusal::malformed(root, "duplicate_entity", message));
        }
        Ok(uid)
    }

    /// Adds the principal's facts to whatever the request states of it: each has its own owner.
    pub(super) fn principal(&mut self, principal: &super::Principal) {
        let stated = self
            .entities
            .entry(principal.uid.clone())
            .or_insert_with(|| Stated {
                uid: principal.uid.clone(),
                type_name: principal.type_name.clone(),
                attributes: BTreeMap::new(),
                parents: HashSet::new(),
            });
        stated.attributes.extend(
            principal
                .attributes
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        stated.parents.extend(principal.parents.iter().cloned());
    }

    /// Takes what a URL says of the resource: a check wherever someone else states or owns the fact,
    /// a fact only where nobody does.
    pub(super) fn url(
        &mut self,
        snapshot: &Snapshot,
        resource: &Uid,
        matched: &Matched<'_>,
    ) -> Result<(), Refusal> {
        let root = "http.path";
        let (type_name, _) = entity_name(snapshot, &matched.resource, root)?;
        let type_name = type_name.clone();
        let schema = &snapshot.schema;
        let def = schema
            .entity_type(&type_name)
            .ok_or_else(|| unknown_type(&matched.resource, root))?;
        let declared = self.entities.contains_key(resource);
        let mut stated = Stated {
            uid: resource.clone(),
            type_name: type_name.clone(),
            attributes: BTreeMap::new(),
            parents: HashSet::new(),
        };
        for (name, text) in &matched.attributes {
            let (name, member) = def.attributes.members.get_key_value(*name).ok_or_else(|| {
                Refusal::malformed(root, "unknown_member", format!("`{name}` is not declared"))
            })?;
            let value = read(&Value::String(text.clone()), &member.ty, schema)
                .map_err(|fault| Refusal::Malformed(vec![fault.violation(root)]))?;
            let owned_elsewhere = snapshot.sources.of_attribute(&type_name, name)
                != Source::Request
                || is_stored_else(snapshot, &type_name, resource, name);
            if declared || owned_elsewhere {
                if self.known_attribute(snapshot, resource, name).as_ref() != Some(&value) {
                    return Err(Refusal::ResourceMismatch {
                        path: name.to_string(),
                    });
                }
            } else {
                stated.attributes.insert(name.clone(), value);
            }
        }
        for parent in &matched.parents {
            let (parent_type, parent) = entity_name(snapshot, parent, root)?;
            if declared || snapshot.sources.of_parent(&type_name, parent_type) != Source::Request {
                if !self.known_parent(snapshot, resource, &parent) {
                    return Err(Refusal::ResourceMismatch {
                        path: parent_type.to_string(),
                    });
                }
            } else {
                stated.parents.insert(parent);
            }
        }
        if !declared {
            stated.require(snapshot, Source::Request, root)?;
            self.entities.insert(resource.clone(), stated);
        }
        Ok(())
    }

    fn known_attribute(&self, snapshot: &Snapshot, uid: &Uid, name: &str) -> Option<CedarValue> {
        let stated = self
            .entities
            .get(uid)
            .and_then(|stated| stated.attributes.get(name).cloned());
        stated.or_else(|| core::attributes(snapshot.entities.get(uid)?).remove(name))
    }

    fn known_parent(&self, snapshot: &Snapshot, uid: &Uid, parent: &Uid) -> bool {
        let stated = self
            .entities
            .get(uid)
            .is_some_and(|stated| stated.parents.contains(parent));
        let stored = snapshot
            .entities
            .get(uid)
            .is_some_and(|entity| entity.is_descendant_of(parent));
        stated || stored
    }
}

/// Whether the bundle has a value of an attribute that stands where its owner states none.
pub(super) fn is_stored_else(
    snapshot: &Snapshot,
    type_name: &TypeName,
    uid: &Uid,
    attribute: &str,
) -> bool {
    let stored = || snapshot.entities.get(uid);
    snapshot.sources.is_stored_else(type_name, attribute)
        && stored().is_some_and(|entity| core::attributes(entity).contains_key(attribute))
}

/// The type and name of an entity that a request names.
pub(super) fn entity_name<'s>(
    snapshot: &'s Snapshot,
    uid: &EntityRef,
    root: &str,
) -> Result<(&'s TypeName, Uid), Refusal> {
    let schema = &snapshot.schema;
    let type_name = schema
        .type_name(&uid.type_name)
        .ok_or_else(|| unknown_type(uid, root))?;
    let uid = schema
        .uid_of(type_name, &uid.id)
        .map_err(|fault| Refusal::Malformed(vec![fault.within("id").violation(root)]))?;
    Ok((type_name, uid))
}

fn unknown_type(uid: &EntityRef, root: &str) -> Refusal {
    let message = format!("the bundle's schema has no entity type `{}`", uid.type_name);
    Refusal::malformed(format!("{root}.type"), "unknown_type", message)
}

fn not_owned(field: String, owner: Source) -> Refusal {
    Refusal::malformed(
        field,
        "fact_not_owned",
        format!("is a fact of the {owner}, not of this request"),
    )
}

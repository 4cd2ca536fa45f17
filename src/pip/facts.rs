//! What a request states about entities, held to the schema and to who owns which fact.

use std::{collections::HashSet, fmt::Display, sync::Arc};

use smol_str::SmolStr;

use super::stored::Known;
use crate::{
    bundle::{Matched, Snapshot, Source},
    model::{EntityFacts, EntityRef, Refusal, Value},
    policy::{
        EntityTypeDef,
        core::{Above, CedarValue, Entity, TypeName, Uid},
        read, typed_members,
    },
};

/// What one source states about one entity, typed.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    pub(super) uid: Uid,
    /// In the order of their names.
    pub(super) attributes: Vec<(SmolStr, CedarValue)>,
    pub(super) parents: HashSet<Uid>,
}

impl Stated {
    /// Types the facts and checks that each is `source`'s to state. `root` is where the request has them.
    pub(super) fn read(
        snapshot: &Snapshot,
        facts: &EntityFacts,
        source: Source,
        root: &dyn Display,
    ) -> Result<Self, Refusal> {
        let named = entity_name(snapshot, &facts.uid, root)?;
        Self::read_of(snapshot, named, facts, source, root)
    }

    /// The same of an entity whose type and name were found already.
    fn read_of(
        snapshot: &Snapshot,
        (def, uid): (&EntityTypeDef, Uid),
        facts: &EntityFacts,
        source: Source,
        root: &dyn Display,
    ) -> Result<Self, Refusal> {
        let owners = snapshot.sources.owners(&def.name);
        let attributes = typed_members(&facts.attributes, &def.attributes, &snapshot.schema)
            .map_err(|fault| {
                Refusal::Malformed(vec![fault.violation(&format!("{root}.attributes"))])
            })?;
        for (name, _) in &attributes {
            let owner = owners.of_attribute(name);
            if owner != source {
                return Err(not_owned(
                    format!("{root}.attributes.{name}"),
                    owner,
                    source,
                ));
            }
        }
        let mut parents = HashSet::new();
        for (n, parent) in facts.parents.iter().enumerate() {
            let at = format_args!("{root}.parents.{n}");
            let (parent_type, parent) = entity_name(snapshot, parent, &at)?;
            let parent_type = &parent_type.name;
            if !def.ancestors.contains(parent_type) {
                let message = format!("a `{}` is never in a `{parent_type}`", def.name);
                return Err(Refusal::malformed(at.to_string(), "parent_type", message));
            }
            let owner = owners.of_parent(parent_type);
            if owner != source {
                return Err(not_owned(at.to_string(), owner, source));
            }
            parents.insert(parent);
        }
        Ok(Self {
            uid,
            attributes,
            parents,
        })
    }

    /// An entity about which nothing is stated yet.
    pub(super) fn bare(uid: Uid) -> Self {
        Self {
            uid,
            attributes: Vec::new(),
            parents: HashSet::new(),
        }
    }

    /// Its entity type.
    pub(super) fn type_name(&self) -> &TypeName {
        self.uid.entity_type()
    }

    /// Checks that nothing required of `source` is missing.
    pub(super) fn require(
        &self,
        snapshot: &Snapshot,
        source: Source,
        root: &dyn Display,
    ) -> Result<(), Refusal> {
        let owners = snapshot.sources.owners(self.type_name());
        let is_missing = |name: &&SmolStr| {
            let is_stated = self.attributes.binary_search_by(|(it, _)| it.cmp(name));
            is_stated.is_err() && !is_stored_else(snapshot, &self.uid, name)
        };
        match owners.required_of(source).find(is_missing) {
            None => Ok(()),
            Some(name) => Err(Refusal::malformed(
                format!("{root}.attributes.{name}"),
                "missing_member",
                format!("is required of every `{}`", self.type_name()),
            )),
        }
    }

    /// The entity as far as it is stated: with its parents, and nothing above them.
    pub(super) fn into_entity(self) -> Arc<Entity> {
        let above = Above::new(self.parents.into_iter().collect(), []);
        Arc::new(Entity::new(self.uid, self.attributes, above))
    }
}

/// Everything that the subject's side and the request state, by entity.
#[derive(Debug)]
pub(super) struct Overlay<'p> {
    known: Known<'p>,
    principal: &'p Arc<Entity>,
    /// By the request, in the order of their names; about the principal too, where others own facts
    /// about it.
    stated: Vec<Arc<Entity>>,
    /// The types of those of whom parents are stated.
    joined: Vec<TypeName>,
}

impl<'p> Overlay<'p> {
    /// What the principal's own side states, over what is stored.
    pub(super) fn new(known: Known<'p>, principal: &'p Arc<Entity>) -> Self {
        let mut overlay = Self {
            known,
            principal,
            stated: Vec::new(),
            joined: Vec::new(),
        };
        overlay.note_parents(principal);
        overlay
    }

    /// Whether the request states something about an entity.
    pub(super) fn is_stated(&self, uid: &Uid) -> bool {
        self.by_request(uid).is_some()
    }

    /// Whether the request states more of an entity than that it is one.
    pub(super) fn adds_facts(&self, uid: &Uid) -> bool {
        self.by_request(uid).is_some_and(|it| it.has_facts())
    }

    /// Whether a parent of an entity is stated.
    pub(super) fn adds_parents(&self, uid: &Uid) -> bool {
        self.parents(uid).next().is_some()
    }

    /// Whether a parent of an ancestor of an entity is stated, which is then not among its ancestors.
    pub(super) fn adds_ancestors(&self, entity: &Entity) -> bool {
        let schema = &self.known.snapshot.schema;
        let def = schema.entity_type(entity.uid().entity_type());
        // A look at the types spares one at each of the ancestors.
        let may_be_above = |joined| def.is_none_or(|def| def.ancestors.contains(joined));
        self.joined.iter().any(may_be_above)
            && entity.ancestors().iter().any(|it| self.adds_parents(it))
    }

    /// The attributes that are stated of an entity.
    pub(super) fn attributes(&self, uid: &Uid) -> impl Iterator<Item = (&SmolStr, &CedarValue)> {
        self.about(uid).flat_map(|stated| stated.attributes())
    }

    /// The parents that are stated of an entity.
    pub(super) fn parents(&self, uid: &Uid) -> impl Iterator<Item = &Uid> {
        self.about(uid).flat_map(|stated| stated.parents())
    }

    /// Whatever is stated about an entity, by the request and by its own side.
    pub(super) fn about(&self, uid: &Uid) -> impl Iterator<Item = &Arc<Entity>> {
        let own = (self.principal.uid() == uid).then_some(self.principal);
        self.by_request(uid).into_iter().chain(own)
    }

    fn by_request(&self, uid: &Uid) -> Option<&Arc<Entity>> {
        self.stated.get(self.place_of(uid).ok()?)
    }

    fn place_of(&self, uid: &Uid) -> Result<usize, usize> {
        self.stated.binary_search_by(|it| it.uid().cmp(uid))
    }

    fn note_parents(&mut self, stated: &Entity) {
        let its_type = stated.uid().entity_type();
        if !stated.parents().is_empty() && !self.joined.contains(its_type) {
            self.joined.push(its_type.clone());
        }
    }

    /// Adds what the request states about an entity of this type and name.
    pub(super) fn state(
        &mut self,
        snapshot: &Snapshot,
        named: (&EntityTypeDef, Uid),
        facts: &EntityFacts,
        root: &dyn Display,
    ) -> Result<(), Refusal> {
        let stated = Stated::read_of(snapshot, named, facts, Source::Request, root)?;
        stated.require(snapshot, Source::Request, root)?;
        self.add(stated, root)
    }

    fn add(&mut self, stated: Stated, root: &dyn Display) -> Result<(), Refusal> {
        let entity = stated.into_entity();
        let Err(place) = self.place_of(entity.uid()) else {
            let message = format!("entity `{}` is stated twice", entity.uid());
            let root = root.to_string();
            return Err(Refusal::malformed(root, "duplicate_entity", message));
        };
        self.note_parents(&entity);
        self.stated.insert(place, entity);
        Ok(())
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
        let (def, _) = entity_name(snapshot, &matched.resource, &root)?;
        let owners = snapshot.sources.owners(&def.name);
        // Facts of the principal are known facts, should it be the resource as well.
        let declared = self.about(resource).next().is_some();
        let mut stated = Stated::bare(resource.clone());
        for (name, text) in &matched.attributes {
            let (name, member) = def.attributes.members.get_key_value(*name).ok_or_else(|| {
                Refusal::malformed(root, "unknown_member", format!("`{name}` is not declared"))
            })?;
            let value = read(&Value::String(text.clone()), &member.ty, &snapshot.schema)
                .map_err(|fault| Refusal::Malformed(vec![fault.violation(root)]))?;
            let owned_elsewhere = owners.of_attribute(name) != Source::Request
                || is_stored_else(snapshot, resource, name);
            if declared || owned_elsewhere {
                if !self.knows_attribute(resource, name, &value)? {
                    return Err(Refusal::ResourceMismatch {
                        path: name.to_string(),
                    });
                }
            } else {
                stated.attributes.push((name.clone(), value));
            }
        }
        for parent in &matched.parents {
            let (parent_type, parent) = entity_name(snapshot, parent, &root)?;
            if declared || owners.of_parent(&parent_type.name) != Source::Request {
                if !self.knows_parent(resource, &parent)? {
                    return Err(Refusal::ResourceMismatch {
                        path: parent_type.name.to_string(),
                    });
                }
            } else {
                stated.parents.insert(parent);
            }
        }
        if !declared {
            stated.attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
            stated.require(snapshot, Source::Request, &root)?;
            self.add(stated, &root)?;
        }
        Ok(())
    }

    /// Whether an entity is known to have an attribute of this value.
    fn knows_attribute(&self, uid: &Uid, name: &str, value: &CedarValue) -> Result<bool, Refusal> {
        let mut stated = self.about(uid).filter_map(|it| it.attribute(name));
        if let Some(stated) = stated.next() {
            return Ok(stated == value);
        }
        let stored = self.known.get(uid)?;
        Ok(stored.is_some_and(|entity| entity.attribute(name) == Some(value)))
    }

    /// Whether an entity is known to be in another one.
    fn knows_parent(&self, uid: &Uid, parent: &Uid) -> Result<bool, Refusal> {
        if self.parents(uid).any(|stated| stated == parent) {
            return Ok(true);
        }
        let stored = self.known.get(uid)?;
        Ok(stored.is_some_and(|entity| entity.is_in(parent)))
    }
}

/// Whether the bundle has a value of an attribute that stands where its owner states none.
pub(super) fn is_stored_else(snapshot: &Snapshot, uid: &Uid, attribute: &str) -> bool {
    snapshot
        .sources
        .is_stored_else(uid.entity_type(), attribute)
        && snapshot
            .entities
            .get(uid)
            .is_some_and(|entity| entity.attribute(attribute).is_some())
}

/// The type and name of an entity that a request names.
pub(super) fn entity_name<'s>(
    snapshot: &'s Snapshot,
    uid: &EntityRef,
    root: &dyn Display,
) -> Result<(&'s EntityTypeDef, Uid), Refusal> {
    let def = snapshot
        .schema
        .type_named(&uid.type_name)
        .ok_or_else(|| unknown_type(uid, root))?;
    let uid = def.uid_of(&uid.id).map_err(|fault| {
        Refusal::Malformed(vec![fault.within("id").violation(&root.to_string())])
    })?;
    Ok((def, uid))
}

fn unknown_type(uid: &EntityRef, root: &dyn Display) -> Refusal {
    let message = format!("the bundle's schema has no entity type `{}`", uid.type_name);
    Refusal::malformed(format!("{root}.type"), "unknown_type", message)
}

fn not_owned(field: String, owner: Source, source: Source) -> Refusal {
    let other = match source {
        Source::Directory => "the directory",
        Source::Token | Source::Bundle | Source::Request => "this request",
    };
    let message = format!("is a fact of the {owner}, not of {other}");
    Refusal::malformed(field, "fact_not_owned", message)
}

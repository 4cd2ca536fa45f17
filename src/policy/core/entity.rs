//! Entities of the engine.

use std::{
    cell::OnceCell,
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use cedar_policy_core::{
    ast::{self, Eid, PartialValue},
    entities::{Entities as Cedars, NoEntitiesSchema, TCComputation},
    extensions::Extensions,
};
use smol_str::SmolStr;

use super::{CedarValue, TypeName, Uid, references};
use crate::policy::Map;

/// Something that rules know facts of.
///
/// Cedar's own entity is a map and two sets, some 3 KB of small allocations. So this is what is kept
/// and looked at, and Cedar's is made only where Cedar's evaluator is needed.
#[derive(Debug)]
pub struct Entity {
    uid: Uid,
    /// In the order of their names.
    attributes: Vec<(SmolStr, CedarValue)>,
    above: Above,
    cedars: OnceLock<Arc<ast::Entity>>,
}

/// What an entity is in: its parents, and all of its ancestors with them. Whatever is in the same
/// parents may share it.
#[derive(Clone, Debug, Default)]
pub struct Above {
    parents: Arc<[Uid]>,
    /// In the order of their names.
    all: Arc<[Uid]>,
}

impl Entity {
    /// An entity; of two attributes of one name, the latter stands.
    pub fn new(
        uid: Uid,
        attributes: impl IntoIterator<Item = (SmolStr, CedarValue)>,
        above: Above,
    ) -> Self {
        let mut attributes: Vec<_> = attributes.into_iter().collect();
        if !attributes.is_sorted_by(|(a, _), (b, _)| a < b) {
            attributes.reverse();
            attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
            attributes.dedup_by(|(a, _), (b, _)| a == b);
        }
        Self {
            uid,
            attributes,
            above,
            cedars: OnceLock::new(),
        }
    }

    /// Its name.
    pub fn uid(&self) -> &Uid {
        &self.uid
    }

    /// One of its attributes.
    pub fn attribute(&self, name: &str) -> Option<&CedarValue> {
        let at = self
            .attributes
            .binary_search_by(|(it, _)| it.as_str().cmp(name));
        self.attributes.get(at.ok()?).map(|(_, value)| value)
    }

    /// Its attributes, in the order of their names.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = (&SmolStr, &CedarValue)> {
        self.attributes.iter().map(|(name, value)| (name, value))
    }

    /// Its parents, in the order of their names.
    pub fn parents(&self) -> &[Uid] {
        &self.above.parents
    }

    /// All of its ancestors, in the order of their names.
    pub fn ancestors(&self) -> &[Uid] {
        &self.above.all
    }

    /// Whether it is in another one.
    pub fn is_in(&self, other: &Uid) -> bool {
        self.above.has(other)
    }

    /// Whether anything is known of it but its name.
    pub fn has_facts(&self) -> bool {
        !self.attributes.is_empty() || !self.above.parents.is_empty()
    }

    /// The same as Cedar has it.
    fn cedars(&self) -> Arc<ast::Entity> {
        let make = || {
            let attributes = self.attributes();
            let attributes =
                attributes.map(|(name, value)| (name.clone(), PartialValue::from(value.clone())));
            let parents: HashSet<Uid> = self.parents().iter().cloned().collect();
            let further = self.ancestors().iter().filter(|it| !parents.contains(it));
            let further = further.cloned().collect();
            let uid = self.uid.clone();
            let entity =
                ast::Entity::new_with_attr_partial_value(uid, attributes, further, parents, []);
            Arc::new(entity)
        };
        Arc::clone(self.cedars.get_or_init(make))
    }

    /// What Cedar has as an entity.
    pub(in crate::policy) fn of_cedars(entity: &ast::Entity) -> Self {
        let attributes = entity.attrs().filter_map(|(name, value)| match value {
            PartialValue::Value(value) => Some((name.clone(), value.clone())),
            PartialValue::Residual(_) => None,
        });
        let above = Above::new(
            entity.parents().cloned().collect(),
            entity.ancestors().cloned(),
        );
        Self::new(entity.uid().clone(), attributes, above)
    }
}

impl Above {
    /// In these parents, and by way of them in `further`, which may name some more than once.
    pub fn new(mut parents: Vec<Uid>, further: impl IntoIterator<Item = Uid>) -> Self {
        parents.sort_unstable();
        parents.dedup();
        let mut all: Vec<Uid> = further.into_iter().collect();
        if parents.is_empty() && all.is_empty() {
            // Without memory of its own.
            return Self::default();
        }
        let parents: Arc<[Uid]> = parents.into();
        if all.is_empty() {
            let all = Arc::clone(&parents);
            return Self { parents, all };
        }
        all.extend(parents.iter().cloned());
        all.sort_unstable();
        all.dedup();
        let all = all.into();
        Self { parents, all }
    }

    /// In one parent, and by way of it in what that is in.
    pub fn of_one(parent: Uid, its: &Self) -> Self {
        Self::new(vec![parent], its.all.iter().cloned())
    }

    /// In all of the parents of several.
    pub fn of_all(several: &[Self]) -> Self {
        match several {
            [] => Self::default(),
            [one] => one.clone(),
            _ => {
                let parents = several.iter().flat_map(|it| it.parents.iter().cloned());
                let all = several.iter().flat_map(|it| it.all.iter().cloned());
                Self::new(parents.collect(), all)
            }
        }
    }

    /// The parents, in the order of their names.
    pub fn parents(&self) -> &[Uid] {
        &self.parents
    }

    /// All ancestors, in the order of their names.
    pub fn all(&self) -> &[Uid] {
        &self.all
    }

    /// Whether another one is among them.
    pub fn has(&self, other: &Uid) -> bool {
        self.all.binary_search(other).is_ok()
    }
}

/// The entities of one request, each of which lists all of its ancestors.
///
/// They are few, and found by their names. Cedar's own set hashes and copies each name, so it is made
/// only where Cedar's evaluator is needed.
#[derive(Debug, Default)]
pub struct Entities {
    /// In the order of their names.
    all: Vec<Arc<Entity>>,
    cedars: OnceCell<Result<Cedars, String>>,
}

impl Entities {
    /// These entities; of two of one name, one.
    pub fn new(closed: impl Into<Vec<Arc<Entity>>>) -> Self {
        let mut all = closed.into();
        all.sort_unstable_by(|a, b| a.uid().cmp(b.uid()));
        all.dedup_by(|a, b| a.uid() == b.uid());
        Self {
            all,
            cedars: OnceCell::new(),
        }
    }

    /// One of them.
    pub fn get(&self, uid: &Uid) -> Option<&Entity> {
        let at = self.all.binary_search_by(|it| it.uid().cmp(uid)).ok()?;
        self.all.get(at).map(Arc::as_ref)
    }

    /// The same as Cedar has them.
    ///
    /// # Errors
    /// When Cedar refuses them.
    pub(super) fn cedars(&self) -> Result<&Cedars, &str> {
        let made = self.cedars.get_or_init(|| {
            let made = Cedars::new().add_entities(
                self.all.iter().map(|it| it.cedars()),
                None::<&NoEntitiesSchema>,
                TCComputation::AssumeAlreadyComputed,
                Extensions::all_available(),
            );
            made.map_err(|error| error.to_string())
        });
        made.as_ref().map_err(String::as_str)
    }
}

/// Names an entity of a known type.
pub fn uid(type_name: &TypeName, id: &str) -> Uid {
    Uid::from_components(type_name.clone(), Eid::new(id), None)
}

/// The schema's actions as entities, by their names.
///
/// # Errors
/// When Cedar cannot build them.
pub(in crate::policy) fn action_entities(
    schema: &cedar_policy::Schema,
) -> Result<Map<Uid, Arc<Entity>>, String> {
    let entities = schema
        .action_entities()
        .map_err(|error| error.to_string())?;
    let entities: &Cedars = entities.as_ref();
    let entities = entities.iter().map(|it| Arc::new(Entity::of_cedars(it)));
    Ok(entities.map(|it| (it.uid().clone(), it)).collect())
}

/// Calls `found` with every entity that an entity's attributes refer to, as often as they do.
pub fn entity_references(entity: &Entity, found: &mut impl FnMut(&Uid)) {
    for (_, value) in entity.attributes() {
        references(value, found);
    }
}

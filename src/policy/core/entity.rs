//! Entities of the engine.

use std::{cell::OnceCell, collections::HashSet, sync::Arc};

use cedar_policy_core::{
    ast::{Eid, PartialValue},
    entities::{Entities as Cedars, NoEntitiesSchema, TCComputation},
    extensions::Extensions,
};
use smol_str::SmolStr;

use super::{CedarValue, Entity, TypeName, Uid, references};

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
                self.all.iter().cloned(),
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

/// Builds an entity whose `ancestors` are all it has beyond its `parents`; of two attributes of one
/// name, the latter stands.
pub fn entity(
    uid: Uid,
    attributes: impl IntoIterator<Item = (SmolStr, CedarValue)>,
    parents: HashSet<Uid>,
    ancestors: HashSet<Uid>,
) -> Entity {
    let attributes = attributes
        .into_iter()
        .map(|(name, value)| (name, PartialValue::from(value)));
    Entity::new_with_attr_partial_value(uid, attributes, ancestors, parents, [])
}

/// The attributes of an entity.
pub fn attributes(entity: &Entity) -> impl Iterator<Item = (&SmolStr, &CedarValue)> {
    entity
        .attrs()
        .filter_map(|(name, value)| Some((name, known(value)?)))
}

/// One attribute of an entity.
pub fn attribute<'e>(entity: &'e Entity, name: &str) -> Option<&'e CedarValue> {
    known(entity.get(name)?)
}

fn known(value: &PartialValue) -> Option<&CedarValue> {
    match value {
        PartialValue::Value(value) => Some(value),
        PartialValue::Residual(_) => None,
    }
}

/// The schema's actions as entities.
///
/// # Errors
/// When Cedar cannot build them.
pub(in crate::policy) fn action_entities(
    schema: &cedar_policy::Schema,
) -> Result<Entities, String> {
    let entities = schema
        .action_entities()
        .map_err(|error| error.to_string())?;
    let entities: &Cedars = entities.as_ref();
    let entities: Vec<_> = entities.iter().cloned().map(Arc::new).collect();
    Ok(Entities::new(entities))
}

/// Calls `found` with every entity that an entity's attributes refer to, as often as they do.
pub fn entity_references(entity: &Entity, found: &mut impl FnMut(&Uid)) {
    for (_, value) in attributes(entity) {
        references(value, found);
    }
}

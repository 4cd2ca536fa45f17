//! Entities of the engine.

use std::{collections::HashSet, sync::Arc};

use cedar_policy_core::{
    ast::{Eid, PartialValue},
    entities::{Dereference, NoEntitiesSchema, TCComputation},
    extensions::Extensions,
};
use smol_str::SmolStr;

use super::{CedarValue, Entities, Entity, TypeName, Uid, references};

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

/// A set of entities, each of which already lists all of its ancestors.
///
/// # Errors
/// When two different entities have the same name.
pub fn entities(closed: impl IntoIterator<Item = Arc<Entity>>) -> Result<Entities, String> {
    Entities::new()
        .add_entities(
            closed,
            None::<&NoEntitiesSchema>,
            TCComputation::AssumeAlreadyComputed,
            Extensions::all_available(),
        )
        .map_err(|error| error.to_string())
}

/// One entity of a set.
pub fn find<'e>(entities: &'e Entities, uid: &Uid) -> Option<&'e Entity> {
    match entities.entity(uid) {
        Dereference::Data(entity) => Some(entity),
        Dereference::NoSuchEntity | Dereference::Residual(_) => None,
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
    let entities: &Entities = entities.as_ref();
    Ok(entities.clone())
}

/// Calls `found` with every entity that an entity's attributes refer to, as often as they do.
pub fn entity_references(entity: &Entity, found: &mut impl FnMut(&Uid)) {
    for (_, value) in attributes(entity) {
        references(value, found);
    }
}

//! Entities as the rules of one request see them: what is stored, what is stated, and their ancestors.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    facts::{Overlay, Stated},
    stored::Known,
};
use crate::{
    bundle::MAX_ANCESTORS,
    model::Refusal,
    policy::core::{self, Entities, Entity, Uid},
};

/// Greatest number of entities in one slice.
const MAX_SLICE: usize = 10_000;

/// Loads `roots` and what they refer to, `level` dereferences deep. Rules look at no other action than
/// the one asked about: level validation refuses to follow a literal.
///
/// Entities are shared, not copied, and no hierarchy is closed: whatever is stored lists all of its
/// ancestors, and so does the principal's entity. Only what the request states something about, or
/// about an ancestor of, is built anew.
pub(super) fn slice(
    stored: Known<'_>,
    overlay: &Overlay<'_>,
    principal: &Arc<Entity>,
    roots: Vec<Uid>,
    level: u32,
    action: &Arc<Entity>,
) -> Result<Entities, Refusal> {
    let mut found: BTreeMap<Uid, Option<Arc<Entity>>> = BTreeMap::new();
    let mut count = 0;
    let mut open = roots;
    for deeper in (0..level.max(1)).rev() {
        let mut next = Vec::new();
        for uid in open {
            if found.contains_key(&uid) {
                continue;
            }
            let entity = seen(stored, overlay, principal, &uid)?;
            if let Some(entity) = &entity {
                count += 1;
                if deeper > 0 {
                    core::entity_references(entity, &mut |uid| next.push(uid.clone()));
                }
            }
            found.insert(uid, entity);
            if count > MAX_SLICE {
                return Err(Refusal::TooLarge {
                    what: "entities to decide with",
                    limit: MAX_SLICE,
                });
            }
        }
        open = next;
    }
    let known = found.into_values().flatten();
    core::entities(known.chain([Arc::clone(action)]))
        .map_err(|detail| Refusal::Unavailable { detail })
}

/// One entity with all of its ancestors.
fn seen(
    stored: Known<'_>,
    overlay: &Overlay<'_>,
    principal: &Arc<Entity>,
    uid: &Uid,
) -> Result<Option<Arc<Entity>>, Refusal> {
    let complete = match uid == principal.uid() {
        true => Some(Arc::clone(principal)),
        false => stored.get(uid)?,
    };
    match complete {
        Some(entity)
            if !overlay.adds_facts(uid)
                && !entity.ancestors().any(|it| overlay.adds_parents(it)) =>
        {
            Ok(Some(entity))
        }
        None if !overlay.is_stated(uid) => Ok(None),
        _ => build(stored, overlay, uid).map(Some),
    }
}

/// The entity of a principal of whom its own side states this, and the request nothing.
///
/// # Errors
/// As of [`build`].
pub(super) fn of_principal(stored: Known<'_>, stated: &Stated) -> Result<Arc<Entity>, Refusal> {
    if stated.attributes.is_empty()
        && stated.parents.is_empty()
        && let Some(entity) = stored.get(&stated.uid)?
    {
        return Ok(entity);
    }
    build(stored, &Overlay::new(stored, stated), &stated.uid)
}

/// Unites what is stored and stated of an entity, each fact by its one owner, and closes its
/// hierarchy.
///
/// # Errors
/// [`Refusal::Malformed`] when it is its own ancestor, [`Refusal::TooLarge`] for too many ancestors.
fn build(stored: Known<'_>, overlay: &Overlay<'_>, uid: &Uid) -> Result<Arc<Entity>, Refusal> {
    let entity = stored.get(uid)?;
    let stored_of_it = entity.iter().flat_map(|entity| core::attributes(entity));
    // Where both are there, the latter stands.
    let attributes = stored_of_it
        .chain(overlay.attributes(uid))
        .map(|(name, value)| (name.clone(), value.clone()));
    let parents: HashSet<Uid> = parents(stored, overlay, uid)?.into_iter().collect();
    let ancestors = ancestors(stored, overlay, uid, &parents)?;
    Ok(Arc::new(core::entity(
        uid.clone(),
        attributes,
        parents,
        ancestors,
    )))
}

fn parents(stored: Known<'_>, overlay: &Overlay<'_>, uid: &Uid) -> Result<Vec<Uid>, Refusal> {
    let mut parents = stored.parents(uid)?;
    parents.extend(overlay.parents(uid).cloned());
    Ok(parents)
}

/// All ancestors beyond the parents.
fn ancestors(
    stored: Known<'_>,
    overlay: &Overlay<'_>,
    uid: &Uid,
    direct: &HashSet<Uid>,
) -> Result<HashSet<Uid>, Refusal> {
    let mut found: HashSet<Uid> = HashSet::new();
    let mut open: Vec<Uid> = direct.iter().cloned().collect();
    while let Some(next) = open.pop() {
        if next == *uid {
            let message = format!("`{uid}` is its own ancestor");
            return Err(Refusal::malformed("entities", "hierarchy_cycle", message));
        }
        if !found.contains(&next) {
            open.extend(parents(stored, overlay, &next)?);
            found.insert(next);
        }
        if found.len() > MAX_ANCESTORS {
            return Err(Refusal::TooLarge {
                what: "ancestors",
                limit: MAX_ANCESTORS,
            });
        }
    }
    found.retain(|ancestor| !direct.contains(ancestor));
    Ok(found)
}

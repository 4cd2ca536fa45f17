//! Entities as the rules of one request see them: what is stored, what is stated, and their ancestors.

use std::{collections::HashSet, sync::Arc};

use super::{facts::Overlay, stored::Known};
use crate::{
    bundle::MAX_ANCESTORS,
    model::Refusal,
    policy::core::{self, Above, Entities, Entity, Uid},
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
    let mut found: Vec<Arc<Entity>> = Vec::new();
    let (mut open, mut looked_at) = (roots, Vec::new());
    for deeper in (0..level.max(1)).rev() {
        open.sort_unstable();
        open.dedup();
        open.retain(|uid| looked_at.binary_search(uid).is_err());
        let mut next = Vec::new();
        for uid in &open {
            let Some(entity) = seen(stored, overlay, principal, uid)? else {
                continue;
            };
            if deeper > 0 {
                core::entity_references(&entity, &mut |uid| next.push(uid.clone()));
            }
            found.push(entity);
            if found.len() > MAX_SLICE {
                return Err(Refusal::TooLarge {
                    what: "entities to decide with",
                    limit: MAX_SLICE,
                });
            }
        }
        looked_at.append(&mut open);
        looked_at.sort_unstable();
        open = next;
    }
    found.push(Arc::clone(action));
    Ok(Entities::new(found))
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
        Some(entity) if !overlay.adds_facts(uid) && !overlay.adds_ancestors(&entity) => {
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
pub(super) fn of_principal(
    stored: Known<'_>,
    stated: &Arc<Entity>,
) -> Result<Arc<Entity>, Refusal> {
    if !stated.has_facts()
        && let Some(entity) = stored.get(stated.uid())?
    {
        return Ok(entity);
    }
    build(stored, &Overlay::new(stored, stated), stated.uid())
}

/// Unites what is stored and stated of an entity, each fact by its one owner, and closes its
/// hierarchy. What one side alone states, and nothing is known above, is whole as it is.
///
/// # Errors
/// [`Refusal::Malformed`] when it is its own ancestor, [`Refusal::TooLarge`] for too many ancestors.
fn build(stored: Known<'_>, overlay: &Overlay<'_>, uid: &Uid) -> Result<Arc<Entity>, Refusal> {
    let entity = stored.get(uid)?;
    let mut stated = overlay.about(uid);
    if let (None, Some(only), None) = (&entity, stated.next(), stated.next())
        && is_whole(stored, overlay, only)?
    {
        return Ok(Arc::clone(only));
    }
    let stored_of_it = entity.iter().flat_map(|entity| entity.attributes());
    // Where both are there, the latter stands.
    let attributes = stored_of_it
        .chain(overlay.attributes(uid))
        .map(|(name, value)| (name.clone(), value.clone()));
    let parents = parents(stored, overlay, uid)?;
    let ancestors = ancestors(stored, overlay, uid, &parents)?;
    let above = Above::new(parents, ancestors);
    Ok(Arc::new(Entity::new(uid.clone(), attributes, above)))
}

/// Whether an entity is soundly in what is stated of it, and nothing is known above that.
fn is_whole(stored: Known<'_>, overlay: &Overlay<'_>, entity: &Entity) -> Result<bool, Refusal> {
    for (n, parent) in entity.parents().iter().enumerate() {
        let is_sound = n < MAX_ANCESTORS && parent != entity.uid();
        if !is_sound || !parents(stored, overlay, parent)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn parents(stored: Known<'_>, overlay: &Overlay<'_>, uid: &Uid) -> Result<Vec<Uid>, Refusal> {
    let mut parents = stored.parents(uid)?;
    parents.extend(overlay.parents(uid).cloned());
    Ok(parents)
}

/// All ancestors by way of these parents.
fn ancestors(
    stored: Known<'_>,
    overlay: &Overlay<'_>,
    uid: &Uid,
    direct: &[Uid],
) -> Result<HashSet<Uid>, Refusal> {
    let mut found: HashSet<Uid> = HashSet::new();
    let mut open: Vec<Uid> = direct.to_vec();
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
    Ok(found)
}

//! The slice of entities that decides a question as the whole store would.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Principal, context,
    facts::Overlay,
    question::{self, Asked, Resolved},
};
use crate::{
    bundle::{MAX_ANCESTORS, Snapshot},
    model::{Refusal, Timestamp},
    policy::{
        Request,
        core::{self, Entities, Entity, Uid},
    },
};

/// Greatest number of entities in one slice.
const MAX_SLICE: usize = 10_000;

/// A question in Cedar's terms with all that is needed to decide it.
#[derive(Debug)]
pub struct Gathered<'s> {
    /// Action and resource.
    pub resolved: Resolved<'s>,
    /// The question.
    pub request: Request,
    /// Principal, resource and every entity in the context, each with all of its ancestors, and what
    /// they refer to, as deep as the bundle's policies look.
    pub entities: Entities,
}

/// Gathers what is known about a question.
///
/// # Errors
/// [`Refusal::Malformed`], [`Refusal::NoRoute`], [`Refusal::ResourceMismatch`] or
/// [`Refusal::TooLarge`] for what the request states; [`Refusal::Unavailable`] for what it cannot help.
pub fn gather<'s>(
    snapshot: &'s Snapshot,
    who: &Principal,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Gathered<'s>, Refusal> {
    let mut overlay = Overlay::default();
    let resolved = question::resolve(snapshot, who, asked, &mut overlay)?;
    let context = context::build(snapshot, resolved.action, who, asked, now)?;
    let mut roots = vec![who.uid().clone(), resolved.resource.clone()];
    roots.extend(context.values().flat_map(core::references));
    let request = Request {
        principal: who.uid().clone(),
        action: resolved.action.uid.clone(),
        resource: resolved.resource.clone(),
        context,
    };
    let entities = slice(snapshot, &overlay, roots, &resolved.action.entity)?;
    Ok(Gathered {
        resolved,
        request,
        entities,
    })
}

/// Loads `roots` and what they refer to, to the depth that the policies were validated for. Rules look
/// at no other action than the one asked about: level validation refuses to follow a literal.
fn slice(
    snapshot: &Snapshot,
    overlay: &Overlay,
    roots: Vec<Uid>,
    action: &Arc<Entity>,
) -> Result<Entities, Refusal> {
    let mut found: HashMap<Uid, Arc<Entity>> = HashMap::new();
    let mut open: HashSet<Uid> = roots.into_iter().collect();
    for _ in 0..snapshot.policies.level().max(1) {
        let mut next = HashSet::new();
        for uid in open {
            if found.contains_key(&uid) {
                continue;
            }
            if let Some(entity) = entity(snapshot, overlay, &uid)? {
                next.extend(core::entity_references(&entity));
                found.insert(uid, entity);
            }
            if found.len() > MAX_SLICE {
                return Err(Refusal::TooLarge {
                    what: "entities to decide with",
                    limit: MAX_SLICE,
                });
            }
        }
        open = next;
    }
    core::entities(found.into_values().chain([Arc::clone(action)]))
        .map_err(|detail| Refusal::Unavailable { detail })
}

/// One entity with all of its ancestors, from the bundle's store and what is stated about it.
fn entity(
    snapshot: &Snapshot,
    overlay: &Overlay,
    uid: &Uid,
) -> Result<Option<Arc<Entity>>, Refusal> {
    let stored = snapshot.entities.get(uid);
    let stated = overlay.get(uid);
    match (stored, stated) {
        (None, None) => return Ok(None),
        // A stored entity is complete unless something was stated about one of its ancestors.
        (Some(stored), None) if !stored.ancestors().any(|uid| overlay.contains(uid)) => {
            return Ok(Some(Arc::clone(stored)));
        }
        _ => {}
    }
    let mut attributes = stored
        .map(|stored| core::attributes(stored))
        .unwrap_or_default();
    attributes.extend(
        stated
            .into_iter()
            .flat_map(|stated| stated.attributes.clone()),
    );
    let parents: HashSet<Uid> = parents(snapshot, overlay, uid).cloned().collect();
    let ancestors = ancestors(snapshot, overlay, uid, &parents)?;
    Ok(Some(Arc::new(core::entity(
        uid.clone(),
        attributes,
        parents,
        ancestors,
    ))))
}

fn parents<'a>(
    snapshot: &'a Snapshot,
    overlay: &'a Overlay,
    uid: &Uid,
) -> impl Iterator<Item = &'a Uid> {
    let stored = snapshot
        .entities
        .get(uid)
        .into_iter()
        .flat_map(|entity| entity.parents());
    stored.chain(
        overlay
            .get(uid)
            .into_iter()
            .flat_map(|stated| &stated.parents),
    )
}

/// All ancestors beyond the parents.
fn ancestors(
    snapshot: &Snapshot,
    overlay: &Overlay,
    uid: &Uid,
    direct: &HashSet<Uid>,
) -> Result<HashSet<Uid>, Refusal> {
    let mut found: HashSet<Uid> = HashSet::new();
    let mut open: Vec<&Uid> = direct.iter().collect();
    while let Some(next) = open.pop() {
        if next == uid {
            let message = format!("`{uid}` is its own ancestor");
            return Err(Refusal::malformed("entities", "hierarchy_cycle", message));
        }
        if found.insert(next.clone()) {
            open.extend(parents(snapshot, overlay, next));
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

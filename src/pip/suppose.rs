//! A question with some of its facts otherwise than they are.
//!
//! The facts are changed after it is known who states them, so that a supposition can be about any
//! of them; all else is as [`super::gather`] does it, to the same depth.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use smol_str::SmolStr;

use super::{
    Principal, context,
    facts::Overlay,
    question::{self, Asked},
    stored::Known,
};
use crate::{
    bundle::{MAX_ANCESTORS, Snapshot},
    model::{Question, Refusal, Timestamp},
    policy::{
        ActionDef, Change, Edit, Request, Root, Supposed,
        core::{self, Above, CedarValue, Entities, Entity, Uid},
        edited,
    },
};

/// Greatest number of entities of one supposition.
const MAX_SLICE: usize = 10_000;

/// A question, and all that is known about it.
#[derive(Debug)]
pub struct Supposing<'s> {
    stored: Known<'s>,
    snapshot: &'s Snapshot,
    overlay: Overlay<'s>,
    action: &'s ActionDef,
    request: Request,
    /// What the URL says of the resource: it is what was asked, and no fact.
    in_url: HashSet<String>,
    /// Entities as they are.
    known: RefCell<HashMap<Uid, Option<Arc<Entity>>>>,
}

impl<'s> Supposing<'s> {
    /// Takes in a question.
    ///
    /// # Errors
    /// The [`Refusal`]s of [`super::gather`].
    pub fn new(
        stored: Known<'s>,
        who: &'s Principal,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let snapshot = stored.snapshot;
        let mut overlay = Overlay::new(stored, who.stated());
        let resolved = question::resolve(snapshot, who, asked, &mut overlay)?;
        let (context, _) = context::build(snapshot, resolved.action, who, asked, now)?;
        Ok(Self {
            stored,
            snapshot,
            overlay,
            action: resolved.action,
            request: Request {
                principal: who.uid().clone(),
                action: resolved.action.uid.clone(),
                resource: resolved.resource,
                context,
            },
            in_url: in_url(snapshot, asked.question),
            known: RefCell::default(),
        })
    }

    /// The action asked about.
    pub fn action(&self) -> &'s ActionDef {
        self.action
    }

    /// The question under `changes`; `None` when they cannot be.
    pub fn with(&self, changes: &[Change]) -> Option<Supposed> {
        if changes.iter().any(|change| self.is_in_url(change)) {
            return None;
        }
        let mut context = self.request.context.clone();
        for change in changes.iter().filter(|it| it.spot.root == Root::Context) {
            context = edited(context, &change.spot.path, &change.edit)?;
        }
        let request = Request {
            context,
            ..self.request.clone()
        };
        let mut found: HashMap<Uid, Arc<Entity>> = HashMap::new();
        let mut open: Vec<Uid> = vec![request.principal.clone(), request.resource.clone()];
        for value in request.context.values() {
            core::references(value, &mut |uid| open.push(uid.clone()));
        }
        for _ in 0..self.snapshot.policies.level().max(1) {
            let mut next = Vec::new();
            for uid in open {
                if found.contains_key(&uid) {
                    continue;
                }
                if let Some(entity) = self.entity(&uid, changes)? {
                    core::entity_references(&entity, &mut |uid| next.push(uid.clone()));
                    found.insert(uid, entity);
                }
            }
            if found.len() > MAX_SLICE {
                return None;
            }
            open = next;
        }
        // Their parents too, so that it can be told through which of them they are in others.
        let parents: HashSet<Uid> = found
            .values()
            .flat_map(|entity| entity.parents().iter().cloned())
            .collect();
        for uid in parents {
            if !found.contains_key(&uid)
                && let Some(entity) = self.entity(&uid, changes)?
            {
                found.insert(uid, entity);
            }
        }
        let action = Arc::clone(&self.action.entity);
        let entities: Vec<_> = found.into_values().chain([action]).collect();
        let entities = Entities::new(entities);
        Some(Supposed {
            changes: changes.to_vec(),
            request,
            entities,
        })
    }

    fn is_in_url(&self, change: &Change) -> bool {
        let spot = &change.spot;
        let name = match (&change.edit, spot.path.first()) {
            (Edit::Join(uid) | Edit::Leave(uid), _) => uid.entity_type().to_string(),
            (_, Some(name)) => name.to_string(),
            (_, None) => return false,
        };
        spot.root == Root::Entity(self.request.resource.clone()) && self.in_url.contains(&name)
    }

    /// One entity; the outer `None` when the changes cannot be.
    fn entity(&self, uid: &Uid, changes: &[Change]) -> Option<Option<Arc<Entity>>> {
        let known = self.as_it_is(uid)?;
        let of =
            |change: &Change, uid: &Uid| matches!(&change.spot.root, Root::Entity(of) if of == uid);
        let moved = |change: &&Change| matches!(change.edit, Edit::Join(_) | Edit::Leave(_));
        let touched = |entity: &Entity| {
            changes.iter().any(|it| of(it, uid))
                || changes
                    .iter()
                    .filter(moved)
                    .any(|change| entity.ancestors().iter().any(|it| of(change, it)))
        };
        match known {
            Some(entity) if touched(&entity) => self.built(uid, changes).map(Some),
            // What is not known has no facts to change.
            None if changes.iter().any(|it| of(it, uid)) => None,
            known => Some(known),
        }
    }

    fn as_it_is(&self, uid: &Uid) -> Option<Option<Arc<Entity>>> {
        if let Some(known) = self.known.borrow().get(uid) {
            return Some(known.clone());
        }
        let own = &self.request.principal;
        let is_stated = |uid: &Uid| self.overlay.is_stated(uid) || uid == own;
        let entity = match self.stored.get(uid).ok()? {
            None if !is_stated(uid) => None,
            Some(stored) if !is_stated(uid) && !stored.ancestors().iter().any(is_stated) => {
                Some(stored)
            }
            _ => Some(self.built(uid, &[])?),
        };
        self.known.borrow_mut().insert(uid.clone(), entity.clone());
        Some(entity)
    }

    fn built(&self, uid: &Uid, changes: &[Change]) -> Option<Arc<Entity>> {
        let stored = self.stored.get(uid).ok()?;
        let stored = stored.iter().flat_map(|entity| entity.attributes());
        let facts = stored.chain(self.overlay.attributes(uid));
        let mut attributes: BTreeMap<SmolStr, CedarValue> = facts
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for change in changes.iter().filter(|it| !it.spot.path.is_empty()) {
            if matches!(&change.spot.root, Root::Entity(of) if of == uid) {
                attributes = edited(attributes, &change.spot.path, &change.edit)?;
            }
        }
        let parents = self.parents(uid, changes)?;
        let mut ancestors: HashSet<Uid> = HashSet::new();
        let mut open: Vec<Uid> = parents.iter().cloned().collect();
        while let Some(next) = open.pop() {
            // Nothing is its own ancestor.
            if next == *uid || ancestors.len() > MAX_ANCESTORS {
                return None;
            }
            if ancestors.insert(next.clone()) {
                open.extend(self.parents(&next, changes)?);
            }
        }
        let above = Above::new(parents.into_iter().collect(), ancestors);
        Some(Arc::new(Entity::new(uid.clone(), attributes, above)))
    }

    /// `None` when what is stored does not fit the rules.
    fn parents(&self, uid: &Uid, changes: &[Change]) -> Option<HashSet<Uid>> {
        let stored = self.stored.parents(uid).ok()?;
        let stated = self.overlay.parents(uid).cloned();
        let mut parents: HashSet<Uid> = stored.into_iter().chain(stated).collect();
        for change in changes {
            match (&change.spot.root, &change.edit) {
                (Root::Entity(of), Edit::Join(parent)) if of == uid => {
                    parents.insert(parent.clone());
                }
                (Root::Entity(of), Edit::Leave(parent)) if of == uid => {
                    parents.remove(parent);
                }
                _ => {}
            }
        }
        Some(parents)
    }
}

/// The attributes, and the types of the parents, that the route takes from the URL.
fn in_url(snapshot: &Snapshot, question: &Question) -> HashSet<String> {
    let Question::Http(http) = question else {
        return HashSet::new();
    };
    let Ok(Some(matched)) = snapshot.routes.find(&http.request) else {
        return HashSet::new();
    };
    let attributes = matched.attributes.iter().map(|(name, _)| name.to_string());
    let types = &snapshot.schema;
    let parents = matched.parents.iter().filter_map(|parent| {
        let kind = types.type_name(&parent.type_name)?;
        Some(kind.to_string())
    });
    attributes.chain(parents).collect()
}

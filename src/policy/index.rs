//! Which policies can matter to a request, found without looking at the others.
//!
//! A policy is kept under what its head asks for. A request asks for the policies under all that its
//! principal and resource are: themselves, their types, their ancestors. So a policy is passed over
//! only when its head cannot match, and one that is found needs no further look at its head.

use std::collections::{HashMap, HashSet};

use super::{
    Map,
    core::{ActionScope, Entity, Laid, Laying, Layout, Scope, TypeName, Uid},
    schema::Schema,
    set::Policy,
};
use crate::model::Effect;

#[cfg(test)]
mod tests;

/// The policies of a set by what their heads ask for; each is named by its position.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    names: Names,
    /// Heads that name no action.
    any_action: Table,
    /// Heads by each action that they match.
    actions: Map<Uid, Table>,
    /// The conditions, in the order in which they are met.
    layout: Layout,
    /// Where there each policy's own are.
    laid: Vec<Laid>,
}

/// The entities and types that heads name, as numbers: a request looks each of its own up once.
#[derive(Clone, Debug, Default)]
struct Names {
    entities: Map<Uid, u32>,
    types: Map<TypeName, u32>,
}

/// Policies by what their heads ask of principal and resource.
#[derive(Clone, Debug, Default)]
struct Table(Map<Key, Map<Key, Vec<Entry>>>);

/// Something that a principal or resource can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Anything.
    Any,
    /// This entity.
    Is(u32),
    /// This entity or in it.
    In(u32),
    /// Of this type.
    OfType(u32),
}

/// A policy, with the types that its key leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    policy: u32,
    principal_type: Option<u32>,
    resource_type: Option<u32>,
    gist: Gist,
}

/// All of a policy that most requests need of it, so that its own place in memory is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gist {
    pub(super) effect: Effect,
    pub(super) laid: Laid,
    pub(super) reads_now: bool,
    pub(super) challenges: bool,
}

impl Index {
    pub(super) fn new(policies: &[Policy], schema: &Schema) -> Self {
        let mut index = Self::default();
        let mut members: HashMap<&Uid, Vec<&Uid>> = HashMap::new();
        for action in schema.actions() {
            for group in action.entity.ancestors() {
                members.entry(group).or_default().push(&action.uid);
            }
        }
        for (n, policy) in (0..).zip(policies) {
            // A head with an unfilled slot matches nothing.
            let (Some(principal), Some(resource)) =
                (policy.rule.principal_scope(), policy.rule.resource_scope())
            else {
                continue;
            };
            let (principal, principal_type) = index.names.key(principal);
            let (resource, resource_type) = index.names.key(resource);
            let entry = Entry {
                policy: n,
                principal_type,
                resource_type,
                gist: Gist {
                    effect: policy.effect(),
                    laid: Laid::default(),
                    reads_now: policy.rule.reads_now(),
                    challenges: policy.challenge().is_some(),
                },
            };
            let mut keep = |action: &Uid| {
                let table = index.actions.entry(action.clone()).or_default();
                table.insert(principal, resource, entry);
            };
            match policy.rule.action_scope() {
                None => index.any_action.insert(principal, resource, entry),
                Some(ActionScope::Is(action)) => keep(&action),
                Some(ActionScope::In(named)) => {
                    let mut all: HashSet<&Uid> = named.iter().collect();
                    let groups = named.iter().filter_map(|group| members.get(group));
                    all.extend(groups.flatten());
                    all.into_iter().for_each(keep);
                }
            }
        }
        index.lay_out(policies);
        index
    }

    /// Lays out the conditions of policies that are met together side by side.
    fn lay_out(&mut self, policies: &[Policy]) {
        let mut laying = Laying::default();
        self.laid = vec![Laid::default(); policies.len()];
        let tables = std::iter::once(&mut self.any_action).chain(self.actions.values_mut());
        let entries = tables
            .flat_map(|table| table.0.values_mut())
            .flat_map(Map::values_mut)
            .flatten();
        for entry in entries {
            let n = usize::try_from(entry.policy).unwrap_or(usize::MAX);
            let (Some(policy), Some(laid)) = (policies.get(n), self.laid.get_mut(n)) else {
                continue;
            };
            if *laid == Laid::default() {
                *laid = laying.add(&policy.rule);
            }
            entry.gist.laid = *laid;
        }
        self.layout = laying.done();
    }

    /// Where in the layout a policy's conditions are.
    pub(super) fn laid(&self, policy: usize) -> Laid {
        self.laid.get(policy).copied().unwrap_or_default()
    }

    /// The conditions that [`Gist`]s refer to.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What an entity is to the heads of these policies.
    pub(super) fn party(&self, uid: &Uid, entity: Option<&Entity>) -> Party {
        self.names.party(uid, entity)
    }

    /// The policies whose heads match, in their own order.
    pub(super) fn matching(
        &self,
        principal: &Party,
        action: &Uid,
        resource: &Party,
    ) -> Vec<(u32, Gist)> {
        let mut found = Vec::new();
        for table in std::iter::once(&self.any_action).chain(self.actions.get(action)) {
            table.collect(principal, resource, &mut found);
        }
        found.sort_unstable_by_key(|(policy, _)| *policy);
        found
    }

    /// The greatest number of policies that a request for `action` meets whose principal and resource
    /// are in one group each that heads name; each further group may add as many again.
    pub(super) fn most_candidates(&self, action: &Uid) -> usize {
        // By the kinds of both keys: of one kind, a party has one key.
        let mut most: HashMap<_, usize> = HashMap::new();
        let mut counts: HashMap<(Key, Key), usize> = HashMap::new();
        for table in std::iter::once(&self.any_action).chain(self.actions.get(action)) {
            for (principal, resource, entries) in table.entries() {
                *counts.entry((principal, resource)).or_default() += entries.len();
            }
        }
        let kind = |key: Key| std::mem::discriminant(&key);
        for ((principal, resource), count) in counts {
            let most = most.entry((kind(principal), kind(resource))).or_default();
            *most = count.max(*most);
        }
        most.into_values().sum()
    }
}

/// The principal or resource of a request: all that it is, as far as the heads of one set of policies
/// name it.
#[derive(Clone, Debug)]
pub struct Party {
    keys: Vec<Key>,
    of_type: Option<u32>,
}

impl Party {
    fn is_of(&self, of_type: Option<u32>) -> bool {
        of_type.is_none() || of_type == self.of_type
    }
}

impl Names {
    fn entity(&mut self, uid: Uid) -> u32 {
        let next = number(self.entities.len());
        *self.entities.entry(uid).or_insert(next)
    }

    fn of_type(&mut self, name: TypeName) -> u32 {
        let next = number(self.types.len());
        *self.types.entry(name).or_insert(next)
    }

    fn key(&mut self, scope: Scope) -> (Key, Option<u32>) {
        match scope {
            Scope::Any => (Key::Any, None),
            Scope::Is(uid) => (Key::Is(self.entity(uid)), None),
            Scope::In(uid) => (Key::In(self.entity(uid)), None),
            Scope::OfType(of_type) => (Key::OfType(self.of_type(of_type)), None),
            Scope::OfTypeIn(of_type, uid) => {
                let of_type = self.of_type(of_type);
                (Key::In(self.entity(uid)), Some(of_type))
            }
        }
    }

    fn party(&self, uid: &Uid, entity: Option<&Entity>) -> Party {
        let of_type = self.types.get(uid.entity_type()).copied();
        let mut keys = Vec::with_capacity(16);
        keys.push(Key::Any);
        keys.extend(of_type.map(Key::OfType));
        if let Some(n) = self.entities.get(uid) {
            keys.extend([Key::Is(*n), Key::In(*n)]);
        }
        let ancestors = entity.into_iter().flat_map(Entity::ancestors);
        let named = ancestors.filter_map(|ancestor| self.entities.get(ancestor));
        keys.extend(named.map(|n| Key::In(*n)));
        Party { keys, of_type }
    }
}

/// The number of the next of so many; there are fewer than 2³² of anything that fits in memory.
fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Table {
    fn insert(&mut self, principal: Key, resource: Key, entry: Entry) {
        let of_principal = self.0.entry(principal).or_default();
        of_principal.entry(resource).or_default().push(entry);
    }

    fn entries(&self) -> impl Iterator<Item = (Key, Key, &Vec<Entry>)> {
        self.0.iter().flat_map(|(principal, entries)| {
            let entries = entries.iter();
            entries.map(|(resource, entries)| (*principal, *resource, entries))
        })
    }

    fn collect(&self, principal: &Party, resource: &Party, found: &mut Vec<(u32, Gist)>) {
        for of_principal in principal.keys.iter().filter_map(|key| self.0.get(key)) {
            for entries in resource.keys.iter().filter_map(|key| of_principal.get(key)) {
                found.reserve(entries.len());
                let entries = entries.iter();
                let typed = entries.filter(|entry| {
                    principal.is_of(entry.principal_type) && resource.is_of(entry.resource_type)
                });
                found.extend(typed.map(|entry| (entry.policy, entry.gist)));
            }
        }
    }
}

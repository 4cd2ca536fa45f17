//! Which policies can matter to a request, found without looking at the others.
//!
//! A policy is kept under what its head asks for. A request asks for the policies under all that its
//! principal and resource are: themselves, their types, their ancestors. So a policy is passed over
//! only when its head cannot match, and one that is found needs no further look at its head.

use std::collections::{HashMap, HashSet};

use super::{
    core::{ActionScope, Entities, Entity, Scope, TypeName, Uid, find},
    schema::Schema,
    set::Policy,
};

/// The policies of a set by what their heads ask for; each is named by its position.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Heads that name no action.
    any_action: Table,
    /// Heads by each action that they match.
    actions: HashMap<Uid, Table>,
}

/// Policies by what their heads ask of principal and resource.
#[derive(Clone, Debug, Default)]
struct Table {
    principals: HashMap<Key, u32>,
    resources: HashMap<Key, u32>,
    /// By the numbers of the two keys.
    policies: HashMap<(u32, u32), Vec<Entry>>,
}

/// Something that a principal or resource can be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Anything.
    Any,
    /// This entity.
    Is(Uid),
    /// This entity or in it.
    In(Uid),
    /// Of this type.
    OfType(TypeName),
}

/// A policy, with the types that its key leaves open.
#[derive(Clone, Debug)]
struct Entry {
    policy: usize,
    principal_type: Option<TypeName>,
    resource_type: Option<TypeName>,
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
        for (n, policy) in policies.iter().enumerate() {
            // A head with an unfilled slot matches nothing.
            let (Some(principal), Some(resource)) =
                (policy.rule.principal_scope(), policy.rule.resource_scope())
            else {
                continue;
            };
            let (principal, principal_type) = key(principal);
            let (resource, resource_type) = key(resource);
            let entry = Entry {
                policy: n,
                principal_type,
                resource_type,
            };
            match policy.rule.action_scope() {
                None => index.any_action.insert(principal, resource, entry),
                Some(ActionScope::Is(action)) => {
                    index
                        .actions
                        .entry(action)
                        .or_default()
                        .insert(principal, resource, entry);
                }
                Some(ActionScope::In(named)) => {
                    let mut all: HashSet<&Uid> = named.iter().collect();
                    all.extend(
                        named
                            .iter()
                            .filter_map(|group| members.get(group))
                            .flatten(),
                    );
                    for action in all {
                        let table = index.actions.entry(action.clone()).or_default();
                        table.insert(principal.clone(), resource.clone(), entry.clone());
                    }
                }
            }
        }
        index
    }

    /// The policies whose heads match, in their own order.
    pub(super) fn matching(
        &self,
        principal: &Uid,
        action: &Uid,
        resource: &Uid,
        entities: &Entities,
    ) -> Vec<usize> {
        let principal = Party::new(principal, entities);
        let resource = Party::new(resource, entities);
        let mut found = Vec::new();
        for table in std::iter::once(&self.any_action).chain(self.actions.get(action)) {
            table.collect(&principal, &resource, &mut found);
        }
        found.sort_unstable();
        found
    }
}

fn key(scope: Scope) -> (Key, Option<TypeName>) {
    match scope {
        Scope::Any => (Key::Any, None),
        Scope::Is(uid) => (Key::Is(uid), None),
        Scope::In(uid) => (Key::In(uid), None),
        Scope::OfType(of_type) => (Key::OfType(of_type), None),
        Scope::OfTypeIn(of_type, uid) => (Key::In(uid), Some(of_type)),
    }
}

/// The principal or resource of a request.
struct Party<'r> {
    uid: &'r Uid,
    entity: Option<&'r Entity>,
}

impl<'r> Party<'r> {
    fn new(uid: &'r Uid, entities: &'r Entities) -> Self {
        Self {
            uid,
            entity: find(entities, uid),
        }
    }

    fn is_of(&self, of_type: &Option<TypeName>) -> bool {
        of_type
            .as_ref()
            .is_none_or(|of_type| self.uid.entity_type() == of_type)
    }

    /// The numbers of all that it is, as far as any head asks for it.
    fn numbers(&self, keys: &HashMap<Key, u32>) -> Vec<u32> {
        let itself = [
            Key::Any,
            Key::OfType(self.uid.entity_type().clone()),
            Key::Is(self.uid.clone()),
            Key::In(self.uid.clone()),
        ];
        let ancestors = self.entity.into_iter().flat_map(Entity::ancestors);
        let ancestors = ancestors.map(|ancestor| Key::In(ancestor.clone()));
        itself
            .into_iter()
            .chain(ancestors)
            .filter_map(|key| keys.get(&key).copied())
            .collect()
    }
}

impl Table {
    fn insert(&mut self, principal: Key, resource: Key, entry: Entry) {
        let number = |keys: &mut HashMap<Key, u32>, key| {
            let next = u32::try_from(keys.len()).unwrap_or(u32::MAX);
            *keys.entry(key).or_insert(next)
        };
        let place = (
            number(&mut self.principals, principal),
            number(&mut self.resources, resource),
        );
        self.policies.entry(place).or_default().push(entry);
    }

    fn collect(&self, principal: &Party<'_>, resource: &Party<'_>, found: &mut Vec<usize>) {
        let resources = resource.numbers(&self.resources);
        for p in principal.numbers(&self.principals) {
            for r in &resources {
                let entries = self.policies.get(&(p, *r)).into_iter().flatten();
                let typed = entries.filter(|entry| {
                    principal.is_of(&entry.principal_type) && resource.is_of(&entry.resource_type)
                });
                found.extend(typed.map(|entry| entry.policy));
            }
        }
    }
}

//! What a policy applies to and what it does, for whoever looks at rules rather than at requests.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Range,
};

use smol_str::SmolStr;

use super::{
    core::{ActionScope, Env, Scope, TypeName, Uid},
    fault::Place,
    schema::{ActionDef, Schema},
    set::Policy,
};

/// A piece of a policy's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where it begins.
    pub place: Place,
    /// How many characters it has.
    pub length: usize,
    /// The author's own text.
    pub text: String,
}

/// What a policy's conditions do that deserves a second look.
#[derive(Debug)]
pub struct Survey {
    /// Computing that can overflow.
    pub computes: Vec<Site>,
    /// Attributes read of an entity that something refers to, and that may not be there.
    pub follows: Vec<Site>,
    /// Lists of entities that something is looked up in.
    pub entity_lists: Vec<Site>,
    /// Whether a condition relates the principal to the resource.
    pub relates: bool,
    /// The attributes that are read or asked for.
    pub attributes: BTreeSet<SmolStr>,
    /// The entity types that are named in the conditions.
    pub types: HashSet<TypeName>,
}

/// An action with the types of principals and resources that a policy applies to.
#[derive(Debug)]
pub struct Envs<'s> {
    /// The action.
    pub action: &'s ActionDef,
    /// The types of principals.
    pub principals: Vec<&'s TypeName>,
    /// The types of resources.
    pub resources: Vec<&'s TypeName>,
}

impl Policy {
    /// The questions that its head can match, by their types.
    pub fn applies<'s>(&self, schema: &'s Schema) -> Vec<Envs<'s>> {
        let (Some(principal), Some(resource)) =
            (self.rule.principal_scope(), self.rule.resource_scope())
        else {
            return Vec::new();
        };
        let actions = schema.actions().iter().filter(|action| self.names(action));
        let envs = actions.map(|action| Envs {
            action,
            principals: (action.principals.iter())
                .filter(|name| may_match(&principal, name, schema))
                .collect(),
            resources: (action.resources.iter())
                .filter(|name| may_match(&resource, name, schema))
                .collect(),
        });
        envs.filter(|it| !it.principals.is_empty() && !it.resources.is_empty())
            .collect()
    }

    /// Whether its head can match that action.
    fn names(&self, action: &ActionDef) -> bool {
        match self.rule.action_scope() {
            None => true,
            Some(ActionScope::Is(uid)) => uid == action.uid,
            Some(ActionScope::In(named)) => named
                .iter()
                .any(|uid| *uid == action.uid || action.entity.is_in(uid)),
        }
    }

    /// Whether its head matches whatever the other's matches.
    pub fn head_covers(&self, other: &Self, schema: &Schema) -> bool {
        let covers = |own: Option<Scope>, others: Option<Scope>| match (own, others) {
            (Some(own), Some(others)) => covers(&own, &others),
            _ => false,
        };
        covers(self.rule.principal_scope(), other.rule.principal_scope())
            && covers(self.rule.resource_scope(), other.rule.resource_scope())
            && schema
                .actions()
                .iter()
                .all(|action| self.names(action) || !other.names(action))
    }

    /// Whether its head names one principal or group of them, or one resource or group.
    pub fn names_entities(&self) -> bool {
        let named = |scope: Option<Scope>| !matches!(scope, Some(Scope::Any | Scope::OfType(_)));
        named(self.rule.principal_scope()) || named(self.rule.resource_scope())
    }

    /// Whether its head names one principal, or one resource or group of resources.
    pub fn is_particular(&self) -> bool {
        matches!(self.rule.principal_scope(), None | Some(Scope::Is(_)))
            || !matches!(
                self.rule.resource_scope(),
                Some(Scope::Any | Scope::OfType(_))
            )
    }

    /// The entity types and entities that its head names.
    pub fn head_types(&self) -> HashSet<TypeName> {
        let scopes = [self.rule.principal_scope(), self.rule.resource_scope()];
        let of = |uid: &Uid| uid.entity_type().clone();
        let types = scopes.into_iter().flatten().flat_map(|scope| match scope {
            Scope::Any => vec![],
            Scope::Is(uid) | Scope::In(uid) => vec![of(&uid)],
            Scope::OfType(name) => vec![name],
            Scope::OfTypeIn(name, uid) => vec![name, of(&uid)],
        });
        types.collect()
    }

    /// What its conditions do.
    pub fn survey(&self, schema: &Schema) -> Survey {
        let applies = self.applies(schema);
        let envs: Vec<Env<'_>> = applies
            .iter()
            .flat_map(|it| {
                it.principals.iter().flat_map(|principal| {
                    it.resources.iter().map(|resource| Env {
                        principal,
                        resource,
                        context: &it.action.context,
                    })
                })
            })
            .collect();
        let found = self.rule.survey(schema, &envs);
        let sites = |spans: Vec<Range<usize>>| spans.into_iter().map(|it| self.site(it)).collect();
        Survey {
            computes: sites(found.computes),
            follows: sites(found.follows),
            entity_lists: sites(found.entity_lists),
            relates: found.relates,
            attributes: found.attributes,
            types: found.types,
        }
    }

    fn site(&self, span: Range<usize>) -> Site {
        let text = self.rule.text();
        let text = text.and_then(|(text, _)| text.get(span.clone()));
        let text = text.unwrap_or_default();
        Site {
            place: self.place_of(span.start),
            length: text.chars().count(),
            text: text.to_owned(),
        }
    }
}

/// Whether entities of a type can be what a head asks for.
fn may_match(scope: &Scope, name: &TypeName, schema: &Schema) -> bool {
    let may_be_in = |uid: &Uid| {
        uid.entity_type() == name
            || schema
                .entity_type(name)
                .is_some_and(|def| def.ancestors.contains(uid.entity_type()))
    };
    match scope {
        Scope::Any => true,
        Scope::Is(uid) => uid.entity_type() == name,
        Scope::In(uid) => may_be_in(uid),
        Scope::OfType(wanted) => wanted == name,
        Scope::OfTypeIn(wanted, uid) => wanted == name && may_be_in(uid),
    }
}

fn covers(own: &Scope, others: &Scope) -> bool {
    match (own, others) {
        (Scope::Any, _) => true,
        (Scope::In(own), Scope::Is(other) | Scope::In(other) | Scope::OfTypeIn(_, other)) => {
            own == other
        }
        (Scope::OfType(own), Scope::Is(other)) => own == other.entity_type(),
        (Scope::OfType(own), Scope::OfType(other) | Scope::OfTypeIn(other, _)) => own == other,
        (own, others) => own == others,
    }
}

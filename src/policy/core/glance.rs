//! Conditions that can be told at a glance: comparisons of attributes, looked at where they are.
//!
//! Cedar's evaluator copies every value and its place on the way, checks the stack at each step, and
//! finds an entity anew for each attribute. Most conditions need none of that. What is not plain here
//! (an extension, arithmetic, anything that would fail) is left to Cedar, whole: so every error is
//! Cedar's own, and the property tests hold the rest to its `Authorizer`.

use std::collections::BTreeMap;

use cedar_policy_core::ast::{Literal, Value, ValueKind};
use smol_str::SmolStr;

use super::{
    CedarValue, Entities, Entity, Uid,
    layout::{Laid, Layout, Node},
};
use crate::policy::evaluate::Request;

/// A request with its principal and resource at hand.
pub(super) struct Glance<'r> {
    layout: &'r Layout,
    principal: (&'r Uid, Option<&'r Entity>),
    action: &'r Uid,
    resource: (&'r Uid, Option<&'r Entity>),
    context: &'r BTreeMap<SmolStr, CedarValue>,
    entities: &'r Entities,
}

/// What an expression stands for. A literal is never a `Value`, and an entity never a `Literal`.
#[derive(Clone, Copy)]
enum Seen<'v> {
    Entity(&'v Uid),
    Literal(&'v Literal),
    Value(&'v Value),
}

impl<'v> Seen<'v> {
    fn literal(literal: &'v Literal) -> Self {
        match literal {
            Literal::EntityUID(uid) => Self::Entity(uid),
            other => Self::Literal(other),
        }
    }

    fn value(value: &'v Value) -> Self {
        match value.value_kind() {
            ValueKind::Lit(literal) => Self::literal(literal),
            _ => Self::Value(value),
        }
    }

    /// As `==` in Cedar: what is of two kinds is not equal.
    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Entity(a), Self::Entity(b)) => a == b,
            (Self::Literal(a), Self::Literal(b)) => a == b,
            (Self::Value(a), Self::Value(b)) => a == b,
            (Self::Entity(_) | Self::Literal(_) | Self::Value(_), _) => false,
        }
    }

    fn as_entity(self) -> Option<&'v Uid> {
        match self {
            Self::Entity(uid) => Some(uid),
            Self::Literal(_) | Self::Value(_) => None,
        }
    }

    /// Whether this set has that item; `None` when this is no set, or must be searched to tell.
    fn contains(self, item: Self) -> Option<bool> {
        let Self::Value(set) = self else { return None };
        let ValueKind::Set(set) = set.value_kind() else {
            return None;
        };
        let items = set.fast.as_ref()?;
        match item {
            Self::Literal(item) => Some(items.contains(item)),
            Self::Entity(uid) => {
                let is_it = |it: &Literal| matches!(it, Literal::EntityUID(it) if **it == *uid);
                Some(items.iter().any(is_it))
            }
            Self::Value(_) => None,
        }
    }

    fn as_long(self) -> Option<i64> {
        match self {
            Self::Literal(Literal::Long(long)) => Some(*long),
            _ => None,
        }
    }
}

impl<'r> Glance<'r> {
    pub(super) fn new(layout: &'r Layout, request: &'r Request, entities: &'r Entities) -> Self {
        let Request {
            principal,
            action,
            resource,
            context,
        } = request;
        let party = |uid: &'r Uid| (uid, entities.get(uid));
        Self {
            layout,
            principal: party(principal),
            action,
            resource: party(resource),
            context,
            entities,
        }
    }

    /// Whether the conditions hold; `None` when they must be evaluated to tell.
    pub(super) fn holds(&self, laid: Laid) -> Option<bool> {
        self.holds_at(laid.0)
    }

    fn holds_at(&self, at: u32) -> Option<bool> {
        match self.layout.node(at)? {
            Node::And(left, right) => match self.holds_at(*left)? {
                true => self.holds_at(*right),
                false => Some(false),
            },
            Node::Or(left, right) => match self.holds_at(*left)? {
                true => Some(true),
                false => self.holds_at(*right),
            },
            Node::If(test, then, otherwise) => match self.holds_at(*test)? {
                true => self.holds_at(*then),
                false => self.holds_at(*otherwise),
            },
            Node::Not(of) => self.holds_at(*of).map(|holds| !holds),
            // Either side may be what fails: then Cedar says how.
            Node::Equal(left, right) => Some(self.look(*left)?.equals(self.look(*right)?)),
            Node::Less(left, right) => {
                Some(self.look(*left)?.as_long()? < self.look(*right)?.as_long()?)
            }
            Node::LessOrEqual(left, right) => {
                Some(self.look(*left)?.as_long()? <= self.look(*right)?.as_long()?)
            }
            Node::In(left, group) => {
                let left = self.look(*left)?.as_entity()?;
                let group = self.look(*group)?.as_entity()?;
                Some(is_in(left, self.find(left), group))
            }
            Node::InAnyOf(left, groups) => {
                let left = self.look(*left)?.as_entity()?;
                let entity = self.find(left);
                // All of them must be entities, also those after the first that fits.
                let mut any = false;
                for group in groups {
                    any |= is_in(left, entity, self.look(*group)?.as_entity()?);
                }
                Some(any)
            }
            Node::Contains(set, item) => self.look(*set)?.contains(self.look(*item)?),
            Node::ContextHas(name) => Some(self.context.contains_key(name)),
            Node::Has(of, name) => self.has(self.look(*of)?, name),
            Node::Is(of, entity_type) => {
                let entity = self.look(*of)?.as_entity()?;
                Some(*entity.entity_type() == **entity_type)
            }
            Node::Literal(_)
            | Node::OfPrincipal(_)
            | Node::OfResource(_)
            | Node::OfContext(_)
            | Node::Of(..) => match self.look(at)? {
                Seen::Literal(Literal::Bool(holds)) => Some(*holds),
                _ => None,
            },
            Node::Principal | Node::Action | Node::Resource | Node::Cedars => None,
        }
    }

    fn has(&self, of: Seen<'_>, attribute: &str) -> Option<bool> {
        match of {
            Seen::Entity(uid) => {
                let entity = self.find(uid);
                Some(entity.is_some_and(|entity| entity.attribute(attribute).is_some()))
            }
            Seen::Value(value) => match value.value_kind() {
                ValueKind::Record(members) => Some(members.contains_key(attribute)),
                _ => None,
            },
            Seen::Literal(_) => None,
        }
    }

    /// What a node stands for, unless that is more than a look at something that is there.
    fn look(&self, at: u32) -> Option<Seen<'_>> {
        match self.layout.node(at)? {
            Node::Literal(literal) => Some(Seen::literal(literal)),
            Node::Principal => Some(Seen::Entity(self.principal.0)),
            Node::Action => Some(Seen::Entity(self.action)),
            Node::Resource => Some(Seen::Entity(self.resource.0)),
            Node::OfPrincipal(name) => attribute(self.principal.1?, name),
            Node::OfResource(name) => attribute(self.resource.1?, name),
            Node::OfContext(name) => self.context.get(name).map(Seen::value),
            Node::Of(of, name) => match self.look(*of)? {
                Seen::Entity(uid) => attribute(self.find(uid)?, name),
                Seen::Value(value) => match value.value_kind() {
                    ValueKind::Record(members) => members.get(name).map(Seen::value),
                    _ => None,
                },
                Seen::Literal(_) => None,
            },
            _ => None,
        }
    }

    fn find(&self, uid: &Uid) -> Option<&'r Entity> {
        for (known, entity) in [self.principal, self.resource] {
            if std::ptr::eq(uid, known) {
                return entity;
            }
        }
        self.entities.get(uid)
    }
}

fn is_in(uid: &Uid, entity: Option<&Entity>, group: &Uid) -> bool {
    uid == group || entity.is_some_and(|entity| entity.is_in(group))
}

fn attribute<'e>(entity: &'e Entity, name: &str) -> Option<Seen<'e>> {
    entity.attribute(name).map(Seen::value)
}

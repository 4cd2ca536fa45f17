//! Conditions that can be told at a glance: comparisons of attributes, looked at where they are.
//!
//! Cedar's evaluator copies every value and its place on the way, checks the stack at each step, and
//! finds an entity anew for each attribute. Most conditions need none of that. What is not plain here
//! (an extension, arithmetic, anything that would fail) is left to Cedar, whole: so every error is
//! Cedar's own, and the property tests hold the rest to its `Authorizer`.

use std::collections::BTreeMap;

use cedar_policy_core::ast::{
    BinaryOp, Expr, ExprKind, Literal, PartialValue, SlotEnv, UnaryOp, Value, ValueKind, Var,
};
use smol_str::SmolStr;

use super::{CedarValue, Entities, Entity, Uid, find};
use crate::policy::evaluate::Request;

/// A request with its principal and resource at hand.
pub(super) struct Glance<'r> {
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

    fn as_long(self) -> Option<i64> {
        match self {
            Self::Literal(Literal::Long(long)) => Some(*long),
            _ => None,
        }
    }
}

impl<'r> Glance<'r> {
    pub(super) fn new(request: &'r Request, entities: &'r Entities) -> Self {
        let Request {
            principal,
            action,
            resource,
            context,
        } = request;
        let party = |uid: &'r Uid| (uid, find(entities, uid));
        Self {
            principal: party(principal),
            action,
            resource: party(resource),
            context,
            entities,
        }
    }

    /// Whether the expression holds; `None` when it must be evaluated to tell.
    pub(super) fn holds(&self, expr: &Expr, slots: &SlotEnv) -> Option<bool> {
        match expr.expr_kind() {
            ExprKind::And { left, right } => match self.holds(left, slots)? {
                true => self.holds(right, slots),
                false => Some(false),
            },
            ExprKind::Or { left, right } => match self.holds(left, slots)? {
                true => Some(true),
                false => self.holds(right, slots),
            },
            ExprKind::If {
                test_expr,
                then_expr,
                else_expr,
            } => match self.holds(test_expr, slots)? {
                true => self.holds(then_expr, slots),
                false => self.holds(else_expr, slots),
            },
            ExprKind::UnaryApp {
                op: UnaryOp::Not,
                arg,
            } => self.holds(arg, slots).map(|holds| !holds),
            ExprKind::BinaryApp { op, arg1, arg2 } => self.relates(*op, arg1, arg2, slots),
            ExprKind::HasAttr { expr, attr } => self.has(expr, attr, slots),
            ExprKind::Is { expr, entity_type } => {
                let entity = self.look(expr, slots)?.as_entity()?;
                Some(entity.entity_type() == entity_type)
            }
            ExprKind::Lit(_) | ExprKind::GetAttr { .. } => match self.look(expr, slots)? {
                Seen::Literal(Literal::Bool(holds)) => Some(*holds),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether two sides relate. Either may be what fails: then Cedar says how.
    fn relates(&self, op: BinaryOp, left: &Expr, right: &Expr, slots: &SlotEnv) -> Option<bool> {
        let left = self.look(left, slots)?;
        match op {
            BinaryOp::Eq => Some(left.equals(self.look(right, slots)?)),
            BinaryOp::Less => Some(left.as_long()? < self.look(right, slots)?.as_long()?),
            BinaryOp::LessEq => Some(left.as_long()? <= self.look(right, slots)?.as_long()?),
            BinaryOp::In => {
                let left = left.as_entity()?;
                let entity = self.find(left);
                let within = |group: &Uid| {
                    left == group || entity.is_some_and(|entity| entity.is_descendant_of(group))
                };
                match right.expr_kind() {
                    ExprKind::Set(groups) => {
                        // All of them must be entities, also those after the first that fits.
                        let mut any = false;
                        for group in groups.iter() {
                            any |= within(self.look(group, slots)?.as_entity()?);
                        }
                        Some(any)
                    }
                    _ => Some(within(self.look(right, slots)?.as_entity()?)),
                }
            }
            BinaryOp::Contains => {
                let Seen::Value(set) = left else { return None };
                let ValueKind::Set(set) = set.value_kind() else {
                    return None;
                };
                let items = set.fast.as_ref()?;
                match self.look(right, slots)? {
                    Seen::Literal(item) => Some(items.contains(item)),
                    Seen::Entity(uid) => Some(
                        items
                            .iter()
                            .any(|it| matches!(it, Literal::EntityUID(it) if **it == *uid)),
                    ),
                    Seen::Value(_) => None,
                }
            }
            _ => None,
        }
    }

    fn has(&self, expr: &Expr, attribute: &str, slots: &SlotEnv) -> Option<bool> {
        if let ExprKind::Var(Var::Context) = expr.expr_kind() {
            return Some(self.context.contains_key(attribute));
        }
        match self.look(expr, slots)? {
            Seen::Entity(uid) => {
                let entity = self.find(uid);
                Some(entity.is_some_and(|entity| entity.get(attribute).is_some()))
            }
            Seen::Value(value) => match value.value_kind() {
                ValueKind::Record(members) => Some(members.contains_key(attribute)),
                _ => None,
            },
            Seen::Literal(_) => None,
        }
    }

    /// What an expression stands for, unless that is more than a look at something that is there.
    fn look<'v>(&'v self, expr: &'v Expr, slots: &'v SlotEnv) -> Option<Seen<'v>> {
        match expr.expr_kind() {
            ExprKind::Lit(literal) => Some(Seen::literal(literal)),
            ExprKind::Var(Var::Principal) => Some(Seen::Entity(self.principal.0)),
            ExprKind::Var(Var::Action) => Some(Seen::Entity(self.action)),
            ExprKind::Var(Var::Resource) => Some(Seen::Entity(self.resource.0)),
            ExprKind::Slot(slot) => Some(Seen::Entity(slots.get(slot)?)),
            ExprKind::GetAttr { expr, attr } => {
                if let ExprKind::Var(Var::Context) = expr.expr_kind() {
                    return self.context.get(attr).map(Seen::value);
                }
                match self.look(expr, slots)? {
                    Seen::Entity(uid) => match self.find(uid)?.get(attr)? {
                        PartialValue::Value(value) => Some(Seen::value(value)),
                        PartialValue::Residual(_) => None,
                    },
                    Seen::Value(value) => match value.value_kind() {
                        ValueKind::Record(members) => members.get(attr).map(Seen::value),
                        _ => None,
                    },
                    Seen::Literal(_) => None,
                }
            }
            _ => None,
        }
    }

    fn find(&self, uid: &Uid) -> Option<&'r Entity> {
        for (known, entity) in [self.principal, self.resource] {
            if std::ptr::eq(uid, known) {
                return entity;
            }
        }
        find(self.entities, uid)
    }
}

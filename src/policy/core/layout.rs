//! Conditions that can be told at a glance, laid out for it.
//!
//! Cedar's expressions are trees of many small allocations: on a bundle that outgrows the caches,
//! walking one costs more than deciding it. So conditions are laid out side by side, and what several
//! policies say, once for all of them.

use std::sync::Arc;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, SlotEnv, UnaryOp, Var};
use smol_str::SmolStr;

use super::{Rule, TypeName};
use crate::policy::Map;

/// The conditions of policies; each part names others by their number.
#[derive(Clone, Debug, Default)]
pub(in crate::policy) struct Layout(Vec<Node>);

/// A [`Layout`] that is being made.
#[derive(Default)]
pub(in crate::policy) struct Laying {
    nodes: Vec<Node>,
    /// Where each node is.
    places: Map<Node, u32>,
}

/// One policy's conditions among the [`Layout`]; by default none, which Cedar has to evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Laid(pub(super) u32);

impl Default for Laid {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

/// What can be told by looking at something that is there; the rest is [`Node::Cedars`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Literal(Literal),
    Principal,
    Action,
    Resource,
    OfPrincipal(SmolStr),
    OfResource(SmolStr),
    OfContext(SmolStr),
    Of(u32, SmolStr),
    And(u32, u32),
    Or(u32, u32),
    If(u32, u32, u32),
    Not(u32),
    Equal(u32, u32),
    Less(u32, u32),
    LessOrEqual(u32, u32),
    In(u32, u32),
    InAnyOf(u32, Box<[u32]>),
    Contains(u32, u32),
    ContextHas(SmolStr),
    Has(u32, SmolStr),
    Is(u32, Box<TypeName>),
    /// Has to be evaluated to tell.
    Cedars,
}

impl Layout {
    /// Whether all of them can be told at a glance.
    pub(in crate::policy) fn is_plain(&self) -> bool {
        !self.0.contains(&Node::Cedars)
    }

    pub(super) fn node(&self, at: u32) -> Option<&Node> {
        self.0.get(usize::try_from(at).ok()?)
    }
}

impl Laying {
    /// All that was laid out.
    pub(in crate::policy) fn done(self) -> Layout {
        Layout(self.nodes)
    }

    /// Lays out a rule's conditions, with the entities that its link fills in.
    pub(in crate::policy) fn add(&mut self, rule: &Rule) -> Laid {
        Laid(match &rule.conditions {
            Some(conditions) => self.lay(conditions, &rule.slots),
            None => self.push(Node::Literal(Literal::Bool(true))),
        })
    }

    fn push(&mut self, node: Node) -> u32 {
        // There are fewer than 2³² of anything that fits in memory; past them nothing is found.
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        *self.places.entry(node).or_insert_with_key(|node| {
            self.nodes.push(node.clone());
            next
        })
    }

    fn lay(&mut self, expr: &Expr, slots: &SlotEnv) -> u32 {
        let node = self.node_of(expr, slots);
        self.push(node)
    }

    fn node_of(&mut self, expr: &Expr, slots: &SlotEnv) -> Node {
        match expr.expr_kind() {
            ExprKind::Lit(literal) => Node::Literal(literal.clone()),
            ExprKind::Var(Var::Principal) => Node::Principal,
            ExprKind::Var(Var::Action) => Node::Action,
            ExprKind::Var(Var::Resource) => Node::Resource,
            ExprKind::Slot(slot) => slots.get(slot).map_or(Node::Cedars, |uid| {
                Node::Literal(Literal::EntityUID(Arc::new(uid.clone())))
            }),
            ExprKind::And { left, right } => {
                Node::And(self.lay(left, slots), self.lay(right, slots))
            }
            ExprKind::Or { left, right } => Node::Or(self.lay(left, slots), self.lay(right, slots)),
            ExprKind::If {
                test_expr,
                then_expr,
                else_expr,
            } => Node::If(
                self.lay(test_expr, slots),
                self.lay(then_expr, slots),
                self.lay(else_expr, slots),
            ),
            ExprKind::UnaryApp {
                op: UnaryOp::Not,
                arg,
            } => Node::Not(self.lay(arg, slots)),
            ExprKind::BinaryApp { op, arg1, arg2 } => self.relation(*op, arg1, arg2, slots),
            ExprKind::GetAttr { expr, attr } => match expr.expr_kind() {
                ExprKind::Var(Var::Principal) => Node::OfPrincipal(attr.clone()),
                ExprKind::Var(Var::Resource) => Node::OfResource(attr.clone()),
                ExprKind::Var(Var::Context) => Node::OfContext(attr.clone()),
                _ => Node::Of(self.lay(expr, slots), attr.clone()),
            },
            ExprKind::HasAttr { expr, attr } => match expr.expr_kind() {
                ExprKind::Var(Var::Context) => Node::ContextHas(attr.clone()),
                _ => Node::Has(self.lay(expr, slots), attr.clone()),
            },
            ExprKind::Is { expr, entity_type } => {
                Node::Is(self.lay(expr, slots), Box::new(entity_type.clone()))
            }
            _ => Node::Cedars,
        }
    }

    fn relation(&mut self, op: BinaryOp, left: &Expr, right: &Expr, slots: &SlotEnv) -> Node {
        let of: fn(u32, u32) -> Node = match (op, right.expr_kind()) {
            (BinaryOp::In, ExprKind::Set(groups)) => {
                let left = self.lay(left, slots);
                let groups = groups.iter().map(|group| self.lay(group, slots));
                return Node::InAnyOf(left, groups.collect());
            }
            (BinaryOp::In, _) => Node::In,
            (BinaryOp::Eq, _) => Node::Equal,
            (BinaryOp::Less, _) => Node::Less,
            (BinaryOp::LessEq, _) => Node::LessOrEqual,
            (BinaryOp::Contains, _) => Node::Contains,
            _ => return Node::Cedars,
        };
        of(self.lay(left, slots), self.lay(right, slots))
    }
}

//! What a condition looked at.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Var};

use super::{
    CedarValue, Entities, Entity, Evaluator, Part, Rule, Uid,
    value::{as_entity, as_set},
    ways::text,
};

/// The most ancestors that are named.
const MAX_WITHIN: usize = 8;

/// Something that a condition looked at.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Seen {
    /// What the policy's author calls it.
    pub(in crate::policy) path: String,
    /// What it was; `None` when there was nothing.
    pub(in crate::policy) value: Option<CedarValue>,
    /// For `in`: what of the kind asked for it is in.
    pub(in crate::policy) within: Option<Vec<Uid>>,
}

impl Evaluator<'_> {
    /// What a part of a rule looks at.
    pub(in crate::policy) fn seen(
        &self,
        rule: &Rule,
        part: Part<'_>,
        entities: &Entities,
    ) -> Vec<Seen> {
        let mut found: Vec<Seen> = Vec::new();
        for atom in part.conditions() {
            self.look(rule, atom.expr, entities, &mut found);
        }
        found
    }

    fn look(&self, rule: &Rule, expr: &Expr, entities: &Entities, found: &mut Vec<Seen>) {
        match expr.expr_kind() {
            ExprKind::GetAttr { expr: base, .. } if is_path(base) => {
                let of = self.value(rule, base);
                // Where nothing is known of an entity, that is what there is to say.
                match of.as_ref().and_then(as_entity) {
                    Some(uid) if entities.get(uid).is_none() => self.saw(rule, base, None, found),
                    _ => self.saw(rule, expr, None, found),
                }
            }
            ExprKind::GetAttr { expr: base, .. } => self.look(rule, base, entities, found),
            ExprKind::Var(Var::Principal | Var::Resource) | ExprKind::Slot(_) => {
                self.saw(rule, expr, None, found);
            }
            ExprKind::BinaryApp {
                op: BinaryOp::In,
                arg1,
                arg2,
            } => {
                let within = self.within(rule, arg1, arg2, entities);
                match is_path(arg1) {
                    true => self.saw(rule, arg1, within, found),
                    false => self.look(rule, arg1, entities, found),
                }
                self.look(rule, arg2, entities, found);
            }
            // What is asked for is said by the condition itself.
            ExprKind::HasAttr { .. } | ExprKind::ExtHasAttr { .. } | ExprKind::Is { .. } => {}
            ExprKind::Lit(_) | ExprKind::Unknown(_) | ExprKind::Var(_) => {}
            ExprKind::If {
                test_expr,
                then_expr,
                else_expr,
            } => {
                for inner in [test_expr, then_expr, else_expr] {
                    self.look(rule, inner, entities, found);
                }
            }
            ExprKind::And { left, right } | ExprKind::Or { left, right } => {
                self.look(rule, left, entities, found);
                self.look(rule, right, entities, found);
            }
            ExprKind::BinaryApp { arg1, arg2, .. } => {
                self.look(rule, arg1, entities, found);
                self.look(rule, arg2, entities, found);
            }
            ExprKind::UnaryApp { arg, .. } => self.look(rule, arg, entities, found),
            ExprKind::Like { expr, .. } => self.look(rule, expr, entities, found),
            ExprKind::ExtensionFunctionApp { args, .. } => {
                args.iter()
                    .for_each(|inner| self.look(rule, inner, entities, found));
            }
            ExprKind::Set(items) => {
                items
                    .iter()
                    .for_each(|inner| self.look(rule, inner, entities, found));
            }
            ExprKind::Record(members) => {
                members
                    .values()
                    .for_each(|inner| self.look(rule, inner, entities, found));
            }
        }
    }

    fn saw(&self, rule: &Rule, expr: &Expr, within: Option<Vec<Uid>>, found: &mut Vec<Seen>) {
        let path = text(expr);
        match found.iter_mut().find(|seen| seen.path == path) {
            Some(seen) => seen.within = seen.within.take().or(within),
            None => found.push(Seen {
                path,
                value: self.value(rule, expr),
                within,
            }),
        }
    }

    /// The ancestors of `child` that are of the types that `of` names.
    fn within(
        &self,
        rule: &Rule,
        child: &Expr,
        of: &Expr,
        entities: &Entities,
    ) -> Option<Vec<Uid>> {
        let (child, of) = (self.value(rule, child)?, self.value(rule, of)?);
        let groups: Vec<&Uid> = match as_set(&of) {
            Some(all) => all.into_iter().filter_map(as_entity).collect(),
            None => as_entity(&of).into_iter().collect(),
        };
        Some(ancestors_like(entities, as_entity(&child)?, &groups))
    }
}

/// Some of the ancestors of an entity that have the type of one of `groups`.
pub(in crate::policy) fn ancestors_like(
    entities: &Entities,
    uid: &Uid,
    groups: &[&Uid],
) -> Vec<Uid> {
    let of_kind = |uid: &&Uid| {
        let kind = uid.entity_type();
        groups.iter().any(|group| group.entity_type() == kind)
    };
    let ancestors = entities.get(uid).map_or(&[][..], Entity::ancestors).iter();
    let mut within: Vec<Uid> = ancestors.filter(of_kind).cloned().collect();
    within.sort();
    within.truncate(MAX_WITHIN);
    within
}

/// Whether it is a variable, or members of one.
fn is_path(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::Var(_) | ExprKind::Slot(_) => true,
        ExprKind::GetAttr { expr, .. } => is_path(expr),
        _ => false,
    }
}

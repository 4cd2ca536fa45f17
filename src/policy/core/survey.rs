//! What a rule's conditions do that deserves a second look.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Range,
};

use cedar_policy_core::{
    ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp, Var},
    parser::Loc,
};
use smol_str::SmolStr;

use super::{Rule, TypeName};
use crate::policy::{
    schema::Schema,
    typing::{RecordType, Type},
};

/// Types that the variables of a rule may have together.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Env<'s> {
    pub(in crate::policy) principal: &'s TypeName,
    pub(in crate::policy) resource: &'s TypeName,
    pub(in crate::policy) context: &'s RecordType,
}

/// What was found; spans are in the text that [`Rule::text`] gives.
#[derive(Debug, Default)]
pub(in crate::policy) struct RuleSurvey {
    /// Computing that can overflow.
    pub(in crate::policy) computes: Vec<Range<usize>>,
    /// Attributes read of an entity that another entity or the context refers to, without asking
    /// with `has` first: it may not be there.
    pub(in crate::policy) follows: Vec<Range<usize>>,
    /// Lists of entities that something is looked up in.
    pub(in crate::policy) entity_lists: Vec<Range<usize>>,
    /// Whether a condition relates the principal to the resource.
    pub(in crate::policy) relates: bool,
    /// The attributes that are read or asked for.
    pub(in crate::policy) attributes: BTreeSet<SmolStr>,
    /// The entity types that are named.
    pub(in crate::policy) types: HashSet<TypeName>,
}

impl Rule {
    /// Looks at the conditions, which are well typed in each of `envs`.
    pub(in crate::policy) fn survey(&self, schema: &Schema, envs: &[Env<'_>]) -> RuleSurvey {
        let mut found = RuleSurvey::default();
        let Some(conditions) = self.conditions.as_deref() else {
            return found;
        };
        for expr in conditions.subexpressions() {
            found.look(expr, conditions, schema, envs);
        }
        // Of a chain of attributes each link has the place of the whole.
        found.follows.dedup();
        found.relates = self.conditions().into_iter().any(|part| {
            let names = |var| {
                let mut inner = part.expr.subexpressions();
                inner.any(|it| matches!(it.expr_kind(), ExprKind::Var(v) if *v == var))
            };
            names(Var::Principal) && names(Var::Resource)
        });
        found
    }
}

impl RuleSurvey {
    fn look(&mut self, expr: &Expr, all: &Expr, schema: &Schema, envs: &[Env<'_>]) {
        match expr.expr_kind() {
            ExprKind::BinaryApp { op, arg1, arg2 } => match op {
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => self.computes.push(span(expr)),
                BinaryOp::In if is_entity_list(arg2) => self.entity_lists.push(span(expr)),
                BinaryOp::Contains if is_entity_list(arg1) => self.entity_lists.push(span(expr)),
                _ => {}
            },
            ExprKind::UnaryApp {
                op: UnaryOp::Neg, ..
            } => self.computes.push(span(expr)),
            ExprKind::ExtensionFunctionApp { fn_name, .. }
                if matches!(fn_name.to_string().as_str(), "offset" | "durationSince") =>
            {
                self.computes.push(span(expr));
            }
            ExprKind::GetAttr { expr: of, attr } => {
                self.attributes.insert(attr.clone());
                let is_entity =
                    |env: &Env<'_>| matches!(type_of(of, schema, env), Some(Type::Entity(_)));
                if !matches!(of.expr_kind(), ExprKind::Var(_))
                    && envs.iter().any(is_entity)
                    && !is_guarded(of, attr, all)
                {
                    self.follows.push(span(expr));
                }
            }
            ExprKind::HasAttr { attr, .. } => {
                self.attributes.insert(attr.clone());
            }
            ExprKind::ExtHasAttr { attrs, .. } => self.attributes.extend(attrs.iter().cloned()),
            ExprKind::Is { entity_type, .. } => {
                self.types.insert(entity_type.clone());
            }
            ExprKind::Lit(Literal::EntityUID(uid)) => {
                self.types.insert(uid.entity_type().clone());
            }
            _ => {}
        }
    }
}

fn span(expr: &Expr) -> Range<usize> {
    expr.source_loc()
        .map_or(0..0, |loc: &Loc| loc.start()..loc.end())
}

/// Two entities or more, each by its name.
fn is_entity_list(expr: &Expr) -> bool {
    let is_entity = |item: &Expr| matches!(item.expr_kind(), ExprKind::Lit(Literal::EntityUID(_)));
    match expr.expr_kind() {
        ExprKind::Set(items) => items.len() > 1 && items.iter().all(is_entity),
        _ => false,
    }
}

/// Whether somewhere in the conditions `of has attr` is asked.
fn is_guarded(of: &Expr, attr: &SmolStr, all: &Expr) -> bool {
    all.subexpressions().any(|asked| match asked.expr_kind() {
        ExprKind::HasAttr { expr, attr: name } => name == attr && expr.eq_shape(of),
        ExprKind::ExtHasAttr { expr, attrs } => {
            // `a has b.c` asks for `a has b` and `a.b has c`.
            let mut path = vec![attr];
            let mut inner = of;
            loop {
                if inner.eq_shape(expr) {
                    let asked: Vec<&SmolStr> = attrs.iter().take(path.len()).collect();
                    return asked.iter().eq(path.iter().rev());
                }
                match inner.expr_kind() {
                    ExprKind::GetAttr { expr, attr } => {
                        path.push(attr);
                        inner = expr;
                    }
                    _ => return false,
                }
            }
        }
        _ => false,
    })
}

/// The type of a chain of attributes; `None` of anything else.
fn type_of(expr: &Expr, schema: &Schema, env: &Env<'_>) -> Option<Type> {
    match expr.expr_kind() {
        ExprKind::Var(Var::Principal) => Some(Type::Entity(env.principal.clone())),
        ExprKind::Var(Var::Resource) => Some(Type::Entity(env.resource.clone())),
        ExprKind::Lit(Literal::EntityUID(uid)) => Some(Type::Entity(uid.entity_type().clone())),
        ExprKind::GetAttr { expr, attr } => {
            let member = |record: &RecordType| Some(record.members.get(attr)?.ty.clone());
            if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) {
                return member(env.context);
            }
            match type_of(expr, schema, env)? {
                Type::Entity(name) => member(&schema.entity_type(&name)?.attributes),
                Type::Record(record) => member(&record),
                _ => None,
            }
        }
        _ => None,
    }
}

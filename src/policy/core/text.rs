//! Policy text → rules with places.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cedar_policy_core::{
    ast::{self, Expr, ExprKind, PolicyID, SlotEnv, SlotId, Var},
    parser::{Loc, text_to_cst::parse_policies},
};
use smol_str::SmolStr;

use super::{Scope, Uid};
use crate::{
    model::Effect,
    policy::{
        fault::{Fault, Lines, Place},
        guard::statements,
    },
};

/// A policy as the engine evaluates it: its head is the index's business, its conditions are kept.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(in crate::policy) effect: Effect,
    pub(in crate::policy) conditions: Option<Arc<Expr>>,
    pub(in crate::policy) slots: SlotEnv,
    pub(super) policy: ast::Policy,
}

/// A policy with holes, of which links make rules.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Template(Arc<ast::Template>);

/// One statement of a file.
pub(in crate::policy) struct Statement {
    pub(in crate::policy) id: Arc<str>,
    pub(in crate::policy) place: Place,
    /// Where in the file the text begins that Cedar's own places count from.
    pub(in crate::policy) base: usize,
    pub(in crate::policy) annotations: Vec<(String, String)>,
    pub(in crate::policy) body: Body,
}

/// What a statement says.
pub(in crate::policy) enum Body {
    Rule(Box<Rule>),
    Template(Template),
}

/// Parses a file of policies once, naming each by its `@id`, else `stem#n` (counted from 1).
///
/// The statements that can be told are given even where others are at fault.
pub(in crate::policy) fn parse(
    file: &Arc<str>,
    stem: &str,
    text: &str,
    depth: usize,
    faults: &mut Vec<Fault>,
) -> Vec<Statement> {
    let lines = Lines::new(file, text);
    let mut found = Vec::new();
    let mut count = 0;
    // One by one, since a place in Cedar holds the whole text that was parsed, and the validator
    // hashes places: a file as one text costs time by the square of its size.
    for (base, text) in statements(text) {
        let parsed = match parse_policies(text) {
            Ok(parsed) => parsed,
            Err(errors) => {
                count += 1;
                faults.extend(Fault::from_diagnostic("parse", &lines, base, &errors));
                continue;
            }
        };
        let nodes = parsed.as_inner().map(|policies| policies.0.as_slice());
        for node in nodes.unwrap_or_default() {
            count += 1;
            let fallback = PolicyID::from_string(format!("{stem}#{count}"));
            match node.to_template(fallback) {
                Ok(template) => match statement(template, &lines, base, depth) {
                    Ok(statement) => found.push(statement),
                    Err(fault) => faults.push(fault),
                },
                Err(errors) => {
                    faults.extend(Fault::from_diagnostic("parse", &lines, base, &errors));
                }
            }
        }
    }
    found
}

fn statement(
    template: ast::Template,
    lines: &Lines<'_>,
    base: usize,
    depth: usize,
) -> Result<Statement, Fault> {
    let place = lines.place(base + template.loc().map_or(0, Loc::start));
    if template
        .non_scope_constraints()
        .is_some_and(|conditions| deeper_than(conditions, depth))
    {
        let message = format!("an expression is more than {depth} operations deep");
        let help = "write long chains as a set (`[…].contains(…)`, `in […]`), or split the policy";
        return Err(Fault::at("policy_too_deep", place, message).help(help));
    }
    let annotations: Vec<(String, String)> = template
        .annotations()
        .map(|(name, value)| (name.to_string(), value.val.to_string()))
        .collect();
    let id = annotations
        .iter()
        .find(|(name, _)| name == "id")
        .map(|(_, id)| id.clone());
    let template = match id {
        Some(id) if id.is_empty() => {
            return Err(Fault::at("policy_id", place, "`@id` is empty"));
        }
        Some(id) => template.new_id(PolicyID::from_string(id)),
        None => template,
    };
    let id: Arc<str> = template.id().to_string().into();
    let body = match template.is_static() {
        false => Body::Template(Template(Arc::new(template))),
        true => match ast::Template::try_as_policy(Arc::new(template)) {
            Ok(policy) => Body::Rule(Box::new(Rule::new(policy))),
            Err(error) => return Err(Fault::at("parse", place, error.to_string())),
        },
    };
    Ok(Statement {
        id,
        place,
        base,
        annotations,
        body,
    })
}

/// Whether an expression nests deeper than `limit`, found without recursion.
fn deeper_than(expr: &Expr, limit: usize) -> bool {
    let mut open = vec![(expr, 1_usize)];
    while let Some((expr, depth)) = open.pop() {
        if depth > limit {
            return true;
        }
        let mut push = |inner| open.push((inner, depth + 1));
        match expr.expr_kind() {
            ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => {}
            ExprKind::If {
                test_expr,
                then_expr,
                else_expr,
            } => [test_expr, then_expr, else_expr]
                .into_iter()
                .for_each(|inner| push(inner)),
            ExprKind::And { left, right } | ExprKind::Or { left, right } => {
                push(left);
                push(right);
            }
            ExprKind::BinaryApp { arg1, arg2, .. } => {
                push(arg1);
                push(arg2);
            }
            ExprKind::UnaryApp { arg, .. } => push(arg),
            ExprKind::GetAttr { expr, .. }
            | ExprKind::HasAttr { expr, .. }
            | ExprKind::ExtHasAttr { expr, .. }
            | ExprKind::Like { expr, .. }
            | ExprKind::Is { expr, .. } => push(expr),
            ExprKind::ExtensionFunctionApp { args, .. } => args.iter().for_each(push),
            ExprKind::Set(items) => items.iter().for_each(push),
            ExprKind::Record(members) => members.values().for_each(push),
        }
    }
    false
}

impl Template {
    /// Fills its slots.
    ///
    /// # Errors
    /// Which slot lacks its entity, or has one that the template does not take.
    pub(in crate::policy) fn link(
        &self,
        id: &str,
        principal: Option<Uid>,
        resource: Option<Uid>,
    ) -> Result<Rule, String> {
        let given: HashMap<SlotId, Uid> = [
            (SlotId::principal(), principal),
            (SlotId::resource(), resource),
        ]
        .into_iter()
        .filter_map(|(slot, uid)| Some((slot, uid?)))
        .collect();
        let wanted: HashSet<SlotId> = self.0.slots().map(|slot| slot.id).collect();
        let id_of = self.0.id();
        if let Some(slot) = wanted.iter().find(|slot| !given.contains_key(slot)) {
            let name = slot.to_string();
            return Err(format!(
                "lacks `{}`, which template `{id_of}` takes (`{name}`)",
                name.trim_start_matches('?')
            ));
        }
        if let Some(slot) = given.keys().find(|slot| !wanted.contains(slot)) {
            let name = slot.to_string();
            return Err(format!(
                "has `{}`, but template `{id_of}` has no `{name}`",
                name.trim_start_matches('?')
            ));
        }
        ast::Template::link(Arc::clone(&self.0), PolicyID::from_string(id), given)
            .map(Rule::new)
            .map_err(|error| error.to_string())
    }
}

impl Rule {
    fn new(policy: ast::Policy) -> Self {
        Self {
            effect: match policy.effect() {
                ast::Effect::Permit => Effect::Permit,
                ast::Effect::Forbid => Effect::Forbid,
            },
            conditions: policy.non_scope_constraints_arc().cloned(),
            slots: policy.env().clone(),
            policy,
        }
    }

    /// The author's text, with the entities that fill its slots.
    pub(in crate::policy) fn source(&self) -> String {
        let mut text = match self.policy.loc().and_then(Loc::snippet) {
            Some(text) => text.to_owned(),
            None => self.policy.to_string(),
        };
        for slot in self.slots_told() {
            text.push('\n');
            text.push_str(&slot);
        }
        text
    }

    /// What fills its slots, in words.
    pub(in crate::policy) fn slots_told(&self) -> Vec<String> {
        let slots = self.slots.iter();
        let mut slots: Vec<String> = slots.map(|(slot, uid)| format!("{slot} = {uid}")).collect();
        slots.sort();
        slots
    }

    /// Whether it applies to every request: any principal, action and resource, no condition.
    pub(in crate::policy) fn is_unconditional(&self) -> bool {
        let holds_always = |expr: &Expr| {
            expr.subexpressions().all(|inner| {
                matches!(inner.expr_kind(), ExprKind::And { .. })
                    || matches!(inner.expr_kind(), ExprKind::Lit(ast::Literal::Bool(true)))
            })
        };
        self.principal_scope() == Some(Scope::Any)
            && self.action_scope().is_none()
            && self.resource_scope() == Some(Scope::Any)
            && self.conditions.as_deref().is_none_or(holds_always)
    }

    /// Whether evaluation can fail though the rule is well typed: integers and dates overflow.
    pub(in crate::policy) fn may_error(&self) -> bool {
        let fails = |expr: &Expr| match expr.expr_kind() {
            ExprKind::BinaryApp { op, .. } => matches!(
                op,
                ast::BinaryOp::Add | ast::BinaryOp::Sub | ast::BinaryOp::Mul
            ),
            ExprKind::UnaryApp { op, .. } => matches!(op, ast::UnaryOp::Neg),
            ExprKind::ExtensionFunctionApp { fn_name, .. } => {
                matches!(fn_name.to_string().as_str(), "offset" | "durationSince")
            }
            _ => false,
        };
        self.conditions
            .iter()
            .any(|conditions| conditions.subexpressions().any(fails))
    }

    /// The members that the conditions name, of whatever they are.
    pub(in crate::policy) fn members_named(&self) -> impl Iterator<Item = &SmolStr> {
        let all = self.conditions.iter().flat_map(|it| it.subexpressions());
        all.flat_map(|expr| {
            let (first, further) = match expr.expr_kind() {
                ExprKind::GetAttr { attr, .. } | ExprKind::HasAttr { attr, .. } => {
                    (Some(attr), &[][..])
                }
                ExprKind::ExtHasAttr { attrs, .. } => (Some(attrs.first()), attrs.tail()),
                _ => (None, &[][..]),
            };
            first.into_iter().chain(further)
        })
    }

    /// Whether the conditions may depend on `context.now`.
    pub(in crate::policy) fn reads_now(&self) -> bool {
        let Some(conditions) = &self.conditions else {
            return false;
        };
        // A use of `context` as a whole counts; so each is matched against the accesses around it.
        let is_context = |expr: &Expr| matches!(expr.expr_kind(), ExprKind::Var(Var::Context));
        let uses = conditions
            .subexpressions()
            .filter(|e| is_context(e))
            .count();
        let other_members = conditions
            .subexpressions()
            .filter(|expr| match expr.expr_kind() {
                ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => {
                    is_context(expr) && attr != "now"
                }
                ExprKind::ExtHasAttr { expr, attrs } => is_context(expr) && attrs.first() != "now",
                _ => false,
            })
            .count();
        uses > other_members
    }
}

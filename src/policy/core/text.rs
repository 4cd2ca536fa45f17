//! Policy text → rules with places.

use std::sync::Arc;

use cedar_policy_core::{
    ast::{self, Expr, ExprKind, PolicyID, SlotEnv, Var},
    parser::{Loc, text_to_cst::parse_policies},
};

use crate::{
    model::Effect,
    policy::fault::{Fault, Place},
};

/// A policy as the engine evaluates it: its head is the index's business, its conditions are kept.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(in crate::policy) effect: Effect,
    pub(in crate::policy) conditions: Option<Arc<Expr>>,
    pub(in crate::policy) slots: SlotEnv,
    pub(super) policy: ast::Policy,
}

/// One statement of a file.
pub(in crate::policy) struct Statement {
    pub(in crate::policy) id: Arc<str>,
    pub(in crate::policy) place: Place,
    pub(in crate::policy) annotations: Vec<(String, String)>,
    pub(in crate::policy) rule: Rule,
}

/// Parses a file of policies once, naming each by its `@id`, else `stem#n` (counted from 1).
///
/// # Errors
/// Every fault that the parser can tell.
pub(in crate::policy) fn parse(
    file: &Arc<str>,
    stem: &str,
    text: &str,
) -> Result<Vec<Statement>, Vec<Fault>> {
    let parsed = parse_policies(text)
        .map_err(|errors| Fault::from_diagnostic("parse", file, text, &errors))?;
    let nodes = parsed.as_inner().map(|policies| policies.0.as_slice());
    let mut statements = Vec::new();
    let mut faults = Vec::new();
    for (n, node) in nodes.unwrap_or_default().iter().enumerate() {
        let fallback = PolicyID::from_string(format!("{stem}#{}", n + 1));
        let template = match node.to_template(fallback) {
            Ok(template) => template,
            Err(errors) => {
                faults.extend(Fault::from_diagnostic("parse", file, text, &errors));
                continue;
            }
        };
        let offset = template.loc().map_or(0, Loc::start);
        let place = Place::at(file, text, offset);
        let annotations: Vec<(String, String)> = template
            .annotations()
            .map(|(name, value)| (name.to_string(), value.val.to_string()))
            .collect();
        if !template.is_static() {
            let fault = Fault::at(
                "template",
                place,
                "templates are not linked by anything here",
            );
            faults.push(fault.help("write the entity in place of `?principal` or `?resource`"));
            continue;
        }
        let id = annotations
            .iter()
            .find(|(name, _)| name == "id")
            .map(|(_, id)| id.clone());
        let template = match id {
            Some(id) if id.is_empty() => {
                faults.push(Fault::at("policy_id", place, "`@id` is empty"));
                continue;
            }
            Some(id) => template.new_id(PolicyID::from_string(id)),
            None => template,
        };
        match ast::Template::try_as_policy(Arc::new(template)) {
            Ok(policy) => statements.push(Statement {
                id: policy.id().to_string().into(),
                place,
                annotations,
                rule: Rule::new(policy),
            }),
            Err(error) => faults.push(Fault::at("parse", place, error.to_string())),
        }
    }
    if faults.is_empty() {
        Ok(statements)
    } else {
        Err(faults)
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

/// The policies as Cedar's own validator and authorizer take them.
///
/// # Errors
/// The id that occurs twice.
pub(in crate::policy) fn cedar_set<'a>(
    rules: impl Iterator<Item = &'a Rule>,
) -> Result<cedar_policy::PolicySet, String> {
    let mut set = ast::PolicySet::new();
    for rule in rules {
        set.add(rule.policy.clone())
            .map_err(|error| error.to_string())?;
    }
    Ok(set.into())
}

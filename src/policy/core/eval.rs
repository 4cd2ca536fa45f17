//! Rules × request × entities → what holds.

use std::{cell::OnceCell, sync::Arc};

use super::{
    CedarValue, Entities, Rule,
    glance::Glance,
    layout::{Laid, Layout},
};
use crate::policy::evaluate::Request;
use cedar_policy_core::{
    ast::{self, Context, EntityUIDEntry, Expr, SlotEnv, ValueKind},
    evaluator::{self, EvaluationError},
    extensions::Extensions,
};

/// Tells whether rules' conditions hold for one request over one set of entities: at a glance where
/// that suffices, else by Cedar's evaluator, which is only set up when it is needed.
///
/// With the feature `public-cedar`, by [`super::public`] alone.
pub(in crate::policy) struct Conditions<'r> {
    request: &'r Request,
    entities: &'r Entities,
    glance: Glance<'r>,
    evaluator: OnceCell<Evaluator<'r>>,
}

impl<'r> Conditions<'r> {
    pub(in crate::policy) fn new(
        layout: &'r Layout,
        request: &'r Request,
        entities: &'r Entities,
    ) -> Self {
        Self {
            request,
            entities,
            glance: Glance::new(layout, request, entities),
            evaluator: OnceCell::new(),
        }
    }

    /// Whether the conditions that are laid out there hold; `None` when they must be evaluated to tell.
    pub(in crate::policy) fn at_a_glance(&self, laid: Laid) -> Option<bool> {
        match cfg!(feature = "public-cedar") {
            true => None,
            false => self.glance.holds(laid),
        }
    }

    /// Whether the rule's conditions hold, by what `laid` lays out of them where that suffices.
    pub(in crate::policy) fn hold(&self, rule: &Rule, laid: Laid) -> Result<bool, RuleError> {
        if let Some(holds) = self.at_a_glance(laid) {
            return Ok(holds);
        }
        if cfg!(feature = "public-cedar") {
            return super::public::holds(rule, self.request, self.entities);
        }
        self.evaluator
            .get_or_init(|| Evaluator::new(self.request.clone(), self.entities))
            .conditions_hold(rule)
    }
}

/// Evaluates expressions of rules, as Cedar's authorizer does.
pub(in crate::policy) struct Evaluator<'e>(Result<evaluator::Evaluator<'e>, &'e str>);

/// Why a rule could not be evaluated.
pub(in crate::policy) struct RuleError {
    pub(in crate::policy) code: &'static str,
    pub(in crate::policy) message: String,
}

impl<'e> Evaluator<'e> {
    pub(in crate::policy) fn new(request: Request, entities: &'e Entities) -> Self {
        let Request {
            principal,
            action,
            resource,
            context,
        } = request;
        let known = |uid| EntityUIDEntry::known(uid, None);
        let request = ast::Request::new_unchecked(
            known(principal),
            known(action),
            known(resource),
            Some(Context::Value(Arc::new(context))),
        );
        let extensions = Extensions::all_available();
        let over = |entities| evaluator::Evaluator::new(request, entities, extensions);
        Self(entities.cedars().map(over))
    }

    /// Whether the rule's conditions hold.
    pub(in crate::policy) fn conditions_hold(&self, rule: &Rule) -> Result<bool, RuleError> {
        match &rule.conditions {
            Some(conditions) => self.holds(conditions, &rule.slots),
            None => Ok(true),
        }
    }

    /// The value of an expression of a rule; `None` when it cannot be evaluated.
    pub(super) fn value(&self, rule: &Rule, expr: &Expr) -> Option<CedarValue> {
        self.0.as_ref().ok()?.interpret(expr, &rule.slots).ok()
    }

    pub(super) fn holds(&self, expr: &Expr, slots: &SlotEnv) -> Result<bool, RuleError> {
        let evaluator = self.0.as_ref().map_err(|refused| RuleError {
            code: "entities",
            message: (*refused).to_owned(),
        })?;
        let value = evaluator
            .interpret(expr, slots)
            .map_err(|error| RuleError {
                code: error_code(&error),
                message: error.to_string(),
            })?;
        match value.value_kind() {
            ValueKind::Lit(ast::Literal::Bool(holds)) => Ok(*holds),
            _ => Err(RuleError {
                code: "type_error",
                message: "a condition is not a boolean".into(),
            }),
        }
    }
}

pub(super) fn error_code(error: &EvaluationError) -> &'static str {
    match error {
        EvaluationError::EntityDoesNotExist(_) => "entity_missing",
        EvaluationError::EntityAttrDoesNotExist(_) | EvaluationError::RecordAttrDoesNotExist(_) => {
            "attribute_missing"
        }
        EvaluationError::TypeError(_) => "type_error",
        EvaluationError::IntegerOverflow(_) => "overflow",
        EvaluationError::FailedExtensionFunctionLookup(_)
        | EvaluationError::WrongNumArguments(_)
        | EvaluationError::FailedExtensionFunctionExecution(_) => "extension_error",
        EvaluationError::UnlinkedSlot(_) => "unlinked_slot",
        EvaluationError::NonValue(_) => "unknown_value",
        EvaluationError::RecursionLimit(_) => "recursion_limit",
    }
}

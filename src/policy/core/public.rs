//! The twin of [`super::eval`]: the same answers by Cedar's public `Authorizer`, one rule at a time.
//!
//! It is slow, and it is used where the feature `public-cedar` says so: when Cedar is upgraded, it
//! tells whether a difference is Cedar's own or comes of what this folder takes from its insides.

use std::sync::Arc;

use cedar_policy_core::ast::{self, Context, EntityUIDEntry};

use super::{Entities, Rule, RuleError, eval::error_code};
use crate::policy::evaluate::Request;

/// Whether a rule whose head matches holds.
///
/// # Errors
/// When it cannot be evaluated.
pub(super) fn holds(
    rule: &Rule,
    request: &Request,
    entities: &Entities,
) -> Result<bool, RuleError> {
    let mut alone = ast::PolicySet::new();
    alone.add(rule.policy.clone()).map_err(|error| RuleError {
        code: "policy_set",
        message: error.to_string(),
    })?;
    let known = |uid: &super::Uid| EntityUIDEntry::known(uid.clone(), None);
    let request = ast::Request::new_unchecked(
        known(&request.principal),
        known(&request.action),
        known(&request.resource),
        Some(Context::Value(Arc::new(request.context.clone()))),
    );
    let entities = entities.cedars().map_err(|refused| RuleError {
        code: "entities",
        message: refused.to_owned(),
    })?;
    let answer = cedar_policy::Authorizer::new().is_authorized(
        &request.into(),
        &alone.into(),
        &entities.clone().into(),
    );
    let diagnostics = answer.diagnostics();
    match diagnostics.errors().next() {
        Some(cedar_policy::AuthorizationError::PolicyEvaluationError(error)) => Err(RuleError {
            code: error_code(error.inner()),
            message: error.inner().to_string(),
        }),
        None => Ok(diagnostics.reason().next().is_some()),
    }
}

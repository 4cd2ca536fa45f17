//! Rules × schema → what is wrong, and how deep the rules look.

use std::collections::HashSet;

use cedar_policy::ValidationError;
use cedar_policy_core::{
    ast,
    validator::{ValidationMode, Validator, ValidatorSchema},
};
use miette::Diagnostic;

use super::Rule;

/// Validates rules by one schema.
pub(in crate::policy) struct PolicyValidator(Validator);

/// What is wrong with one policy.
pub(in crate::policy) struct Invalid {
    /// The policy, or the template that it is linked from.
    pub(in crate::policy) id: String,
    pub(in crate::policy) kind: &'static str,
    pub(in crate::policy) diagnostic: Box<dyn Diagnostic + Send + Sync>,
}

impl PolicyValidator {
    pub(in crate::policy) fn new(schema: &cedar_policy::Schema) -> Self {
        let schema: &ValidatorSchema = schema.as_ref();
        Self(Validator::new(schema.clone()))
    }

    /// The smallest level (RFC 76), from 1 up to `max`, at which all rules validate.
    ///
    /// Each level looks again only at the rules that the level below was not enough for. Level 0 is
    /// not tried: principal and resource are loaded in any case, and most rules look at them.
    ///
    /// # Errors
    /// Every rule at fault. When all are well typed, those that need a level above `max`.
    pub(in crate::policy) fn level<'a>(
        &self,
        rules: impl Iterator<Item = &'a Rule>,
        max: u32,
    ) -> Result<u32, Vec<Invalid>> {
        let mut set = set_of(rules.map(|rule| rule.policy.clone()))?;
        let mut level = max.min(1);
        loop {
            let found = self
                .0
                .validate_with_level(&set, ValidationMode::Strict, level);
            let (errors, _) = found.into_errors_and_warnings();
            let (too_deep, ill_typed): (Vec<_>, Vec<_>) = errors
                .map(ValidationError::from)
                .partition(|error| matches!(error, ValidationError::EntityDerefLevelViolation(_)));
            if !ill_typed.is_empty() {
                return Err(invalid("validate", ill_typed));
            }
            if too_deep.is_empty() {
                return Ok(level);
            }
            if level >= max {
                return Err(invalid("level", too_deep));
            }
            let ids: HashSet<&str> = too_deep.iter().map(id_of).collect();
            let deeper: Vec<ast::Policy> = set
                .policies()
                .filter(|policy| ids.contains(AsRef::<str>::as_ref(policy.template().id())))
                .cloned()
                .collect();
            set = set_of(deeper.into_iter())?;
            level += 1;
        }
    }
}

fn set_of(policies: impl Iterator<Item = ast::Policy>) -> Result<ast::PolicySet, Vec<Invalid>> {
    let mut set = ast::PolicySet::new();
    for policy in policies {
        let id = policy.id().to_string();
        set.add(policy).map_err(|error| {
            vec![Invalid {
                id,
                kind: "duplicate_policy_id",
                diagnostic: Box::new(error),
            }]
        })?;
    }
    Ok(set)
}

fn id_of(error: &ValidationError) -> &str {
    error.policy_id().as_ref()
}

fn invalid(kind: &'static str, errors: Vec<ValidationError>) -> Vec<Invalid> {
    let invalid = errors.into_iter().map(|error| Invalid {
        id: id_of(&error).to_owned(),
        kind,
        diagnostic: Box::new(error),
    });
    invalid.collect()
}

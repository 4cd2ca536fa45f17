//! What a policy's head asks for, as the index keys it.

use cedar_policy_core::ast::{ActionConstraint, EntityReference, PrincipalOrResourceConstraint};

use super::{Rule, TypeName, Uid};

/// What a head asks of a principal or resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Scope {
    /// Nothing.
    Any,
    /// To be this entity.
    Is(Uid),
    /// To be this entity or in it.
    In(Uid),
    /// To be of this type.
    OfType(TypeName),
    /// To be of this type, and this entity or in it.
    OfTypeIn(TypeName, Uid),
}

impl Rule {
    /// What the head asks of the principal; `None` for a slot that nothing fills.
    pub(in crate::policy) fn principal_scope(&self) -> Option<Scope> {
        scope(self.policy.principal_constraint().as_inner())
    }

    /// What the head asks of the resource; `None` for a slot that nothing fills.
    pub(in crate::policy) fn resource_scope(&self) -> Option<Scope> {
        scope(self.policy.resource_constraint().as_inner())
    }

    /// The actions and action groups that the head names; `None` for any action.
    pub(in crate::policy) fn action_scope(&self) -> Option<ActionScope> {
        match self.policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(action) => Some(ActionScope::Is((**action).clone())),
            ActionConstraint::In(actions) => Some(ActionScope::In(
                actions.iter().map(|action| (**action).clone()).collect(),
            )),
        }
    }
}

/// The actions that a head names.
#[derive(Clone, Debug)]
pub(in crate::policy) enum ActionScope {
    /// One action, and none that is in it.
    Is(Uid),
    /// These, and those that are in one of them.
    In(Vec<Uid>),
}

fn scope(constraint: &PrincipalOrResourceConstraint) -> Option<Scope> {
    let entity = |reference: &EntityReference| match reference {
        EntityReference::EUID(uid) => Some((**uid).clone()),
        EntityReference::Slot(_) => None,
    };
    Some(match constraint {
        PrincipalOrResourceConstraint::Any => Scope::Any,
        PrincipalOrResourceConstraint::Eq(uid) => Scope::Is(entity(uid)?),
        PrincipalOrResourceConstraint::In(uid) => Scope::In(entity(uid)?),
        PrincipalOrResourceConstraint::Is(of_type) => Scope::OfType((**of_type).clone()),
        PrincipalOrResourceConstraint::IsIn(of_type, uid) => {
            Scope::OfTypeIn((**of_type).clone(), entity(uid)?)
        }
    })
}

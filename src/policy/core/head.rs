//! What a policy's head asks for, as the index keys it.

use std::ops::Range;

use cedar_policy_core::{
    ast::{ActionConstraint, EntityReference, PrincipalOrResourceConstraint},
    parser::Loc,
};

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

    /// Whether the head's action matches one that is in the groups that `is_in` says.
    pub(in crate::policy) fn is_for(&self, action: &Uid, is_in: impl Fn(&Uid) -> bool) -> bool {
        match self.policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(named) => **named == *action,
            ActionConstraint::In(named) => named.iter().any(|group| is_in(group)),
        }
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

/// One of the three parts of a head that asks for something, where it is written.
#[derive(Clone, Debug)]
pub(in crate::policy) struct HeadPart {
    /// `principal`, `action` or `resource`.
    pub(in crate::policy) of: &'static str,
    /// Where it is in the text that [`Rule::text`] gives, in bytes.
    pub(in crate::policy) span: Range<usize>,
}

impl Rule {
    /// The parts of the head that ask for something, in their order.
    pub(in crate::policy) fn head_parts(&self) -> Vec<HeadPart> {
        let template = self.policy.template();
        let action = match template.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(action) => action.loc(),
            ActionConstraint::In(actions) => actions.last().and_then(|action| action.loc()),
        };
        let ends = [
            (
                "principal",
                last_place(template.principal_constraint().as_inner()),
            ),
            ("action", action.cloned()),
            (
                "resource",
                last_place(template.resource_constraint().as_inner()),
            ),
        ];
        let part = |(of, end): (&'static str, Option<Loc>)| {
            let (text, own) = self.text()?;
            let end = end?;
            let start = own.start + text.get(own.start..end.start())?.rfind(of)?;
            let listed = of == "action" && text.get(start..end.end())?.contains('[');
            let close = match listed {
                true => text.get(end.end()..)?.find(']').map_or(0, |at| at + 1),
                false => 0,
            };
            Some(HeadPart {
                of,
                span: start..end.end() + close,
            })
        };
        ends.into_iter().filter_map(part).collect()
    }
}

/// Where a constraint ends.
fn last_place(constraint: &PrincipalOrResourceConstraint) -> Option<Loc> {
    let entity = |reference: &EntityReference| match reference {
        EntityReference::EUID(uid) => uid.loc().cloned(),
        EntityReference::Slot(loc) => loc.clone(),
    };
    match constraint {
        PrincipalOrResourceConstraint::Any => None,
        PrincipalOrResourceConstraint::Eq(uid)
        | PrincipalOrResourceConstraint::In(uid)
        | PrincipalOrResourceConstraint::IsIn(_, uid) => entity(uid),
        PrincipalOrResourceConstraint::Is(of_type) => of_type.loc().cloned(),
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

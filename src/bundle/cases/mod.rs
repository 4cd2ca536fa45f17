//! `tests/*.yaml`: what the rules must answer.

mod fixtures;
mod raw;
mod read;
mod table;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use crate::{
    model::{EntityFacts, Members, Timestamp},
    policy::Place,
};
pub(super) use read::compile;

/// One file of cases.
#[derive(Clone, Debug)]
pub struct Cases {
    /// The file.
    pub file: Arc<str>,
    /// Its cases, in order.
    pub cases: Vec<Case>,
}

/// One case: a question and the answer it must have.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, unique within the bundle.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// The time it is asked.
    pub now: Timestamp,
    /// Who asks.
    pub subject: Arc<SubjectSpec>,
    /// What is asked.
    pub question: CaseQuestion,
    /// Facts stated with the request.
    pub entities: Vec<EntityFacts>,
    /// Context stated with the request.
    pub context: Members,
    /// What must come of it.
    pub expect: Expectation,
}

/// A question as a case states it.
#[derive(Clone, Debug)]
pub enum CaseQuestion {
    /// An action on a resource.
    Named {
        /// The action.
        action: String,
        /// What is stated about the action, which policies read as `context.action`.
        properties: Members,
        /// The resource with facts.
        resource: EntityFacts,
    },
    /// An HTTP request, not yet canonical.
    Http {
        /// The method.
        method: String,
        /// The host, or empty.
        host: String,
        /// The request target.
        path: String,
        /// Headers by lower-case name.
        headers: BTreeMap<String, String>,
    },
}

/// A subject that a case supposes.
#[derive(Clone, Debug)]
pub enum SubjectSpec {
    /// The holder of a token with these claims.
    Claims {
        /// The claims.
        claims: Members,
        /// The issuer's name; the case's only one when `None`.
        issuer: Option<String>,
    },
    /// An entity that the caller vouches for.
    Entity(EntityFacts),
    /// Nobody.
    Anonymous,
}

/// What must come of a case; what is `None` is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The outcome.
    pub decision: ExpectedOutcome,
    /// Why.
    pub cause: Option<String>,
    /// The ids of exactly the policies that determined it.
    pub reasons: Option<Vec<String>>,
    /// The ids of exactly the policies that failed.
    #[serde(default)]
    pub errors: Vec<String>,
    /// Exactly the obligations.
    pub obligations: Option<Vec<String>>,
    /// The kind of refusal, or its precise reason.
    pub refusal: Option<String>,
    /// The scopes or authentication demanded.
    pub challenge: Option<String>,
}

impl Expectation {
    /// An outcome, however it came about.
    pub(super) fn only(decision: ExpectedOutcome) -> Self {
        Self {
            decision,
            cause: None,
            reasons: None,
            errors: Vec::new(),
            obligations: None,
            refusal: None,
            challenge: None,
        }
    }
}

/// The outcome that a case expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectedOutcome {
    /// Allow.
    Allow,
    /// Deny.
    Deny,
    /// No decision.
    Refused,
}

//! What is decided.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::SignedDuration;

/// The outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The subject may.
    Allow,
    /// The subject may not.
    Deny,
}

impl Outcome {
    /// The name used in cases, records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The effect of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It grants.
    Permit,
    /// It denies, whatever grants.
    Forbid,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        })
    }
}

/// Why an outcome is what it is. Among denials the first that applies wins, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A permit holds and no forbid does.
    Permitted,
    /// A forbid holds.
    Forbidden,
    /// A forbid could not be evaluated, so it is taken to hold.
    ForbidErrored,
    /// No permit holds.
    NothingPermits,
}

impl Cause {
    /// The name used on the wire, in cases and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Forbidden => "forbidden",
            Self::ForbidErrored => "forbid_errored",
            Self::NothingPermits => "nothing_permits",
        }
    }
}

/// What was decided, and why. Only `pdp` makes an answer of it that a face may send.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Allow or deny.
    pub outcome: Outcome,
    /// Why.
    pub cause: Cause,
    /// The policies that determined the outcome, in the order of their ids.
    pub reasons: Vec<Arc<Reason>>,
    /// Policies whose evaluation failed, in the order of their ids.
    pub errors: Vec<EvaluationFault>,
    /// What the caller must do along with an allow.
    pub obligations: Vec<Obligation>,
    /// What would help the subject after a deny.
    pub challenge: Option<Challenge>,
    /// How long the answer may be reused for the same question.
    pub cacheable_for: SignedDuration,
}

/// A policy that determined the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `@id`, else `stem#n`.
    pub policy_id: Arc<str>,
    /// What the policy does.
    pub effect: Effect,
    /// `@reason`: text for the end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// `@advice`: what the end user can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<Arc<str>>,
    /// `file:line`, for those who may see it.
    #[serde(skip)]
    pub place: Arc<str>,
}

/// A policy whose evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvaluationFault {
    /// `@id`, else `stem#n`.
    pub policy_id: Arc<str>,
    /// What the policy would have done.
    pub effect: Effect,
    /// The kind of failure, for anyone.
    pub code: &'static str,
    /// The failure in words, for those who may see it.
    #[serde(skip)]
    pub message: String,
}

/// Something to do along with an allow, in the bundle's own words (`@obligation`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obligation {
    /// The policy that demands it.
    pub policy_id: Arc<str>,
    /// What it demands.
    pub text: Arc<str>,
}

/// What a gateway may tell the subject after a deny, from a policy's annotations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Challenge {
    /// `@challenge_scope`: RFC 6750 §3.1 `insufficient_scope`; scopes, space separated.
    Scope(Arc<str>),
    /// `@step_up`: RFC 9470 §3 `insufficient_user_authentication`.
    StepUp {
        /// Acceptable authentication context classes, space separated.
        #[serde(skip_serializing_if = "Option::is_none")]
        acr_values: Option<Arc<str>>,
        /// The greatest age of the login, in seconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_age_seconds: Option<u32>,
    },
}

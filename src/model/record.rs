//! What the decision log keeps.

use serde::Serialize;

use super::{
    BundleName, CallerName, Cause, Decision, DecisionId, Digest, EvaluationFault, Face, Obligation,
    Outcome, Reason, Refusal, Revision, Timestamp,
};

/// One line of the decision log: a decision or a refusal, with enough to find out why.
///
/// Holds no credential, no claim that the bundle does not map, and no header.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When it was decided.
    pub time: Timestamp,
    /// The id the caller got.
    pub decision_id: DecisionId,
    /// The face it was asked through.
    pub face: Face,
    /// Who asked, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerName>,
    /// The asker's own id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The bundle, once chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleName>,
    /// That bundle's digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_digest: Option<Digest>,
    /// The revision of stored data.
    pub revision: Revision,
    /// The first 16 hexadecimal digits of the token's SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The token's `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The principal, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The action, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The resource, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// How many members were left out because the schema does not declare them.
    #[serde(skip_serializing_if = "is_zero")]
    pub undeclared: usize,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: RecordOutcome,
    /// Whether it was asked for to be explained: nobody was let in by it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub explained: bool,
    /// From the request's arrival to this record, in microseconds.
    pub latency_us: u64,
}

impl Record {
    /// The record of a request that was refused before anything else was known of it.
    pub fn refused(
        time: Timestamp,
        decision_id: DecisionId,
        face: Face,
        request_id: Option<String>,
        refusal: &Refusal,
    ) -> Self {
        Self {
            time,
            decision_id,
            face,
            caller: None,
            request_id,
            bundle: None,
            bundle_digest: None,
            revision: Revision::default(),
            token: None,
            token_id: None,
            principal: None,
            action: None,
            resource: None,
            undeclared: 0,
            outcome: RecordOutcome::of_refusal(refusal),
            explained: false,
            latency_us: 0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What came of a request.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RecordOutcome {
    /// It was decided.
    Decision {
        /// Allow or deny.
        outcome: Outcome,
        /// Why.
        cause: Cause,
        /// The policies that determined it.
        reasons: Vec<Reason>,
        /// Policies that failed.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        errors: Vec<EvaluationFault>,
        /// What was demanded of the caller.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        obligations: Vec<Obligation>,
    },
    /// It was refused.
    Refusal {
        /// The kind of refusal.
        refusal: &'static str,
        /// The precise reason.
        reason: &'static str,
        /// The reason in words.
        detail: String,
    },
}

impl RecordOutcome {
    /// A decision.
    pub fn of_decision(decision: &Decision) -> Self {
        Self::Decision {
            outcome: decision.outcome,
            cause: decision.cause,
            reasons: decision.reasons.clone(),
            errors: decision.errors.clone(),
            obligations: decision.obligations.clone(),
        }
    }

    /// A refusal, with its precise reason.
    pub fn of_refusal(refusal: &Refusal) -> Self {
        Self::Refusal {
            refusal: refusal.code(),
            reason: refusal.reason(),
            detail: refusal.to_string(),
        }
    }
}

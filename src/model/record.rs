//! What the decision log keeps.

use std::{net::IpAddr, sync::Arc};

use super::{
    BundleName, CallerName, Decision, DecisionId, Digest, Evidence, Face, Refusal, Revision,
    Timestamp,
};

/// A decision or a refusal, with enough to find out why and to decide it again.
///
/// Holds no credential, no claim that the bundle does not map, and no header or parameter that the
/// action does not declare.
#[derive(Debug)]
pub struct Record {
    /// When it was decided.
    pub time: Timestamp,
    /// The id the caller got.
    pub decision_id: DecisionId,
    /// The face it was asked through.
    pub face: Face,
    /// Who asked, once known.
    pub caller: Option<CallerName>,
    /// Where it was asked from, when over TCP.
    pub peer: Option<IpAddr>,
    /// The asker's own id of the request.
    pub request_id: Option<String>,
    /// The bundle, once chosen.
    pub bundle: Option<BundleName>,
    /// That bundle's digest.
    pub bundle_digest: Option<Digest>,
    /// Whether a forbid that failed denied.
    pub strict_errors: bool,
    /// The revision of stored data.
    pub revision: Revision,
    /// How many members were left out because the schema does not declare them.
    pub undeclared: usize,
    /// Somebody is known to have asked or to be asked about, so that it is no stranger's noise.
    pub known: bool,
    /// What came of it.
    pub outcome: RecordOutcome,
    /// Whether it was asked for to be explained: nobody was let in by it.
    pub explained: bool,
    /// From the request's arrival to this record, in microseconds.
    pub latency_us: u64,
    /// How much memory those facts take until they are written, in bytes, roughly.
    pub weight: usize,
    /// The facts that it stands on.
    pub evidence: Evidence,
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
            peer: None,
            request_id,
            bundle: None,
            bundle_digest: None,
            strict_errors: false,
            revision: Revision::default(),
            undeclared: 0,
            known: false,
            outcome: RecordOutcome::of_refusal(refusal),
            explained: false,
            latency_us: 0,
            weight: 0,
            evidence: Evidence::None,
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug)]
pub enum RecordOutcome {
    /// It was decided; the answer shares this.
    Decision(Arc<Decision>),
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
    /// A refusal, with its precise reason.
    pub fn of_refusal(refusal: &Refusal) -> Self {
        Self::Refusal {
            refusal: refusal.code(),
            reason: refusal.reason(),
            detail: refusal.to_string(),
        }
    }
}

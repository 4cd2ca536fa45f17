//! What operators asked to do, as records of the decision log.

use std::{net::IpAddr, sync::Arc};

use crate::{
    bundle::Snapshot,
    model::{
        AskedFacts, AskedQuestion, BundleName, CallerName, Decision, DecisionId, EntityFacts,
        EntityRef, Evidence, Face, Facts, Members, Record, RecordOutcome, Refusal, SubjectFacts,
        Timestamp,
    },
};

/// The bundle that decides who may operate.
const BUNDLE: &str = "doorward-admin";
/// What the facts of a visit take until they are written, in bytes, roughly.
const WEIGHT: usize = 512;

/// What is known of a call to a service for operators when it is decided.
#[derive(Default)]
pub(super) struct Visit {
    pub(super) peer: Option<IpAddr>,
    pub(super) caller: Option<CallerName>,
    pub(super) operator: Option<EntityFacts>,
    pub(super) decision: Option<Decision>,
}

impl Visit {
    /// The record of someone who asked to do `action` to `bundle`.
    pub(super) fn into_record(
        self,
        decision_id: DecisionId,
        now: Timestamp,
        rules: &Snapshot,
        (action, bundle): (&str, &BundleName),
        refusal: Option<&Refusal>,
    ) -> Record {
        let outcome = match (self.decision, refusal) {
            (Some(decision), _) => RecordOutcome::Decision(Arc::new(decision)),
            (None, Some(refusal)) => RecordOutcome::of_refusal(refusal),
            (None, None) => RecordOutcome::of_refusal(&Refusal::UnknownBundle),
        };
        let resource = EntityRef::new("Bundle", bundle.as_str());
        let asked = AskedFacts {
            action: format!("Action::\"{action}\""),
            resource: Some(resource.clone()),
            question: AskedQuestion::Named {
                action: action.to_owned(),
                properties: Members::new(),
                resource: EntityFacts::bare(resource),
            },
            entities: Vec::new(),
            context: Members::new(),
            peer: None,
        };
        let known = self.caller.is_some();
        let subject = self.operator.map(|entity| SubjectFacts {
            entity,
            anonymous: false,
            token: None,
            fingerprint: None,
            token_id: None,
        });
        let facts = Facts {
            subject: subject.map(Arc::new),
            asked: Some(asked),
        };
        Record {
            time: now,
            decision_id,
            face: Face::Admin,
            caller: self.caller,
            peer: self.peer,
            request_id: None,
            bundle: Some(BundleName::new(BUNDLE)),
            bundle_digest: Some(rules.digest),
            strict_errors: rules.strict_errors,
            revision: crate::model::Revision::default(),
            undeclared: 0,
            known,
            outcome,
            explained: false,
            latency_us: 0,
            weight: WEIGHT,
            evidence: match known {
                true => Evidence::Known(Box::new(facts)),
                false => Evidence::None,
            },
        }
    }
}

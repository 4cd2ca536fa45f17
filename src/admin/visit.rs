//! What operators asked to do, as records of the decision log.

use std::{net::IpAddr, sync::Arc};

use crate::{
    bundle::Snapshot,
    model::{
        AskedFacts, AskedQuestion, BundleName, CallerName, DecisionId, EntityFacts, EntityRef,
        Evidence, Face, Facts, Members, Record, RecordOutcome, SubjectFacts, Timestamp,
    },
};

/// The bundle that decides who may operate.
const BUNDLE: &str = "doorward-admin";
/// What the facts of a visit take until they are written, in bytes, roughly.
const WEIGHT: usize = 512;

/// What is known of a call to a service for operators.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) action: &'static str,
    pub(super) peer: Option<IpAddr>,
    pub(super) caller: Option<CallerName>,
    pub(super) bundle: Option<BundleName>,
    pub(super) operator: Option<EntityFacts>,
}

impl Visit {
    /// Somebody asks to do this.
    pub(super) fn new(action: &'static str) -> Self {
        Self {
            action,
            peer: None,
            caller: None,
            bundle: None,
            operator: None,
        }
    }

    /// The record of what came of it.
    pub(super) fn into_record(
        self,
        decision_id: DecisionId,
        now: Timestamp,
        rules: &Snapshot,
        outcome: RecordOutcome,
    ) -> Record {
        let action = self.action;
        let asked = self.bundle.map(|bundle| {
            let resource = EntityRef::new("Bundle", bundle.as_str());
            AskedFacts {
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
            }
        });
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
            asked,
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

//! What is known of a request when it ends, as its record.

use std::sync::Arc;

use super::{ANONYMOUS, World};
use crate::{
    authn::Identity,
    model::{
        AccessRequest, CallerName, DecisionId, Evidence, Facts, Record, RecordOutcome, Revision,
        Timestamp,
    },
    pip::{Principal, Told},
    policy::core::Uid,
};

/// What is known of a request when it ends, for its record.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) caller: Option<CallerName>,
    pub(super) world: Option<Arc<World>>,
    pub(super) identity: Option<Identity>,
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) resolved: Option<(Uid, Uid)>,
    pub(super) peer: Option<String>,
    pub(super) undeclared: usize,
    /// Its record is counted and not kept, so nobody reads its facts.
    pub(super) only_counted: bool,
    /// When the last of its stages began.
    pub(super) began: Option<Timestamp>,
    pub(super) explained: bool,
}

impl Trace {
    /// Takes what was asked out of `ask`: the facts go to the writer as they are, and become a record
    /// there.
    pub(super) fn into_record(
        self,
        ask: &mut AccessRequest,
        decision_id: DecisionId,
        now: Timestamp,
        outcome: RecordOutcome,
    ) -> Record {
        let Self {
            caller,
            world,
            identity,
            principal,
            resolved,
            peer,
            undeclared,
            only_counted,
            began: _,
            explained,
        } = self;
        let (bundle, snapshot, revision) = match world {
            Some(world) => (
                Some(world.bundle.clone()),
                Some(Arc::clone(&world.snapshot)),
                world.revision.clone(),
            ),
            None => (None, None, Revision::default()),
        };
        // An anonymous caller and a token that was refused are anyone's noise.
        let named = caller.as_ref().is_some_and(|it| it.as_str() != ANONYMOUS);
        let rejected = matches!(&outcome, RecordOutcome::Refusal { refusal, .. } if *refusal == "unauthenticated");
        let known = principal.is_some() || (named && !rejected);
        let bundle_digest = snapshot.as_ref().map(|snapshot| snapshot.digest);
        let strict_errors = snapshot.as_ref().is_some_and(|it| it.strict_errors);
        let (weight, evidence) = match only_counted {
            true => (0, Evidence::None),
            false => {
                let told = Told {
                    question: ask.question.take(),
                    entities: std::mem::take(&mut ask.entities),
                    context: std::mem::take(&mut ask.context),
                    peer,
                    resolved,
                };
                let weight = told.weight();
                let facts = move || Facts {
                    subject: principal.map(|principal| {
                        let fingerprint = identity.as_ref().map(Identity::fingerprint);
                        principal.facts(fingerprint)
                    }),
                    asked: Some(told.facts(snapshot.as_deref())),
                };
                (weight, Evidence::Later(Box::new(facts)))
            }
        };
        Record {
            time: now,
            decision_id,
            face: ask.face,
            caller,
            peer: ask.credential.peer.map(|peer| peer.ip()),
            request_id: ask.request_id.take(),
            bundle,
            bundle_digest,
            strict_errors,
            revision,
            undeclared,
            known,
            outcome,
            explained,
            latency_us: 0,
            weight,
            evidence,
        }
    }
}

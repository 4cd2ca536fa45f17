//! What is known of a request when it ends, as its record.

use super::{ANONYMOUS, Trace};
use crate::{
    model::{
        AccessRequest, DecisionId, Evidence, Facts, Record, RecordOutcome, Revision, Timestamp,
    },
    pip::Told,
};

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
            began: _,
            explained,
        } = self;
        let (bundle, snapshot, revision) = match world {
            Some(world) => (Some(world.bundle), Some(world.snapshot), world.revision),
            None => (None, None, Revision::default()),
        };
        // An anonymous caller and a token that was refused are anyone's noise.
        let named = caller.as_ref().is_some_and(|it| it.as_str() != ANONYMOUS);
        let rejected = matches!(&outcome, RecordOutcome::Refusal { refusal, .. } if *refusal == "unauthenticated");
        let told = Told {
            question: ask.question.take(),
            entities: std::mem::take(&mut ask.entities),
            context: std::mem::take(&mut ask.context),
            peer,
            resolved,
        };
        let weight = told.weight();
        Record {
            time: now,
            decision_id,
            face: ask.face,
            caller,
            peer: ask.credential.peer.map(|peer| peer.ip()),
            request_id: ask.request_id.take(),
            bundle,
            bundle_digest: snapshot.as_ref().map(|snapshot| snapshot.digest),
            strict_errors: snapshot.as_ref().is_some_and(|it| it.strict_errors),
            revision,
            undeclared,
            known: principal.is_some() || (named && !rejected),
            outcome,
            explained,
            latency_us: 0,
            weight,
            evidence: Evidence::Later(Box::new(move || Facts {
                subject: principal.map(|principal| {
                    let mut facts = principal.facts();
                    facts.token_id = principal.claims().and_then(|claims| claims.jti.clone());
                    facts.fingerprint = identity.map(|it| it.fingerprint().to_owned());
                    facts
                }),
                asked: Some(told.facts(snapshot.as_deref())),
            })),
        }
    }
}

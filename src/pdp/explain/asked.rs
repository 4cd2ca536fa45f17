//! `Pdp::explain`: an explanation for a caller, with its rights, its limits and its record.

use std::sync::Arc;

use super::{
    super::{Asking, PATIENCE, Pdp, Purpose, Refused, Trace},
    Explanation, Rate, Telling, explain,
};
use crate::{
    authn::Caller,
    bundle::Snapshot,
    model::{
        AccessRequest, BundleName, DecisionId, Digest, RecordOutcome, Refusal, Revision, Right,
        Subject, Timestamp,
    },
};

/// Explanations of one caller in a minute, unless configured otherwise.
const PER_MINUTE: usize = 60;

/// An explanation for a caller. No face can send it as an answer.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The id by which the decision log knows it.
    pub decision_id: DecisionId,
    /// The bundle that decided.
    pub bundle: BundleName,
    /// That bundle's digest.
    pub digest: Digest,
    /// The revision of stored data it reflects.
    pub revision: Revision,
    /// The explanation.
    pub explanation: Explanation,
}

/// How often each caller may ask.
#[derive(Debug)]
pub(in crate::pdp) struct Explaining(Rate);

impl Default for Explaining {
    fn default() -> Self {
        Self(Rate::new(PER_MINUTE))
    }
}

impl Explaining {
    pub(in crate::pdp) fn per_minute(per_minute: usize) -> Self {
        Self(Rate::new(per_minute))
    }

    /// Whether a caller may have a question about a bundle explained now.
    pub(in crate::pdp) fn admit(
        &self,
        caller: &Caller,
        bundle: &BundleName,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        caller.may(Right::Explain, bundle)?;
        let taken = self.0.take(caller.name(), now);
        taken.map_err(|retry_after| Refusal::RateLimited { retry_after })
    }
}

impl Pdp {
    /// Brings in what an explanation of `ask` needs and is not there: unknown keys, a revision.
    ///
    /// What is awaited is awaited here, so that the rest can run where it disturbs nobody.
    pub async fn keys_to_explain(&self, ask: &AccessRequest, now: Timestamp) {
        let mut view = self.view();
        let caller = self.identify(&ask.credential, &mut view, now).await;
        let known = caller.is_ok();
        if let (true, Subject::Token(token)) = (known, &ask.subject) {
            self.tokens.signature(&mut view.keys, token, now).await;
        }
        if let (true, Some(store), Some(revision)) = (known, &self.store, &ask.at_least_revision) {
            store.reach(revision, PATIENCE).await;
        }
    }

    /// Explains what [`Pdp::answer`] would answer to `ask` as of `now`, and records that it was asked.
    /// When `stop` turns true, what was found until then is told.
    ///
    /// # Errors
    /// [`Refused`], as of [`Pdp::answer`]; also for want of the right `explain`, and when the caller
    /// asks too often.
    pub fn explain(
        &self,
        ask: AccessRequest,
        now: Timestamp,
        stop: &dyn Fn() -> bool,
    ) -> Result<Explained, Refused> {
        let decision_id = DecisionId::new(now);
        let mut asking = Asking::from(ask);
        let mut trace = Trace {
            explained: true,
            ..Trace::default()
        };
        let result = self.try_explain(&mut asking, now, stop, decision_id, &mut trace);
        let outcome = match &result {
            Ok(explained) => {
                let decision = explained.explanation.decision.clone();
                RecordOutcome::Decision(Arc::new(decision))
            }
            Err(refusal) => RecordOutcome::of_refusal(refusal),
        };
        self.recorder
            .record(trace.into_record(&mut asking.ask, decision_id, now, outcome));
        result.map_err(|refusal| Refused::new(decision_id, refusal))
    }

    fn try_explain(
        &self,
        asking: &mut Asking,
        now: Timestamp,
        stop: &dyn Fn() -> bool,
        decision_id: DecisionId,
        trace: &mut Trace,
    ) -> Result<Explained, Refusal> {
        let mut view = self.view();
        let caller = self
            .callers
            .identify(&asking.ask.credential, &view.keys, now);
        let caller = caller.map_err(Refusal::CallerUnknown)?;
        if let Some(revision) = &asking.ask.at_least_revision {
            self.reached(&mut view, revision)?;
        }
        let purpose = Purpose::Explain;
        let (world, who) = self.prepare(&mut view, &caller, asking, purpose, now, trace)?;
        let snapshot: &Arc<Snapshot> = &world.snapshot;
        let telling = Telling {
            values: caller.may(Right::ExplainValues, &world.bundle).is_ok(),
            stop,
        };
        let asked = Self::asked(&asking.ask, &caller, &world);
        let explanation = explain(world.known(), &who, asked, now, telling)?;
        trace.peer = asked.peer.map(str::to_owned);
        trace.resolved = Some((explanation.action.clone(), explanation.resource.clone()));
        Ok(Explained {
            decision_id,
            explanation,
            digest: snapshot.digest,
            revision: world.revision.clone(),
            bundle: world.bundle.clone(),
        })
    }
}

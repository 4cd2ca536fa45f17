//! Many questions at once, and how long a caller's credential is good.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Answer, Pdp, Refused};
use crate::{
    audit::Receipt,
    model::{
        AccessRequest, BatchRequest, CallerCredential, DecisionId, Record, RecordOutcome, Refusal,
        Subject, Timestamp,
    },
};

/// Questions decided before others get their turn on the thread: some 200 µs of work.
const BEFORE_YIELD: usize = 16;

/// Lets others have their turn after every so many questions.
async fn breathe(n: usize) {
    if n > 0 && n.is_multiple_of(BEFORE_YIELD) {
        tokio::task::yield_now().await;
    }
}

impl Pdp {
    /// Decides every question of a batch as of `now`, by one world, and records each.
    ///
    /// The answers are in the order of the questions; one that cannot be decided, even by a fault
    /// of ours, harms none of the others.
    ///
    /// # Errors
    /// [`Refused`] when the caller is not known.
    pub async fn answer_all(
        &self,
        mut batch: BatchRequest,
        now: Timestamp,
    ) -> Result<Vec<Result<Answer, Refused>>, Refused> {
        let mut view = self.view();
        let caller = match self.identify(&batch.credential, &mut view, now).await {
            Ok(caller) => caller,
            Err(refusal) => return Err(self.refuse_all(batch, refusal, now)),
        };
        let mut behind = HashMap::new();
        for (n, ask) in batch.asks.iter().enumerate() {
            if let Subject::Token(token) = &ask.subject {
                view.keys = self.tokens.keys_for(view.keys, token, now).await;
            }
            if let Some(revision) = &ask.at_least_revision
                && let Err(refusal) = self.reach(&mut view, revision).await
            {
                behind.insert(n, refusal);
            }
            breathe(n).await;
        }
        let mut waiting = Vec::with_capacity(batch.asks.len());
        for (n, ask) in batch.asks.iter_mut().enumerate() {
            breathe(n).await;
            if let Some(refusal) = behind.remove(&n) {
                waiting.push(self.refuse_one(ask, refusal, now));
                continue;
            }
            // What a panic may leave half done is this view's list of worlds, which grows by whole
            // elements.
            let work = AssertUnwindSafe(|| self.answer_in(&mut view, Ok(&caller), &mut *ask, now));
            let answer = catch_unwind(work).unwrap_or_else(|_| {
                let refusal = Refusal::Unavailable {
                    detail: "the question made its handler panic".to_owned(),
                };
                self.refuse_one(ask, refusal, now)
            });
            waiting.push(answer);
        }
        // All of their records are on their way before any is waited for.
        let mut answers = Vec::with_capacity(waiting.len());
        for (answered, receipt) in waiting {
            answers.push(self.when_durable(answered, receipt).await);
        }
        Ok(answers)
    }

    /// Until when `credential` is that of a caller; `None`: for as long as the configuration says so.
    ///
    /// # Errors
    /// [`Refusal::CallerUnknown`].
    pub async fn caller_until(
        &self,
        credential: &CallerCredential,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        let caller = self.caller(credential, now).await?;
        Ok(caller.expires_at())
    }

    fn refuse_all(&self, batch: BatchRequest, refusal: Refusal, now: Timestamp) -> Refused {
        let decision_id = DecisionId::new(now);
        let BatchRequest {
            face, request_id, ..
        } = batch;
        let record = Record::refused(now, decision_id, face, request_id, &refusal);
        self.recorder.record(record);
        Refused::new(decision_id, refusal)
    }

    fn refuse_one(
        &self,
        ask: &mut AccessRequest,
        refusal: Refusal,
        now: Timestamp,
    ) -> (Result<Answer, Refused>, Receipt) {
        let decision_id = DecisionId::new(now);
        let outcome = RecordOutcome::of_refusal(&refusal);
        let record = super::Trace::default().into_record(ask, decision_id, now, outcome);
        let receipt = self.recorder.submit(record);
        (Err(Refused::new(decision_id, refusal)), receipt)
    }
}

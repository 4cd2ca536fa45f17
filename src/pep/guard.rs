//! What stands around every handler: no panic, stall or cancelled call goes unanswered or unrecorded.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

use super::admission::{Admission, Arrival, Class, Overloaded, Place};
use crate::{
    audit::Recorder,
    model::{DecisionId, Face, Record, Refusal, Timestamp},
    pdp::Refused,
};

/// Longest time a question may take unless its face says otherwise: far beyond any evaluation, and
/// short enough that callers waiting for keys that do not come cannot pile up.
const DEADLINE: Duration = Duration::from_secs(1);

/// One call, from its arrival until it is answered.
///
/// Dropped before that, as when the client hangs up, it leaves a record all the same.
pub(super) struct Call<'a> {
    recorder: &'a Recorder,
    face: Face,
    now: Timestamp,
    request_id: Option<String>,
    explained: bool,
    deadline: Duration,
    place: Result<Option<Place>, Overloaded>,
    open: bool,
}

impl<'a> Call<'a> {
    /// A call that came through `face` at `now`.
    pub(super) fn new(recorder: &'a Recorder, face: Face, now: Timestamp) -> Self {
        Self {
            recorder,
            face,
            now,
            request_id: None,
            explained: false,
            deadline: DEADLINE,
            place: Ok(None),
            open: true,
        }
    }

    /// Names the asker's own id of the request.
    pub(super) fn with_request_id(mut self, id: &str) -> Self {
        self.request_id = (!id.is_empty()).then(|| id.to_owned());
        self
    }

    /// Says that it asks for an explanation.
    pub(super) fn explaining(mut self) -> Self {
        self.explained = true;
        self
    }

    /// The time that it has.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Takes a place for it, within the time that its caller `asked` for.
    pub(super) fn admitted(
        mut self,
        admission: &Admission,
        class: Class,
        arrival: Option<&Arrival>,
        asked: Option<Duration>,
    ) -> Self {
        self.place = admission.enter(class, arrival).map(Some);
        self.deadline = admission.time_left(asked, arrival);
        self
    }

    /// Bounds the time of a call that needs no place of its own.
    pub(super) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs `work`, whose outer error is a refusal that nobody has recorded yet.
    pub(super) async fn answer<T, F>(mut self, work: F) -> Result<T, Refused>
    where
        F: Future<Output = Result<Result<T, Refused>, Refusal>>,
    {
        if self.place.is_err() {
            return Err(self.refuse(Refusal::Overloaded));
        }
        if self.deadline.is_zero() {
            return Err(self.refuse(Refusal::DeadlineExceeded));
        }
        let refusal = match tokio::time::timeout(self.deadline, caught(work)).await {
            Ok(Ok(Ok(answered))) => {
                self.open = false;
                return answered;
            }
            Ok(Ok(Err(refusal))) => refusal,
            Ok(Err(Panicked)) => Refusal::Unavailable {
                detail: "the handler panicked".to_owned(),
            },
            Err(_) => Refusal::DeadlineExceeded,
        };
        Err(self.refuse(refusal))
    }

    /// Gives its place to what outlives it, as a stream does.
    pub(super) fn take_place(&mut self) -> Option<Place> {
        self.place.as_mut().ok().and_then(Option::take)
    }

    /// Records a refusal of the face's own.
    pub(super) fn refuse(&mut self, refusal: Refusal) -> Refused {
        self.open = false;
        let refused = Refused::new(DecisionId::new(self.now), refusal);
        let record = Record::refused(
            self.now,
            refused.decision_id,
            self.face,
            self.request_id.take(),
            &refused.refusal,
        );
        self.recorder.record(Record {
            explained: self.explained,
            ..record
        });
        refused
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.open {
            self.refuse(Refusal::DeadlineExceeded);
        }
    }
}

/// The work panicked.
#[derive(Debug)]
pub(super) struct Panicked;

/// Runs `work`; a panic ends it and nothing else.
pub(super) async fn caught<F: Future>(work: F) -> Result<F::Output, Panicked> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        // After a panic the future is dropped and never polled again, and what it shares with
        // others (snapshots, queues) is changed by single atomic steps.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use super::*;
    use crate::metrics::Metrics;

    fn now() -> Timestamp {
        "2030-01-01T09:00:00Z".parse().unwrap()
    }

    fn counted() -> (Recorder, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        (Recorder::counting(Arc::clone(&metrics), now), metrics)
    }

    #[track_caller]
    fn recorded(metrics: &Metrics, code: &str) {
        let line = format!("doorward_refusals_total{{code=\"{code}\",face=\"grpc\"}} 1");
        let text = metrics.render();
        assert!(text.lines().any(|it| it == line), "{text}");
    }

    #[tokio::test]
    async fn a_panic_is_a_refusal_and_recorded() {
        let (recorder, metrics) = counted();
        let call = Call::new(&recorder, Face::Grpc, now());
        let refused = call
            .answer::<(), _>(async { panic!("boom") })
            .await
            .unwrap_err();
        assert!(matches!(refused.refusal, Refusal::Unavailable { .. }));
        recorded(&metrics, "unavailable");
    }

    #[tokio::test]
    async fn a_stall_ends_at_the_deadline_and_is_recorded() {
        let (recorder, metrics) = counted();
        let mut call = Call::new(&recorder, Face::Grpc, now());
        call.deadline = Duration::from_millis(1);
        let refused = call.answer::<(), _>(pending()).await.unwrap_err();
        assert_eq!(refused.refusal, Refusal::DeadlineExceeded);
        recorded(&metrics, "deadline_exceeded");
    }

    #[tokio::test]
    async fn a_cancelled_call_is_recorded() {
        let (recorder, metrics) = counted();
        let call = Call::new(&recorder, Face::Grpc, now());
        let hung_up =
            tokio::time::timeout(Duration::from_millis(1), call.answer::<(), _>(pending())).await;
        assert!(hung_up.is_err());
        recorded(&metrics, "deadline_exceeded");
    }

    #[tokio::test]
    async fn what_the_decision_point_answered_is_not_recorded_twice() {
        let (recorder, metrics) = counted();
        let call = Call::new(&recorder, Face::Grpc, now());
        let theirs = Refused::new(DecisionId::new(now()), Refusal::UnknownBundle);
        let id = theirs.decision_id;
        let refused = call
            .answer::<(), _>(async { Ok(Err(theirs)) })
            .await
            .unwrap_err();
        assert_eq!(refused.decision_id, id);
        assert!(!metrics.render().contains("doorward_refusals_total{"));
    }

    #[tokio::test]
    async fn beyond_its_bounds_a_call_is_refused_and_its_work_never_begun() {
        let full = Admission::new(super::super::admission::Bounds {
            checks: 0,
            ..Default::default()
        });
        for (admission, asked, code) in [
            (full, None, "overloaded"),
            (
                Admission::default(),
                Some(Duration::ZERO),
                "deadline_exceeded",
            ),
        ] {
            let (recorder, metrics) = counted();
            let call = Call::new(&recorder, Face::Grpc, now());
            let call = call.admitted(&admission, Class::Check, None, asked);
            let work = async { unreachable!("refused before") };
            let refused = call.answer::<(), _>(work).await.unwrap_err();
            assert_eq!(refused.refusal.code(), code);
            recorded(&metrics, code);
        }
    }
}

//! `CheckStream`: questions as they come, for as long as the caller is who it was.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, stream::unfold};
use tokio::sync::watch;
use tonic::{Status, Streaming};

use super::{DecisionFace, answer::to_stream_response, ask::to_access_request};
use crate::{
    model::{CallerCredential, Face, Refusal, Rejection, RejectionCode},
    pep::{
        admission::Place,
        guard::{Call, Panicked, caught},
        status::to_status,
    },
    proto::v1::{CheckStreamRequest, CheckStreamResponse},
};

/// The answers of a stream.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<CheckStreamResponse, Status>> + Send>>;

/// Longest `id` of a question, in bytes.
const MAX_ID: usize = 256;

/// An open stream.
pub(super) struct Open {
    face: DecisionFace,
    inbound: Streaming<CheckStreamRequest>,
    credential: CallerCredential,
    /// When the caller's credential expires, if it does.
    expiry: Option<Pin<Box<tokio::time::Sleep>>>,
    closing: Option<watch::Receiver<bool>>,
    _place: Option<Place>,
}

/// What a stream does next.
enum Next {
    Question(Box<CheckStreamRequest>),
    End(Option<Status>),
}

impl Open {
    pub(super) fn new(
        face: DecisionFace,
        inbound: Streaming<CheckStreamRequest>,
        credential: CallerCredential,
        left: Option<Duration>,
        place: Option<Place>,
    ) -> Self {
        Self {
            closing: face.closing.clone(),
            expiry: left.map(|left| Box::pin(tokio::time::sleep(left))),
            face,
            inbound,
            credential,
            _place: place,
        }
    }

    /// One answer for each question, one at a time: a caller that does not read its answers is not
    /// read either.
    pub(super) fn answers(self) -> Answers {
        Box::pin(unfold(Some(self), |open| async {
            let mut open = open?;
            match open.next().await {
                Next::Question(question) => match caught(open.answer(*question)).await {
                    Ok(Ok(response)) => Some((Ok(response), Some(open))),
                    Ok(Err(status)) => Some((Err(status), None)),
                    Err(Panicked) => {
                        let status = Status::unavailable("no decision can be made now");
                        Some((Err(status), None))
                    }
                },
                Next::End(status) => status.map(|status| (Err(status), None)),
            }
        }))
    }

    /// Questions that are here already come before the end.
    async fn next(&mut self) -> Next {
        let Self {
            inbound,
            expiry,
            closing,
            ..
        } = self;
        let expired = async {
            match expiry {
                Some(expiry) => expiry.as_mut().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = expired => Next::End(Some(self.expired())),
            question = inbound.message() => match question {
                Ok(Some(question)) => Next::Question(Box::new(question)),
                Ok(None) => Next::End(None),
                Err(status) => Next::End(Some(status)),
            },
            () = closed(closing) => Next::End(Some(Status::unavailable(
                "the server is about to end; ask another, or again in a moment",
            ))),
        }
    }

    /// Answers one question by the newest rules.
    ///
    /// # Errors
    /// The end of the stream, when the caller is no longer known.
    async fn answer(&self, question: CheckStreamRequest) -> Result<CheckStreamResponse, Status> {
        let face = &self.face;
        let now = (face.clock)();
        let CheckStreamRequest { id, check } = question;
        let request_id = check.as_ref().map_or("", |check| check.request_id.as_str());
        let call = Call::new(&face.recorder, Face::Grpc, now)
            .with_request_id(request_id)
            .within(face.admission.bounds().deadline);
        let fits = id.len() <= MAX_ID;
        let work = async {
            if !fits {
                let (what, limit) = ("id", MAX_ID);
                return Err(Refusal::TooLarge { what, limit });
            }
            let check = check.ok_or_else(|| {
                Refusal::malformed("check", "missing", "is required: state a question")
            })?;
            let ask = to_access_request(check, self.credential.clone())?;
            Ok(face.pdp.answer(ask, now).await)
        };
        match call.answer(work).await {
            Err(refused) if matches!(refused.refusal, Refusal::CallerUnknown(_)) => {
                Err(to_status(&refused))
            }
            answered => Ok(to_stream_response(
                if fits { id } else { String::new() },
                answered,
            )),
        }
    }

    fn expired(&self) -> Status {
        let rejection = Rejection::new(
            RejectionCode::TokenExpired,
            "the caller's token expired while its stream was open",
        );
        let now = (self.face.clock)();
        let mut call = Call::new(&self.face.recorder, Face::Grpc, now);
        to_status(&call.refuse(Refusal::CallerUnknown(rejection)))
    }
}

/// Resolves when the server is about to end.
async fn closed(closing: &mut Option<watch::Receiver<bool>>) {
    match closing {
        // An error means that the server is gone already.
        Some(closing) => drop(closing.wait_for(|closing| *closing).await),
        None => std::future::pending().await,
    }
}

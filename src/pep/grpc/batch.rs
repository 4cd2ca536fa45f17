//! `CheckBatch`.

use super::{DecisionFace, answer::to_result, ask::to_access_request};
use crate::{
    model::{BatchRequest, CallerCredential, DecisionId, Face, Record, Refusal, Timestamp},
    pdp::Refused,
    proto::v1::{CheckBatchRequest, CheckResult},
};

/// Answers every question, in their order; one that cannot be read is refused like one that cannot
/// be decided.
///
/// # Errors
/// A refusal of the whole: too many questions, or (recorded already) an unknown caller.
pub(super) async fn answer(
    face: &DecisionFace,
    batch: CheckBatchRequest,
    credential: CallerCredential,
    now: Timestamp,
) -> Result<Result<Vec<CheckResult>, Refused>, Refusal> {
    let CheckBatchRequest {
        bundle,
        subject,
        checks,
        request_id,
    } = batch;
    let limit = face.admission.bounds().batch;
    if checks.len() > limit {
        let what = "checks";
        return Err(Refusal::TooLarge { what, limit });
    }
    if checks.is_empty() {
        return Err(Refusal::malformed(
            "checks",
            "missing",
            "is required: state at least one question",
        ));
    }
    let mut asks = Vec::with_capacity(checks.len());
    let mut unread = Vec::new();
    for (n, mut check) in checks.into_iter().enumerate() {
        check.subject = check.subject.or_else(|| subject.clone().map(Into::into));
        for (own, shared) in [
            (&mut check.bundle, &bundle),
            (&mut check.request_id, &request_id),
        ] {
            if own.is_empty() {
                own.clone_from(shared);
            }
        }
        let id = check.request_id.clone();
        match to_access_request(check, credential.clone()) {
            Ok(ask) => asks.push(ask),
            Err(refusal) => unread.push((n, id, refusal)),
        }
    }
    let request_id = (!request_id.is_empty()).then_some(request_id);
    let batch = BatchRequest {
        face: Face::Grpc,
        credential,
        request_id,
        asks,
    };
    Ok(match face.pdp.answer_all(batch, now).await {
        Ok(answered) => {
            let mut results: Vec<CheckResult> = answered.into_iter().map(to_result).collect();
            for (n, id, refusal) in unread {
                results.insert(n, to_result(Err(refuse(face, id, refusal, now))));
            }
            Ok(results)
        }
        Err(refused) => Err(refused),
    })
}

/// Records a refusal of a question that never reached the decision point.
fn refuse(face: &DecisionFace, id: String, refusal: Refusal, now: Timestamp) -> Refused {
    let refused = Refused::new(DecisionId::new(now), refusal);
    let id = (!id.is_empty()).then_some(id);
    face.recorder.record(Record::refused(
        now,
        refused.decision_id,
        Face::Grpc,
        id,
        &refused.refusal,
    ));
    refused
}

//! The bearer in a request's `authorization` (RFC 6750 §2.1): the subject's token, or where subjects
//! are stated otherwise, the caller's own credential. Read alike by every face.

use crate::model::{Refusal, Subject};

/// The subject, by the `authorization` values of one request, joined by commas as HTTP joins them.
///
/// # Errors
/// [`Refusal::Unauthenticated`] for what was presented and is no token.
pub(super) fn subject(authorization: Option<&str>) -> Result<Subject, Refusal> {
    Subject::presented(authorization).map_err(Refusal::Unauthenticated)
}

/// The caller's secret or token, by the same values.
///
/// # Errors
/// [`Refusal::CallerUnknown`] for what was presented and is no bearer.
pub(super) fn caller(authorization: Option<&str>) -> Result<Option<String>, Refusal> {
    match Subject::presented(authorization).map_err(Refusal::CallerUnknown)? {
        Subject::Token(secret) => Ok(Some(secret.expose().to_owned())),
        Subject::Anonymous | Subject::Entity(_) => Ok(None),
    }
}

//! The subject's token in an HTTP request.

use crate::model::{Refusal, Subject};

/// Reads the `Authorization` values of one request, joined by commas as HTTP joins them.
///
/// # Errors
/// [`Refusal::Unauthenticated`] for what was presented and is no token.
pub(super) fn subject(authorization: Option<&str>) -> Result<Subject, Refusal> {
    Subject::presented(authorization).map_err(Refusal::Unauthenticated)
}

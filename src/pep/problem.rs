//! The body of a refused HTTP request (RFC 9457): for the end user, so without anything of the rules.

use serde::Serialize;

use super::status::Denial;
use crate::model::{Decision, DecisionId};

/// The media type of a [`Problem`].
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Longest `detail`, in bytes: an annotation may be long, and header and body buffers are small.
const MAX_DETAIL: usize = 1024;

/// Problem details with the id under which the decision log has the rest.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    decision_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Problem {
    /// What a denied request is told: the `@reason` and `@advice` of a policy that denied it.
    pub(super) fn of_deny(status: u16, id: DecisionId, decision: &Decision) -> Self {
        let mut told = decision.reasons.iter();
        let told = told.find(|it| it.reason.is_some() || it.advice.is_some());
        let text = |text: Option<&str>| text.map(|text| cut(text, MAX_DETAIL));
        Self {
            title: title(status),
            status,
            detail: text(told.and_then(|it| it.reason.as_deref()))
                .unwrap_or_else(|| "you may not do this".to_owned()),
            code: decision.cause.as_str(),
            decision_id: id.to_string(),
            advice: text(told.and_then(|it| it.advice.as_deref())),
        }
    }

    /// What a request is told about which nothing could be decided.
    pub(super) fn of_refusal(id: DecisionId, denial: &Denial) -> Self {
        Self {
            title: title(denial.status),
            status: denial.status,
            detail: cut(&denial.message, MAX_DETAIL),
            code: denial.reason,
            decision_id: id.to_string(),
            advice: None,
        }
    }

    /// The body.
    pub(super) fn to_json(&self) -> String {
        // A struct of texts and numbers has no JSON that can fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.get(..text.floor_char_boundary(most)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

/// The status' own phrase (RFC 9110 §15).
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Refused",
    }
}

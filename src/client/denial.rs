//! What a service answers in place of its own, when Doorward did not allow the request.

use serde::Serialize;
use tonic::{
    Code, Status,
    codegen::http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};

use super::{ClientError, Refused, Verdict};
use crate::{
    model::{Challenge, Rejection, RejectionCode, bearer_error},
    proto::v1::{self as wire, challenge::Kind},
};

/// The header with the decision's id.
const DECISION_ID: &str = "doorward-decision-id";

/// Why a request did not reach the service.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The HTTP status; never a success.
    pub status: StatusCode,
    /// The gRPC code; never `Ok`.
    pub code: Code,
    /// The stable reason, as `nothing_permits` or `token_expired`.
    pub reason: String,
    /// A sentence for the end user.
    pub detail: String,
    /// What the end user can do.
    pub advice: Option<String>,
    /// The id in the decision log; empty when nobody decided.
    pub decision_id: String,
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
}

impl Denial {
    fn new(status: StatusCode, code: Code, reason: &str, detail: &str) -> Self {
        Self {
            status,
            code,
            reason: reason.to_owned(),
            detail: detail.to_owned(),
            advice: None,
            decision_id: String::new(),
            challenge: None,
        }
    }

    /// The request can be read in two ways.
    pub(super) fn malformed(detail: &str) -> Self {
        let code = Code::InvalidArgument;
        Self::new(StatusCode::BAD_REQUEST, code, "malformed", detail)
    }

    /// The request means nothing that could be decided about.
    pub(super) fn unknown() -> Self {
        let detail = "nothing here answers to this request";
        let code = Code::PermissionDenied;
        Self::new(StatusCode::FORBIDDEN, code, "no_route", detail)
    }

    /// The credential in the request is none.
    pub(super) fn of_rejection(rejection: &Rejection) -> Self {
        if rejection.code == RejectionCode::MultipleCredentials {
            let detail = "the request carries several credentials";
            return Self {
                challenge: Some(bearer_error("invalid_request", detail)),
                ..Self::malformed(detail)
            };
        }
        let detail = "the access token was not accepted";
        let challenge = match rejection.code {
            RejectionCode::SchemeNotSupported => "Bearer".to_owned(),
            _ => bearer_error("invalid_token", detail),
        };
        let code = Code::Unauthenticated;
        Self {
            challenge: Some(challenge),
            ..Self::new(StatusCode::UNAUTHORIZED, code, "invalid_token", detail)
        }
    }

    /// A verdict other than allow.
    pub(super) fn of_verdict(verdict: &Verdict) -> Self {
        let decision = verdict.decision();
        let challenge = decision.challenge.as_ref().and_then(to_challenge);
        let (status, code) = match challenge {
            Some(Challenge::StepUp { .. }) => (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
            Some(Challenge::Scope(_)) | None => (StatusCode::FORBIDDEN, Code::PermissionDenied),
        };
        let mut told = decision.reasons.iter();
        let told = told.find(|it| !it.reason.is_empty() || !it.advice.is_empty());
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        let detail = told.and_then(|it| text(&it.reason));
        Self {
            advice: told.and_then(|it| text(&it.advice)),
            decision_id: decision.decision_id.clone(),
            challenge: challenge.map(|it| it.www_authenticate()),
            ..Self::new(
                status,
                code,
                cause(decision.cause()),
                detail.as_deref().unwrap_or("you may not do this"),
            )
        }
    }

    /// No verdict. What the end user did wrong is told; what we or the operator did is not.
    pub(super) fn of_error(error: &ClientError) -> Self {
        let ours = || {
            let detail = "no decision can be made now";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Self::new(status, Code::Unavailable, "unavailable", detail)
        };
        let ClientError::Refused(refused) = error else {
            return ours();
        };
        let Refused {
            reason,
            message,
            decision_id,
            ..
        } = refused.as_ref();
        let of = |status, code| Self::new(status, code, reason, message);
        let denial = match reason.as_str() {
            "token_missing" => Self {
                challenge: Some("Bearer".to_owned()),
                ..of(StatusCode::UNAUTHORIZED, Code::Unauthenticated)
            },
            "token_expired" | "invalid_token" | "subject_not_accepted" => Self {
                challenge: Some(bearer_error("invalid_token", message)),
                ..of(StatusCode::UNAUTHORIZED, Code::Unauthenticated)
            },
            "malformed" => of(StatusCode::BAD_REQUEST, Code::InvalidArgument),
            "too_large" => of(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            "overloaded" | "rate_limited" => {
                of(StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted)
            }
            "no_route" | "resource_mismatch" => of(StatusCode::FORBIDDEN, Code::PermissionDenied),
            _ => ours(),
        };
        Self {
            decision_id: decision_id.clone(),
            ..denial
        }
    }

    /// As an HTTP response with problem details (RFC 9457).
    pub fn into_http<B: From<String>>(self) -> Response<B> {
        let problem = Problem {
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: &self.reason,
            decision_id: &self.decision_id,
            advice: self.advice.as_deref(),
        };
        // A struct of texts and numbers has no JSON that can fail.
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = Response::new(B::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        self.common(headers);
        response
    }

    /// As a gRPC response.
    pub fn into_grpc<B: Default>(self) -> Response<B> {
        let mut response = Status::new(self.code, self.detail.clone()).into_http();
        self.common(response.headers_mut());
        response
    }

    fn common(&self, headers: &mut HeaderMap) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let challenge = self.challenge.as_deref();
        if let Some(Ok(challenge)) = challenge.map(HeaderValue::from_str) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let (false, Ok(id)) = (
            self.decision_id.is_empty(),
            HeaderValue::from_str(&self.decision_id),
        ) {
            headers.insert(DECISION_ID, id);
        }
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    decision_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
}

fn cause(it: wire::Cause) -> &'static str {
    match it {
        wire::Cause::Forbidden => "forbidden",
        wire::Cause::ForbidErrored => "forbid_errored",
        wire::Cause::Unspecified | wire::Cause::Permitted | wire::Cause::NothingPermits => {
            "nothing_permits"
        }
    }
}

fn to_challenge(it: &wire::Challenge) -> Option<Challenge> {
    Some(match it.kind.as_ref()? {
        Kind::Scope(scope) => Challenge::Scope(scope.as_str().into()),
        Kind::StepUp(step_up) => Challenge::StepUp {
            acr_values: Some(step_up.acr_values.as_str())
                .filter(|it| !it.is_empty())
                .map(Into::into),
            max_age_seconds: step_up
                .max_age
                .as_ref()
                .and_then(|it| u32::try_from(it.seconds).ok()),
        },
    })
}

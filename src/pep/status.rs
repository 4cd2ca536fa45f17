//! The one table from causes to answers.
//!
//! | refusal | gRPC status | `ErrorInfo.reason` | `ext_authz` |
//! |---|---|---|---|
//! | `Malformed` | `INVALID_ARGUMENT` + `BadRequest` | `malformed` | 3, 400 |
//! | `TooLarge`, `Overloaded` | `RESOURCE_EXHAUSTED` | `too_large`, `overloaded` | 8, 413 and 429 |
//! | `RateLimited` | `RESOURCE_EXHAUSTED` + `RetryInfo` | `rate_limited` | 8, 429 |
//! | `UnknownBundle`, `NoRoute` | `NOT_FOUND` | `unknown_bundle`, `no_route` | 14, 503 and 7, 403 |
//! | `CallerUnknown` | `UNAUTHENTICATED` | `caller_unknown` | 16, 403 |
//! | the same, for want of keys | `UNAVAILABLE` | `keys_unavailable` | 14, 503 |
//! | `CallerLacksRight` | `PERMISSION_DENIED` | `caller_lacks_right` | 7, 403 |
//! | `Unauthenticated` | `UNAUTHENTICATED` | `token_missing`, `token_expired`, `invalid_token`, `subject_not_accepted` | 16, 401 |
//! | the same, for several credentials | `UNAUTHENTICATED` | `invalid_token` | 3, 400 |
//! | the same, for want of keys | `UNAVAILABLE` | `keys_unavailable` | 14, 503 |
//! | `ResourceMismatch` | `PERMISSION_DENIED` | `resource_mismatch` | 7, 403 |
//! | `Stale`, `Unavailable` | `UNAVAILABLE` | `stale`, `unavailable` | 14, 503 |
//! | `DeadlineExceeded` | `DEADLINE_EXCEEDED` | `deadline_exceeded` | 14, 503 |
//!
//! | refusal | forward-auth | AuthZEN |
//! |---|---|---|
//! | `Malformed` | 400 | 400; 200 and `false` (404) for what the schema does not know |
//! | `TooLarge` | 403 | 413 |
//! | `Overloaded`, `RateLimited` | 429, 403 from nginx | 429 |
//! | `UnknownBundle` | 403 | 404 |
//! | `NoRoute` | 403 | 200 and `false` (404) |
//! | `CallerUnknown` | 403 | 401 |
//! | the same, for want of keys | 403 | 503 |
//! | `CallerLacksRight` | 403 | 403 |
//! | `Unauthenticated` | 401 | 200 and `false` (403) |
//! | the same, for several credentials | 400 | |
//! | the same, for want of keys | 403 | 503 |
//! | `ResourceMismatch` | 403 | 200 and `false` (403) |
//! | `Stale`, `Unavailable`, `DeadlineExceeded` | 403 | 503 |
//!
//! The precise reason of a rejected credential stays in the decision log, under the id that every
//! refusal carries: it would help whoever probes for a token that passes.

mod http;

pub(super) use http::{AuthzenStatus, to_authzen, to_forward_auth};

use std::collections::HashMap;

use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    model::{Refusal, RejectionCode, Violation},
    pdp::Refused,
    proto::v1 as wire,
};

/// The `ErrorInfo.domain` of every refusal.
pub const DOMAIN: &str = "doorward";
/// The response metadata key of a refusal's decision id.
pub const DECISION_ID: &str = "doorward-decision-id";

/// Details travel in a response header, of which clients accept 8 KiB: so many violations, each
/// text cut to so many bytes, stay within it.
const MAX_VIOLATIONS: usize = 12;
const MAX_TEXT: usize = 200;

/// The gRPC status of a refusal: its class and code for programs, a sentence for people, its
/// decision id for both.
pub fn to_status(refused: &Refused) -> Status {
    let id = refused.decision_id.to_string();
    let (code, reason, message) = class(&refused.refusal);
    let mut about = HashMap::from([("decision_id".to_owned(), id.clone())]);
    let mut details = ErrorDetails::new();
    match &refused.refusal {
        Refusal::Malformed(violations) => {
            let shown = violations.iter().take(MAX_VIOLATIONS).map(field_violation);
            details.set_bad_request(shown.collect::<Vec<_>>());
        }
        Refusal::CallerLacksRight { right, bundle } => {
            about.insert("right".to_owned(), right.to_string());
            about.insert("bundle".to_owned(), bundle.to_string());
        }
        Refusal::RateLimited { retry_after } => {
            details.set_retry_info(Some(*retry_after));
        }
        _ => {}
    }
    details.set_error_info(reason, DOMAIN, about);
    let mut metadata = MetadataMap::new();
    if let Ok(id) = MetadataValue::try_from(id) {
        metadata.insert(DECISION_ID, id);
    }
    Status::with_error_details_and_metadata(code, message, details, metadata)
}

/// The same as a message, for one question among others.
pub fn to_refusal(refused: &Refused) -> wire::Refusal {
    let (code, reason, message) = class(&refused.refusal);
    let violations = match &refused.refusal {
        Refusal::Malformed(violations) => violations.as_slice(),
        _ => &[],
    };
    let shown = violations.iter().take(MAX_VIOLATIONS).map(field_violation);
    wire::Refusal {
        code: code.into(),
        reason: reason.to_owned(),
        message,
        decision_id: refused.decision_id.to_string(),
        violations: shown
            .map(|it| wire::Violation {
                field: it.field,
                description: it.description,
                reason: it.reason,
            })
            .collect(),
    }
}

/// How a gateway answers its client when nothing could be decided: never with success.
#[derive(Debug)]
pub(super) struct Denial {
    /// The code within an ext_authz response; never `Ok`.
    pub(super) code: Code,
    /// The HTTP status.
    pub(super) status: u16,
    /// The stable reason.
    pub(super) reason: &'static str,
    /// The reason in words.
    pub(super) message: String,
}

/// The answer of Envoy's ext_authz to a refusal. The call itself succeeds: an error would obey the
/// proxy's `failure_mode_allow`.
pub(super) fn to_denial(refusal: &Refusal) -> Denial {
    let (code, status) = match refusal {
        Refusal::Malformed(_) => (Code::InvalidArgument, 400),
        Refusal::TooLarge { .. } => (Code::ResourceExhausted, 413),
        Refusal::Overloaded | Refusal::RateLimited { .. } => (Code::ResourceExhausted, 429),
        Refusal::NoRoute | Refusal::ResourceMismatch { .. } => (Code::PermissionDenied, 403),
        Refusal::CallerUnknown(rejection) => match rejection.code {
            RejectionCode::KeysUnavailable => (Code::Unavailable, 503),
            _ => (Code::Unauthenticated, 403),
        },
        Refusal::CallerLacksRight { .. } => (Code::PermissionDenied, 403),
        Refusal::Unauthenticated(rejection) => match rejected(rejection.code).0 {
            Code::Unauthenticated if rejection.code == RejectionCode::MultipleCredentials => {
                (Code::InvalidArgument, 400)
            }
            Code::Unauthenticated => (Code::Unauthenticated, 401),
            _ => (Code::Unavailable, 503),
        },
        Refusal::UnknownBundle
        | Refusal::Stale
        | Refusal::Unavailable { .. }
        | Refusal::DeadlineExceeded => (Code::Unavailable, 503),
    };
    let (_, reason, message) = class(refusal);
    Denial {
        code,
        status,
        reason,
        message,
    }
}

/// The code within an `ext_authz` response for what the gRPC library refused by itself, before any
/// handler saw it.
pub(super) fn to_rim_code(code: Code) -> Code {
    match code {
        Code::OutOfRange | Code::ResourceExhausted => Code::ResourceExhausted,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Code::Unavailable,
        _ => Code::InvalidArgument,
    }
}

/// What a caller may know of a refusal: code, reason and sentence.
fn class(refusal: &Refusal) -> (Code, &'static str, String) {
    let (code, reason, message) = match refusal {
        Refusal::Malformed(violations) => {
            let first = violations.first().map(|it| cut(&it.to_string()));
            let first = first.unwrap_or_else(|| "it cannot be understood".to_owned());
            let message = match violations.len() {
                0 | 1 => format!("malformed request: {first}"),
                more => format!("malformed request: {first} (and {} more)", more - 1),
            };
            return (Code::InvalidArgument, "malformed", message);
        }
        Refusal::TooLarge { what, limit } => {
            let message = format!("{what} over the limit of {limit}");
            return (Code::ResourceExhausted, "too_large", message);
        }
        Refusal::CallerLacksRight { right, bundle } => {
            let message = format!("you lack the right `{right}` for bundle `{bundle}`");
            return (Code::PermissionDenied, "caller_lacks_right", message);
        }
        Refusal::ResourceMismatch { path } => {
            let message = format!("`{}` differs from what is stored", cut(path));
            return (Code::PermissionDenied, "resource_mismatch", message);
        }
        Refusal::Unauthenticated(rejection) => rejected(rejection.code),
        Refusal::CallerUnknown(rejection) if rejection.code == RejectionCode::KeysUnavailable => {
            rejected(rejection.code)
        }
        Refusal::UnknownBundle => (Code::NotFound, "unknown_bundle", "no such bundle"),
        Refusal::NoRoute => (
            Code::NotFound,
            "no_route",
            "no route of the bundle matches the request",
        ),
        Refusal::CallerUnknown(_) => (
            Code::Unauthenticated,
            "caller_unknown",
            "your own credential was not accepted",
        ),
        Refusal::Stale => (
            Code::Unavailable,
            "stale",
            "the revision asked for is not here yet",
        ),
        Refusal::Unavailable { .. } => (
            Code::Unavailable,
            "unavailable",
            "no decision can be made now",
        ),
        Refusal::DeadlineExceeded => (
            Code::DeadlineExceeded,
            "deadline_exceeded",
            "the decision took too long",
        ),
        Refusal::Overloaded => (
            Code::ResourceExhausted,
            "overloaded",
            "too many requests at once",
        ),
        Refusal::RateLimited { .. } => (
            Code::ResourceExhausted,
            "rate_limited",
            "you ask more often than you may",
        ),
    };
    (code, reason, message.to_owned())
}

/// The class of a rejected subject.
fn rejected(code: RejectionCode) -> (Code, &'static str, &'static str) {
    use RejectionCode as R;
    match code {
        R::TokenMissing => (
            Code::Unauthenticated,
            "token_missing",
            "no access token was presented",
        ),
        R::TokenExpired => (
            Code::Unauthenticated,
            "token_expired",
            "the access token has expired",
        ),
        R::PrincipalUnmapped => (
            Code::Unauthenticated,
            "subject_not_accepted",
            "the bundle has no principal for this subject",
        ),
        R::KeysUnavailable => (
            Code::Unavailable,
            "keys_unavailable",
            "the issuer's keys are not at hand",
        ),
        R::TokenMalformed
        | R::MultipleCredentials
        | R::SchemeNotSupported
        | R::JweNotSupported
        | R::TokenTooLarge
        | R::HeaderMalformed
        | R::PayloadMalformed
        | R::DuplicateMember
        | R::AlgNotAllowed
        | R::AlgKeyMismatch
        | R::SignatureInvalid
        | R::CritNotSupported
        | R::TypNotAccepted
        | R::NestedNotSupported
        | R::KidMissing
        | R::KidUnknown
        | R::KidAmbiguous
        | R::KeyMismatch
        | R::IssUnknown
        | R::IssKeyMismatch
        | R::IssuerNotAccepted
        | R::AudMismatch
        | R::TokenNotYetValid
        | R::TokenLifetime
        | R::ClaimInvalid
        | R::ClaimReservedKey
        | R::ClaimOverflow
        | R::PopNotSupported
        | R::TokenRevoked
        | R::CallerUnknown => (
            Code::Unauthenticated,
            "invalid_token",
            "the access token was not accepted",
        ),
    }
}

fn field_violation(violation: &Violation) -> FieldViolation {
    FieldViolation {
        field: cut(&violation.field),
        description: cut(&violation.message),
        reason: violation.code.to_owned(),
        localized_message: None,
    }
}

fn cut(text: &str) -> String {
    match text.get(..text.floor_char_boundary(MAX_TEXT)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{BundleName, DecisionId, Rejection, Right};

    fn status(refusal: Refusal) -> (Status, String) {
        let id = DecisionId::new("2030-01-01T09:00:00Z".parse().unwrap());
        (to_status(&Refused::new(id, refusal)), id.to_string())
    }

    #[track_caller]
    fn check(refusal: Refusal, code: Code, reason: &str) {
        let (status, id) = status(refusal);
        assert_eq!(status.code(), code, "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            (reason, DOMAIN)
        );
        assert_eq!(info.metadata["decision_id"], id);
        assert_eq!(status.metadata().get(DECISION_ID).unwrap(), id.as_str());
        assert!(!status.message().is_empty());
    }

    #[test]
    fn every_refusal_has_its_class() {
        let lacks = Refusal::CallerLacksRight {
            right: Right::Vouch,
            bundle: BundleName::new("orders"),
        };
        let mismatch = Refusal::ResourceMismatch {
            path: "resource.tenant".to_owned(),
        };
        let too_large = Refusal::TooLarge {
            what: "values",
            limit: 4096,
        };
        let retry_after = Duration::from_millis(1500);
        let limited = Refusal::RateLimited { retry_after };
        let unavailable = Refusal::Unavailable {
            detail: "sekret".to_owned(),
        };
        let unknown =
            Refusal::CallerUnknown(Rejection::new(RejectionCode::CallerUnknown, "sekret"));
        for (refusal, code, reason) in [
            (
                Refusal::malformed("subject", "missing", "is required"),
                Code::InvalidArgument,
                "malformed",
            ),
            (too_large, Code::ResourceExhausted, "too_large"),
            (Refusal::Overloaded, Code::ResourceExhausted, "overloaded"),
            (limited, Code::ResourceExhausted, "rate_limited"),
            (Refusal::UnknownBundle, Code::NotFound, "unknown_bundle"),
            (unknown, Code::Unauthenticated, "caller_unknown"),
            (lacks, Code::PermissionDenied, "caller_lacks_right"),
            (mismatch, Code::PermissionDenied, "resource_mismatch"),
            (Refusal::Stale, Code::Unavailable, "stale"),
            (unavailable, Code::Unavailable, "unavailable"),
            (
                Refusal::DeadlineExceeded,
                Code::DeadlineExceeded,
                "deadline_exceeded",
            ),
        ] {
            assert!(!status(refusal.clone()).0.message().contains("sekret"));
            check(refusal, code, reason);
        }
    }

    #[test]
    fn a_rejected_credential_is_told_in_four_words_only() {
        for (code, reason) in [
            (RejectionCode::TokenMissing, "token_missing"),
            (RejectionCode::TokenExpired, "token_expired"),
            (RejectionCode::PrincipalUnmapped, "subject_not_accepted"),
            (RejectionCode::SignatureInvalid, "invalid_token"),
            (RejectionCode::KidUnknown, "invalid_token"),
            (RejectionCode::AudMismatch, "invalid_token"),
            (RejectionCode::TokenRevoked, "invalid_token"),
        ] {
            let refusal = Refusal::Unauthenticated(Rejection::new(code, "sekret"));
            let (status, _) = status(refusal.clone());
            assert!(!format!("{status:?}").contains("sekret"));
            check(refusal, Code::Unauthenticated, reason);
        }
        let keys = Rejection::new(RejectionCode::KeysUnavailable, "");
        check(
            Refusal::Unauthenticated(keys),
            Code::Unavailable,
            "keys_unavailable",
        );
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_ask_again() {
        let retry_after = Duration::from_millis(1500);
        let (limited, _) = status(Refusal::RateLimited { retry_after });
        let told = limited.get_details_retry_info().unwrap();
        assert_eq!(told.retry_delay, Some(retry_after));
        let (busy, _) = status(Refusal::Overloaded);
        assert!(busy.get_details_retry_info().is_none());
    }

    #[test]
    fn violations_name_their_fields() {
        let (status, _) = status(Refusal::malformed(
            "context.ip",
            "wrong_type",
            "expected an ip",
        ));
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "context.ip");
        assert_eq!(bad.field_violations[0].reason, "wrong_type");
        assert_eq!(bad.field_violations[0].description, "expected an ip");
        assert!(status.message().contains("context.ip"));
    }

    #[test]
    fn details_fit_a_header_whatever_was_sent() {
        let violation = Violation {
            field: "é".repeat(10_000),
            code: "missing",
            message: "x".repeat(10_000),
        };
        let (status, _) = status(Refusal::Malformed(vec![violation; 1000]));
        // Base64 makes four bytes of three.
        assert!(
            status.details().len() * 4 / 3 < 8 * 1024,
            "{}",
            status.details().len()
        );
        assert!(status.message().len() < 1024);
    }
}

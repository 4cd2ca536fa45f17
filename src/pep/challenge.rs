//! `WWW-Authenticate`: what would help whoever was turned away (RFC 6750 §3, RFC 9470 §3).

use super::status::Denial;
use crate::model::{Challenge, Refusal, RejectionCode, bearer_error};

/// The challenge of a rejected credential.
pub(super) fn of_refusal(refusal: &Refusal, denial: &Denial) -> Option<String> {
    let Refusal::Unauthenticated(rejection) = refusal else {
        return None;
    };
    match rejection.code {
        // RFC 6750 §3.1: no error where nothing was presented in a way we understand.
        RejectionCode::TokenMissing | RejectionCode::SchemeNotSupported => {
            Some("Bearer".to_owned())
        }
        RejectionCode::KeysUnavailable => None,
        RejectionCode::MultipleCredentials => {
            Some(bearer_error("invalid_request", &denial.message))
        }
        _ => Some(bearer_error("invalid_token", &denial.message)),
    }
}

/// The challenge that a policy's annotation asks for.
pub(super) fn of_deny(challenge: &Challenge) -> String {
    challenge.www_authenticate()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Rejection, pep::status::to_denial};

    #[track_caller]
    fn check(code: RejectionCode, expected: Option<&str>) {
        let refusal = Refusal::Unauthenticated(Rejection::new(code, "sekret"));
        let challenge = of_refusal(&refusal, &to_denial(&refusal));
        assert_eq!(challenge.as_deref(), expected, "{code}");
    }

    #[test]
    fn a_rejected_credential_is_answered_with_its_class() {
        check(RejectionCode::TokenMissing, Some("Bearer"));
        check(RejectionCode::SchemeNotSupported, Some("Bearer"));
        check(
            RejectionCode::TokenExpired,
            Some(
                "Bearer error=\"invalid_token\", error_description=\"the access token has expired\"",
            ),
        );
        check(RejectionCode::KeysUnavailable, None);
        let mismatch = Refusal::ResourceMismatch { path: "x".into() };
        assert_eq!(of_refusal(&mismatch, &to_denial(&mismatch)), None);
    }
}

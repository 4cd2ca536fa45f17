//! `WWW-Authenticate`: what would help whoever was turned away (RFC 6750 §3, RFC 9470 §3).

use super::status::Denial;
use crate::model::{Challenge, Refusal, RejectionCode};

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
        RejectionCode::MultipleCredentials => Some(bearer("invalid_request", &denial.message)),
        _ => Some(bearer("invalid_token", &denial.message)),
    }
}

/// The challenge that a policy's annotation asks for.
pub(super) fn of_deny(challenge: &Challenge) -> String {
    match challenge {
        Challenge::Scope(scope) => {
            let more = "the token lacks a scope";
            let scope = quoted(scope);
            format!("{}, scope={scope}", bearer("insufficient_scope", more))
        }
        Challenge::StepUp {
            acr_values,
            max_age_seconds,
        } => {
            let more = "a stronger or more recent login is needed";
            let mut text = bearer("insufficient_user_authentication", more);
            if let Some(acr_values) = acr_values {
                text.push_str(&format!(", acr_values={}", quoted(acr_values)));
            }
            if let Some(seconds) = max_age_seconds {
                text.push_str(&format!(", max_age=\"{seconds}\""));
            }
            text
        }
    }
}

fn bearer(error: &str, description: &str) -> String {
    let description = quoted(description);
    format!("Bearer error=\"{error}\", error_description={description}")
}

/// A quoted-string (RFC 9110 §5.6.4) of printable ASCII.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
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

    #[test]
    fn annotations_become_challenges() {
        let scope = of_deny(&Challenge::Scope("orders:write".into()));
        assert!(scope.contains("error=\"insufficient_scope\""), "{scope}");
        assert!(scope.ends_with("scope=\"orders:write\""), "{scope}");
        let step_up = of_deny(&Challenge::StepUp {
            acr_values: Some("urn:a\\\"b\r\n é".into()),
            max_age_seconds: Some(300),
        });
        assert!(
            step_up.ends_with("acr_values=\"urn:a\\\\\\\"b?? ?\", max_age=\"300\""),
            "{step_up}"
        );
    }
}

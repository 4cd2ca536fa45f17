//! Why a token is accepted or refused, check by check, for the person who asks.
//!
//! **Invariant:** runs the very code of [`TrustedKeys::verify`], and shows nothing of the token but
//! what its checks establish.

use std::fmt;

use serde::Serialize;

use crate::model::{AccessToken, Rejection, Timestamp};

use super::{keys::TrustedKeys, verify::TokenScope};

/// A check of verification; they are made in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Three segments of base64url, not too large.
    Form,
    /// The JOSE header.
    Header,
    /// The payload is one JSON object.
    Payload,
    /// `iss` is that of a trusted issuer.
    Issuer,
    /// Algorithm and `kid` choose one key of that issuer.
    Key,
    /// The signature.
    Signature,
    /// It is an access token.
    Kind,
    /// Every claim is of its type.
    Claims,
    /// The bundle accepts the issuer.
    Bundle,
    /// It is meant for this service.
    Audience,
    /// It is valid now.
    Times,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 11] = [
        Self::Form,
        Self::Header,
        Self::Payload,
        Self::Issuer,
        Self::Key,
        Self::Signature,
        Self::Kind,
        Self::Claims,
        Self::Bundle,
        Self::Audience,
        Self::Times,
    ];

    /// The name that people and scripts see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Kind => "kind",
            Self::Claims => "claims",
            Self::Bundle => "bundle",
            Self::Audience => "audience",
            Self::Times => "times",
        }
    }
}

/// What came of each check; after the first failure the rest are not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Whether a request with this token would be accepted.
    pub accepted: bool,
    /// One step per check, in order.
    pub steps: Vec<Step>,
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub check: Check,
    /// What came of it.
    pub outcome: StepOutcome,
    /// The code of a failure, as records have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What was found, or what is wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Passed, failed, or not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// An earlier one failed.
    NotMade,
}

/// Verifies a token and tells of each check.
pub fn inspect(
    token: &AccessToken,
    keys: &TrustedKeys,
    scope: &TokenScope<'_>,
    now: Timestamp,
) -> Inspection {
    let mut steps = Vec::with_capacity(Check::ALL.len());
    let verified = keys.verify_aloud(token, scope, now, &mut |check, detail| {
        steps.push(Step {
            check,
            outcome: StepOutcome::Passed,
            code: None,
            detail: detail(),
        });
    });
    let accepted = verified.is_ok();
    let mut rejection: Option<Rejection> = verified.err();
    for check in Check::ALL.into_iter().skip(steps.len()) {
        steps.push(match rejection.take() {
            Some(rejection) => Step {
                check,
                outcome: StepOutcome::Failed,
                code: Some(rejection.code.as_str()),
                detail: rejection.detail,
            },
            None => Step {
                check,
                outcome: StepOutcome::NotMade,
                code: None,
                detail: String::new(),
            },
        });
    }
    Inspection { accepted, steps }
}

impl fmt::Display for Inspection {
    /// One line per check.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let (mark, code) = match step.outcome {
                StepOutcome::Passed => ("ok", ""),
                StepOutcome::Failed => ("FAIL", step.code.unwrap_or_default()),
                StepOutcome::NotMade => ("-", ""),
            };
            let colon = if code.is_empty() { "" } else { ": " };
            let line = format!(
                "{mark:<5}{:<10}{code}{colon}{}",
                step.check.as_str(),
                step.detail
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        f.write_str(match self.accepted {
            true => "accepted",
            false => "refused",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{authn::testing::*, model::IssuerName};

    fn inspected(token: &str, scope: &TokenScope<'_>) -> Inspection {
        inspect(&AccessToken::new(token), &trust(&[corp()]), scope, now())
    }

    /// Asserts that this check, and no earlier one, fails with this code, and nothing is told.
    #[track_caller]
    fn check(failing: Check, code: &str, token: &str, scope: &TokenScope<'_>) {
        let inspection = inspected(token, scope);
        assert!(!inspection.accepted);
        let order: Vec<_> = inspection.steps.iter().map(|step| step.check).collect();
        assert_eq!(order, Check::ALL);
        let at = Check::ALL
            .iter()
            .position(|check| *check == failing)
            .unwrap();
        for (n, step) in inspection.steps.iter().enumerate() {
            let expected = match n.cmp(&at) {
                std::cmp::Ordering::Less => StepOutcome::Passed,
                std::cmp::Ordering::Equal => StepOutcome::Failed,
                std::cmp::Ordering::Greater => StepOutcome::NotMade,
            };
            assert_eq!(step.outcome, expected, "{inspection}");
        }
        assert_eq!(inspection.steps[at].code, Some(code), "{inspection}");
        assert!(!inspection.to_string().contains("alice"), "{inspection}");
        for segment in token.split('.').filter(|segment| segment.len() > 8) {
            assert!(!inspection.to_string().contains(segment), "{inspection}");
        }
    }

    #[test]
    fn a_good_token_passes_every_check() {
        let token = RSA.token(&header(), &payload());
        let inspection = inspected(&token, &TokenScope::default());
        assert!(inspection.accepted, "{inspection}");
        assert_eq!(inspection.steps.len(), Check::ALL.len());
        let text = inspection.to_string();
        assert!(text.contains("ok   issuer    `corp`"), "{text}");
        assert!(text.ends_with("\naccepted"), "{text}");
        assert!(!text.contains("alice") && !text.contains(&token), "{text}");
        let json = serde_json::to_value(&inspection).unwrap();
        assert_eq!(json["steps"][0]["outcome"], "passed");
    }

    #[test]
    fn a_bad_token_fails_at_the_check_that_it_fails() {
        let any = TokenScope::default();
        let token =
            |header: &serde_json::Value, payload: &serde_json::Value| RSA.token(header, payload);
        check(Check::Form, "token_malformed", "a.b", &any);
        let alg = with(&header(), "alg", json!("none"));
        check(
            Check::Header,
            "alg_not_allowed",
            &token(&alg, &payload()),
            &any,
        );
        check(
            Check::Payload,
            "payload_malformed",
            &token(&header(), &json!([])),
            &any,
        );
        let iss = with(&payload(), "iss", json!("https://evil.example/"));
        check(Check::Issuer, "iss_unknown", &token(&header(), &iss), &any);
        let kid = with(&header(), "kid", json!("unknown-key"));
        check(Check::Key, "kid_unknown", &token(&kid, &payload()), &any);
        let alg = with(&header(), "alg", json!("PS256"));
        check(
            Check::Key,
            "alg_not_allowed",
            &token(&alg, &payload()),
            &any,
        );
        let forged = OTHER_RSA.token(&header(), &payload());
        check(Check::Signature, "signature_invalid", &forged, &any);
        let id_token = with(&payload(), "nonce", json!("n-secret"));
        check(
            Check::Kind,
            "typ_not_accepted",
            &token(&header(), &id_token),
            &any,
        );
        let claims = with(&payload(), "sub", json!(1));
        check(
            Check::Claims,
            "claim_invalid",
            &token(&header(), &claims),
            &any,
        );
        let others = [IssuerName::new("other")];
        let elsewhere = TokenScope {
            issuers: Some(&others),
            audiences: None,
        };
        let good = token(&header(), &payload());
        check(Check::Bundle, "issuer_not_accepted", &good, &elsewhere);
        let aud = with(&payload(), "aud", json!("other-audience"));
        check(
            Check::Audience,
            "aud_mismatch",
            &token(&header(), &aud),
            &any,
        );
        let exp = with(&payload(), "exp", json!(NOW - 100));
        check(Check::Times, "token_expired", &token(&header(), &exp), &any);
    }
}

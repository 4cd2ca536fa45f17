//! Answers and refusals, for people and for programs.

use serde_json::{Value as Json, json};

use crate::{
    cli::output::{Style, shown},
    client::Refused,
    proto::v1::{Cause, Decision, Effect, Outcome, challenge},
};

/// An answer for people.
pub(super) fn answer(it: &Decision, style: Style) -> String {
    let head = match it.outcome() {
        Outcome::Allow => style.good("ALLOW"),
        Outcome::Deny | Outcome::Unspecified => style.bad("DENY"),
    };
    let mut out = format!("{head}  {}\n", because(it.cause()));
    let mut line = |label: &str, text: &str| out.push_str(&format!("  {label:<9}{text}\n"));
    for reason in &it.reasons {
        let place = match reason.place.is_empty() {
            true => String::new(),
            false => style.dim(&format!("  {}", shown(&reason.place))),
        };
        line(
            effect(reason.effect()),
            &format!("{}{place}", shown(&reason.policy_id)),
        );
        for text in [&reason.reason, &reason.advice] {
            if !text.is_empty() {
                line("", &shown(text));
            }
        }
    }
    for error in &it.errors {
        let what = [error.code.as_str(), error.message.as_str()].join(" ");
        line(
            "error",
            &format!(
                "{} ({}): {}",
                shown(&error.policy_id),
                effect(error.effect()),
                shown(what.trim())
            ),
        );
    }
    for obligation in &it.obligations {
        line(
            "must",
            &format!(
                "{}  {}",
                shown(&obligation.text),
                style.dim(&shown(&obligation.policy_id))
            ),
        );
    }
    if let Some(kind) = it.challenge.as_ref().and_then(|it| it.kind.as_ref()) {
        line("helps", &shown(&what_helps(kind)));
    }
    let digest: String = it.bundle_digest.chars().take(12).collect();
    line(
        "bundle",
        &format!("{} {}", shown(&it.bundle), style.dim(&shown(&digest))),
    );
    line("decision", &style.dim(&shown(&it.decision_id)));
    out
}

/// A refusal for people, with what to do about it.
pub(in crate::cli) fn refusal(it: &Refused, style: Style) -> String {
    let reason = match it.reason.is_empty() {
        true => format!("{:?}", it.code),
        false => shown(&it.reason),
    };
    // The message repeats the first violation, for clients that read no details.
    let message = match it.violations.is_empty() {
        true => shown(&it.message),
        false => "the request cannot be understood".to_owned(),
    };
    let mut out = format!("{}  {reason}: {message}\n", style.bad("REFUSED"));
    for (field, message) in &it.violations {
        out.push_str(&format!(
            "  {:<9}{} {}\n",
            "field",
            shown(field),
            shown(message)
        ));
    }
    if let Some(hint) = hint(it) {
        out.push_str(&format!("  {:<9}{hint}\n", "try"));
    }
    if !it.decision_id.is_empty() {
        out.push_str(&format!(
            "  {:<9}{}\n",
            "decision",
            style.dim(&shown(&it.decision_id))
        ));
    }
    out
}

/// An answer for programs, in the words of the decision log.
pub(super) fn json(it: &Decision) -> String {
    let text = |text: &str| match text.is_empty() {
        true => Json::Null,
        false => Json::from(text),
    };
    let reasons = it.reasons.iter().map(|it| {
        json!({
            "policy_id": it.policy_id, "effect": effect(it.effect()), "reason": text(&it.reason),
            "advice": text(&it.advice), "place": text(&it.place),
        })
    });
    let errors = it.errors.iter().map(|it| {
        json!({
            "policy_id": it.policy_id, "effect": effect(it.effect()), "code": it.code,
            "message": text(&it.message),
        })
    });
    let obligations = it
        .obligations
        .iter()
        .map(|it| json!({ "policy_id": it.policy_id, "text": it.text }));
    let challenge = it.challenge.as_ref().and_then(|it| it.kind.as_ref());
    line(&json!({
        "outcome": match it.outcome() {
            Outcome::Allow => "allow",
            Outcome::Deny | Outcome::Unspecified => "deny",
        },
        "cause": cause(it.cause()),
        "decision_id": it.decision_id,
        "reasons": reasons.collect::<Vec<_>>(),
        "errors": errors.collect::<Vec<_>>(),
        "obligations": obligations.collect::<Vec<_>>(),
        "challenge": challenge.map(|it| match it {
            challenge::Kind::Scope(scope) => json!({ "scope": scope }),
            challenge::Kind::StepUp(step_up) => json!({ "step_up": {
                "acr_values": text(&step_up.acr_values),
                "max_age_seconds": step_up.max_age.map(|it| it.seconds),
            }}),
        }),
        "bundle": it.bundle,
        "bundle_digest": it.bundle_digest,
        "revision": it.revision,
        "cacheable_for_seconds": it.cacheable_for.map_or(0, |it| it.seconds),
    }))
}

/// A refusal for programs.
pub(in crate::cli) fn json_refusal(it: &Refused) -> String {
    let violations = it.violations.iter();
    line(&json!({
        "outcome": "refused",
        "code": format!("{:?}", it.code),
        "reason": it.reason,
        "message": it.message,
        "decision_id": it.decision_id,
        "violations": violations
            .map(|(field, message)| json!({ "field": field, "message": message }))
            .collect::<Vec<_>>(),
    }))
}

fn line(json: &Json) -> String {
    format!("{json}\n")
}

fn because(it: Cause) -> &'static str {
    match it {
        Cause::Permitted => "a policy permits it and none forbids it",
        Cause::Forbidden => "a policy forbids it",
        Cause::ForbidErrored => "a policy that may forbid it could not be evaluated",
        Cause::NothingPermits => "no policy permits it",
        Cause::Unspecified => "for a cause this client does not know",
    }
}

fn cause(it: Cause) -> &'static str {
    match it {
        Cause::Permitted => "permitted",
        Cause::Forbidden => "forbidden",
        Cause::ForbidErrored => "forbid_errored",
        Cause::NothingPermits => "nothing_permits",
        Cause::Unspecified => "unknown",
    }
}

fn effect(it: Effect) -> &'static str {
    match it {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
        Effect::Unspecified => "policy",
    }
}

fn what_helps(it: &challenge::Kind) -> String {
    match it {
        challenge::Kind::Scope(scope) => format!("a token with the scope `{scope}`"),
        challenge::Kind::StepUp(step_up) => {
            let acr = match step_up.acr_values.as_str() {
                "" => String::new(),
                acr => format!(" with `{acr}`"),
            };
            let age = step_up
                .max_age
                .map(|it| format!(", at most {} s ago", it.seconds));
            format!("a login{acr}{}", age.unwrap_or_default())
        }
    }
}

/// What to do about a refusal, by its reason.
fn hint(it: &Refused) -> Option<String> {
    let hint = match it.reason.as_str() {
        "token_missing" => "give the subject's access token with `--token`",
        "token_expired" => "get a new token; `doorward token` makes one for a development server",
        "invalid_token" => {
            let id = shown(&it.decision_id);
            return Some(format!(
                "the precise reason is for the operator alone: doorward why {id}"
            ));
        }
        "subject_not_accepted" => {
            "look at `[[principal]]` in bundle.toml: the first whose `when` holds makes the principal"
        }
        "keys_unavailable" => "look at the server's log: the issuer's keys cannot be read",
        "caller_unknown" => {
            "give your own secret with `--caller-token`; the server knows its callers from `[[caller]]`"
        }
        "caller_lacks_right" => "the operator grants rights in `may` of your `[[caller]]`",
        "unknown_bundle" => {
            "name a bundle with `--bundle`; `/readyz` on the server's probe port lists them"
        }
        "no_route" => {
            "add a `[[route]]` for this method and path, or ask with `--action` and `--resource`"
        }
        "resource_mismatch" => "leave the fact out, or state it as it is stored",
        "unavailable" | "stale" => "look at `/readyz` on the server's probe port",
        "overloaded" | "deadline_exceeded" => "try again",
        "rate_limited" => {
            let wait = it.retry_after.unwrap_or_default();
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            return Some(format!("try again in {seconds} s"));
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Code;
    use crate::proto::v1::{Challenge, Obligation, Reason, StepUp};

    fn denied() -> Decision {
        Decision {
            outcome: Outcome::Deny.into(),
            decision_id: "0190".to_owned(),
            cause: Cause::Forbidden.into(),
            reasons: vec![Reason {
                policy_id: "step-up".to_owned(),
                effect: Effect::Forbid.into(),
                reason: "Needs a second factor.".to_owned(),
                advice: "Log in\u{1b}[2J again.".to_owned(),
                place: "orders.cedar:4".to_owned(),
            }],
            challenge: Some(Challenge {
                kind: Some(challenge::Kind::StepUp(StepUp {
                    acr_values: "urn:acr:mfa".to_owned(),
                    max_age: Some(prost_types::Duration {
                        seconds: 300,
                        nanos: 0,
                    }),
                })),
            }),
            bundle: "orders".to_owned(),
            bundle_digest: "abcdef0123456789".to_owned(),
            ..Decision::default()
        }
    }

    #[test]
    fn a_denial_says_who_forbids_why_and_what_helps() {
        assert_eq!(
            answer(&denied(), Style::plain()),
            "DENY  a policy forbids it
  forbid   step-up  orders.cedar:4
           Needs a second factor.
           Log in\\u{1b}[2J again.
  helps    a login with `urn:acr:mfa`, at most 300 s ago
  bundle   orders abcdef012345
  decision 0190
"
        );
    }

    #[test]
    fn an_allow_says_what_must_be_done() {
        let allowed = Decision {
            outcome: Outcome::Allow.into(),
            cause: Cause::Permitted.into(),
            obligations: vec![Obligation {
                policy_id: "managers-refund".to_owned(),
                text: "notify=owner".to_owned(),
            }],
            reasons: Vec::new(),
            challenge: None,
            ..denied()
        };
        let text = answer(&allowed, Style::plain());
        assert!(text.starts_with("ALLOW  a policy permits it"), "{text}");
        assert!(
            text.contains("must     notify=owner  managers-refund\n"),
            "{text}"
        );
    }

    #[test]
    fn an_outcome_that_is_not_known_is_shown_as_a_denial() {
        let unknown = Decision {
            outcome: 99,
            ..denied()
        };
        assert!(answer(&unknown, Style::plain()).starts_with("DENY"));
        assert!(json(&unknown).contains("\"outcome\":\"deny\""));
    }

    #[test]
    fn json_has_the_words_of_the_decision_log() {
        let json: Json = serde_json::from_str(&json(&denied())).unwrap();
        assert_eq!(json["outcome"], "deny");
        assert_eq!(json["cause"], "forbidden");
        assert_eq!(json["reasons"][0]["policy_id"], "step-up");
        assert_eq!(json["challenge"]["step_up"]["max_age_seconds"], 300);
        assert_eq!(json["cacheable_for_seconds"], 0);
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = Refused {
            code: Code::InvalidArgument,
            reason: "caller_unknown".to_owned(),
            message: "your own credential was not accepted".to_owned(),
            decision_id: "0191".to_owned(),
            violations: vec![("subject".to_owned(), "is required".to_owned())],
            retry_after: None,
        };
        let text = refusal(&refused, Style::plain());
        for part in [
            "REFUSED  caller_unknown: the request cannot",
            "field    subject is required",
            "`--caller-token`",
            "decision 0191",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let json: Json = serde_json::from_str(&json_refusal(&refused)).unwrap();
        assert_eq!(json["outcome"], "refused");
        assert_eq!(json["violations"][0]["field"], "subject");
    }
    #[test]
    fn who_asks_too_often_is_told_when_to_ask_again() {
        for (millis, says) in [(0, "in 0 s"), (1_000, "in 1 s"), (1_001, "in 2 s")] {
            let refused = Refused {
                code: Code::ResourceExhausted,
                reason: "rate_limited".to_owned(),
                message: String::new(),
                decision_id: String::new(),
                violations: Vec::new(),
                retry_after: Some(std::time::Duration::from_millis(millis)),
            };
            let told = hint(&refused).unwrap();
            assert!(told.ends_with(says), "{told}");
        }
    }
}

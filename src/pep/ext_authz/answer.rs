//! From an `Answer`, or a refusal, to Envoy's `CheckResponse`.

use std::collections::HashMap;

use envoy_types::{
    ext_authz::v3::pb::{
        CheckResponse, DeniedHttpResponse, HeaderAppendAction, HeaderValue, HeaderValueOption,
        HttpResponse, HttpStatus, OkHttpResponse,
    },
    pb::google::{
        protobuf::{ListValue, Struct, Value, value::Kind},
        rpc,
    },
};
use tonic::Code;

use super::headers::Seen;
use crate::{
    config::IdentityHeaders,
    model::{Challenge, Outcome},
    pdp::{Answer, Refused},
    pep::{
        challenge, identity,
        problem::{self, Problem},
        status::{DECISION_ID, to_denial},
    },
};

/// What a response says. There is no third.
enum Ruling {
    Allowed(OkHttpResponse),
    Denied {
        code: Code,
        status: u16,
        challenge: Option<String>,
        problem: Option<Problem>,
    },
}

/// A decision.
pub(super) fn to_check_response(
    answer: &Answer,
    identity: &IdentityHeaders,
    seen: &Seen,
) -> CheckResponse {
    let decision = answer.decision();
    let ruling = match (decision.outcome, &decision.challenge) {
        (Outcome::Allow, _) => Ruling::Allowed(allowed(answer, identity, seen)),
        (Outcome::Deny, challenge) => {
            let (code, status) = match challenge {
                Some(Challenge::StepUp { .. }) => (Code::Unauthenticated, 401),
                Some(Challenge::Scope(_)) | None => (Code::PermissionDenied, 403),
            };
            Ruling::Denied {
                code,
                status,
                challenge: challenge.as_ref().map(challenge::of_deny),
                problem: Some(Problem::of_deny(status, answer.decision_id(), decision)),
            }
        }
    };
    let policies = decision.reasons.iter();
    let obligations = decision.obligations.iter();
    let metadata = [
        ("decision_id", text(answer.decision_id().to_string())),
        ("outcome", text(decision.outcome.as_str())),
        ("cause", text(decision.cause.as_str())),
        ("bundle", text(answer.bundle().as_str())),
        ("bundle_digest", text(answer.digest().to_string())),
        ("revision", text(answer.revision().to_string())),
        ("policies", list(policies.map(|it| text(&*it.policy_id)))),
        ("obligations", list(obligations.map(|it| text(&*it.text)))),
        ("body_truncated", Kind::BoolValue(seen.body_truncated)),
    ];
    response(ruling, answer.decision_id().to_string(), metadata.into())
}

/// A refusal, as a denied response.
pub(super) fn to_refusal(refused: &Refused) -> CheckResponse {
    let Refused {
        decision_id,
        refusal,
    } = refused;
    let denial = to_denial(refusal);
    let ruling = Ruling::Denied {
        code: denial.code,
        status: denial.status,
        challenge: challenge::of_refusal(refusal, &denial),
        problem: Some(Problem::of_refusal(*decision_id, &denial)),
    };
    let metadata = [
        ("decision_id", text(decision_id.to_string())),
        ("outcome", text("refused")),
        ("cause", text(denial.reason)),
    ];
    response(ruling, decision_id.to_string(), metadata.into())
}

/// When no answer could be built: a bare denial of that code's class.
pub(super) fn bare(code: Code) -> CheckResponse {
    let status = match code {
        Code::InvalidArgument => 400,
        Code::ResourceExhausted => 413,
        _ => 503,
    };
    let ruling = Ruling::Denied {
        code,
        status,
        challenge: None,
        problem: None,
    };
    response(ruling, String::new(), Vec::new())
}

/// The one place where a response is built, for the zero value of its type allows.
fn response(
    ruling: Ruling,
    decision_id: String,
    metadata: Vec<(&'static str, Kind)>,
) -> CheckResponse {
    let (code, message, http) = match ruling {
        Ruling::Allowed(ok) => (Code::Ok, "allowed", HttpResponse::OkResponse(ok)),
        Ruling::Denied {
            code,
            status,
            challenge,
            problem,
        } => {
            let code = match code {
                Code::Ok => Code::PermissionDenied,
                code => code,
            };
            let body = problem.map(|it| it.to_json()).unwrap_or_default();
            let headers = [
                ("content-type", Some(problem::MEDIA_TYPE.to_owned())),
                ("cache-control", Some("no-store".to_owned())),
                ("www-authenticate", challenge),
                (DECISION_ID, Some(decision_id)),
            ];
            let headers = headers.into_iter();
            let denied = DeniedHttpResponse {
                status: Some(HttpStatus {
                    code: i32::from(status),
                }),
                headers: headers
                    .filter_map(|(name, value)| header(name, value?))
                    .collect(),
                body,
            };
            (code, "denied", HttpResponse::DeniedResponse(denied))
        }
    };
    CheckResponse {
        status: Some(rpc::Status {
            code: code.into(),
            message: message.to_owned(),
            details: Vec::new(),
        }),
        dynamic_metadata: Some(record(metadata)),
        http_response: Some(http),
    }
}

/// Every identity header is overwritten, or removed where there is nothing to tell; what imitates
/// one is removed.
fn allowed(answer: &Answer, identity: &IdentityHeaders, seen: &Seen) -> OkHttpResponse {
    let mut ok = OkHttpResponse::default();
    for (name, value) in identity::headers(identity, answer) {
        match header(name, value) {
            Some(header) => ok.headers.push(header),
            None => ok.headers_to_remove.push(name.to_owned()),
        }
    }
    // The proxy removes after it has overwritten, so the two lists have nothing in common.
    let overwritten = |name: &&String| identity.iter().any(|(_, own)| own == name.as_str());
    let imitations = seen.imitations.iter().filter(|name| !overwritten(name));
    ok.headers_to_remove.extend(imitations.cloned());
    ok
}

/// A header that replaces all of its name; none when it is empty or could break out of its line.
fn header(name: &str, value: String) -> Option<HeaderValueOption> {
    let is_token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_text = |b: u8| b.is_ascii_graphic() || b == b' ';
    let fits = !name.is_empty()
        && name.bytes().all(is_token)
        && !value.is_empty()
        && value.bytes().all(is_text);
    fits.then(|| HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            value,
            raw_value: Vec::new(),
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    })
}

fn text(text: impl Into<String>) -> Kind {
    Kind::StringValue(text.into())
}

fn list(items: impl Iterator<Item = Kind>) -> Kind {
    let values = items.map(|kind| Value { kind: Some(kind) });
    Kind::ListValue(ListValue {
        values: values.collect(),
    })
}

fn record(members: Vec<(&'static str, Kind)>) -> Struct {
    let fields = members.into_iter();
    Struct {
        fields: fields
            .map(|(name, kind)| (name.to_owned(), Value { kind: Some(kind) }))
            .collect::<HashMap<_, _>>(),
    }
}

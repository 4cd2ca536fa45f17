use std::{collections::BTreeMap, sync::Arc};

use prost::Message as _;
use tonic::Request;

use super::{
    answer::to_decision,
    ask::{self, to_access_request},
};
use crate::{
    model::{
        AccessRequest, CallerCredential, Cause, Challenge, Decision, Effect, EvaluationFault,
        Outcome, Question, Reason, Refusal, SignedDuration, Subject, Value,
    },
    proto::v1::{self as wire, check_request, value::Kind},
};

fn uid(type_name: &str, id: &str) -> Option<wire::EntityUid> {
    Some(wire::EntityUid {
        r#type: type_name.to_owned(),
        id: id.to_owned(),
    })
}

fn value(kind: Kind) -> wire::Value {
    wire::Value { kind: Some(kind) }
}

/// A request with nothing wrong in it.
fn good() -> wire::CheckRequest {
    wire::CheckRequest {
        subject: Some(check_request::Subject::AccessToken("a.b.c".to_owned())),
        question: Some(check_request::Question::Named(wire::NamedQuestion {
            action: "ReadOrder".to_owned(),
            resource: Some(wire::Entity {
                uid: uid("Order", "o-1"),
                attributes: BTreeMap::from([("total".to_owned(), value(Kind::Int64(7)))]),
                parents: vec![wire::EntityUid {
                    r#type: "Tenant".to_owned(),
                    id: "acme".to_owned(),
                }],
            }),
        })),
        ..Default::default()
    }
}

fn http(method: &str, host: &str, path: &str) -> wire::CheckRequest {
    wire::CheckRequest {
        question: Some(check_request::Question::Http(wire::HttpQuestion {
            method: method.to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            headers: BTreeMap::from([("X-Tenant".to_owned(), "acme".to_owned())]),
        })),
        ..good()
    }
}

fn with_context(value: wire::Value) -> wire::CheckRequest {
    wire::CheckRequest {
        context: BTreeMap::from([("x".to_owned(), value)]),
        ..good()
    }
}

fn nested(levels: usize) -> wire::Value {
    (0..levels).fold(value(Kind::Bool(true)), |inner, _| {
        value(Kind::Record(wire::ValueRecord {
            members: BTreeMap::from([("a".to_owned(), inner)]),
        }))
    })
}

fn read(request: wire::CheckRequest) -> Result<AccessRequest, Refusal> {
    to_access_request(request, CallerCredential::default())
}

#[track_caller]
fn faults(request: wire::CheckRequest, expected: &[(&str, &str)]) {
    match read(request) {
        Err(Refusal::Malformed(violations)) => {
            let found: Vec<_> = violations
                .iter()
                .map(|it| (it.field.as_str(), it.code))
                .collect();
            assert_eq!(found, expected);
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn too_large(request: wire::CheckRequest, named: &str) {
    match read(request) {
        Err(Refusal::TooLarge { what, .. }) => assert_eq!(what, named),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_read_whole() {
    let ask = read(wire::CheckRequest {
        bundle: "orders".to_owned(),
        context: BTreeMap::from([("ip".to_owned(), value(Kind::Ip("10.0.0.1".to_owned())))]),
        request_id: "r 1".to_owned(),
        ..good()
    })
    .unwrap();
    assert_eq!(ask.bundle.unwrap().as_str(), "orders");
    assert!(matches!(ask.subject, Subject::Token(token) if token.expose() == "a.b.c"));
    assert_eq!(ask.context["ip"], Value::Ip("10.0.0.1".to_owned()));
    assert_eq!(ask.request_id.as_deref(), Some("r 1"));
    assert_eq!(ask.at_least_revision, None);
    let Question::Named(named) = ask.question else {
        panic!()
    };
    assert_eq!(named.action, "ReadOrder");
    assert_eq!(named.resource.uid.to_string(), "Order::\"o-1\"");
    assert_eq!(named.resource.attributes["total"], Value::Long(7));
    assert_eq!(named.resource.parents[0].to_string(), "Tenant::\"acme\"");
}

#[test]
fn http_questions_are_canonical_or_refused() {
    let ask = read(http("GET", "Api.Example.com:443", "/orders/o-1?x=1")).unwrap();
    let Question::Http(http_ask) = ask.question else {
        panic!()
    };
    assert_eq!(http_ask.request.host(), "api.example.com");
    assert_eq!(http_ask.request.path(), "/orders/o-1");
    assert_eq!(http_ask.headers["x-tenant"], "acme");
    faults(
        http("GET", "h", "/a/../b"),
        &[("http.path", "not_canonical")],
    );
    faults(http("get", "h", "/a"), &[("http.method", "not_canonical")]);
    faults(http("GET", "u@h", "/a"), &[("http.host", "not_canonical")]);
}

#[test]
fn headers_that_differ_in_case_only_are_refused() {
    let mut request = http("GET", "h", "/a");
    if let Some(check_request::Question::Http(http)) = &mut request.question {
        http.headers
            .insert("x-tenant".to_owned(), "evil".to_owned());
    }
    assert!(matches!(read(request), Err(Refusal::Malformed(v)) if v[0].code == "duplicate"));
}

#[test]
fn everything_wrong_is_told_at_once_with_its_path() {
    faults(
        wire::CheckRequest::default(),
        &[("subject", "missing"), ("question", "missing")],
    );
    faults(
        wire::CheckRequest {
            subject: Some(check_request::Subject::Entity(wire::Entity::default())),
            question: Some(check_request::Question::Named(
                wire::NamedQuestion::default(),
            )),
            ..Default::default()
        },
        &[
            ("entity.uid", "missing"),
            ("named.action", "missing"),
            ("named.resource", "missing"),
        ],
    );
    let entity = wire::Entity {
        uid: uid("", ""),
        attributes: BTreeMap::from([("owner".to_owned(), wire::Value::default())]),
        parents: vec![wire::EntityUid::default()],
    };
    faults(
        wire::CheckRequest {
            entities: vec![entity],
            ..good()
        },
        &[
            ("entities[0].uid.type", "empty"),
            ("entities[0].uid.id", "empty"),
            ("entities[0].attributes.owner", "missing"),
            ("entities[0].parents[0].type", "empty"),
            ("entities[0].parents[0].id", "empty"),
        ],
    );
    let set = wire::ValueSet {
        values: vec![value(Kind::Bool(true)), wire::Value::default()],
    };
    faults(
        with_context(value(Kind::Set(set))),
        &[("context.x[1]", "missing")],
    );
}

#[test]
fn a_bearer_prefix_and_unprintable_ids_are_refused() {
    let prefixed = wire::CheckRequest {
        subject: Some(check_request::Subject::AccessToken(
            "bearer a.b.c".to_owned(),
        )),
        ..good()
    };
    faults(prefixed, &[("access_token", "bearer_prefix")]);
    for id in ["a\nb", "é", &"x".repeat(257)] {
        let request = wire::CheckRequest {
            request_id: id.to_owned(),
            ..good()
        };
        faults(request, &[("request_id", "not_printable")]);
    }
}

#[test]
fn nesting_is_bounded_and_the_wire_carries_the_bound() {
    let deepest = with_context(nested(32));
    assert!(read(deepest.clone()).is_ok());
    assert!(wire::CheckRequest::decode(deepest.encode_to_vec().as_slice()).is_ok());
    too_large(with_context(nested(33)), "nesting of values");
}

#[test]
fn counts_are_bounded() {
    let values = |count| {
        let values = vec![value(Kind::Bool(true)); count];
        with_context(value(Kind::Set(wire::ValueSet { values })))
    };
    // The resource's one attribute and the set itself count as well.
    assert!(read(values(4094)).is_ok());
    too_large(values(4095), "values");
    let entity = wire::Entity {
        uid: uid("Order", "o-1"),
        ..Default::default()
    };
    let entities = |count| wire::CheckRequest {
        entities: vec![entity.clone(); count],
        ..good()
    };
    assert!(read(entities(256)).is_ok());
    too_large(entities(257), "entities");
    let mut request = entities(1);
    request.entities[0].parents = vec![wire::EntityUid::default(); 1024];
    too_large(request, "parents");
    let mut request = http("GET", "h", "/a");
    if let Some(check_request::Question::Http(http)) = &mut request.question {
        http.headers = (0..129).map(|n| (n.to_string(), String::new())).collect();
    }
    too_large(request, "http.headers");
}

#[track_caller]
fn credential(values: &[&str], expected: Result<Option<&str>, &str>) {
    let mut request = Request::new(good());
    for value in values {
        request
            .metadata_mut()
            .append("authorization", value.parse().unwrap());
    }
    let found = ask::credential(&request).map(|credential| credential.bearer);
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected),
        (Err(why), Err(expected)) => {
            assert!(matches!(why, Refusal::CallerUnknown(_)));
            assert_eq!(why.reason(), expected);
        }
        (found, expected) => panic!("{found:?} instead of {expected:?}"),
    }
}

#[test]
fn the_callers_credential_is_one_bearer_secret_or_nothing() {
    credential(&[], Ok(None));
    credential(&["Bearer s3cret"], Ok(Some("s3cret")));
    credential(&["bearer s3cret"], Ok(Some("s3cret")));
    credential(&["Basic dTpw"], Err("scheme_not_supported"));
    credential(&["Bearer"], Err("token_malformed"));
    credential(&["Bearer "], Err("token_malformed"));
    credential(&["Bearer a b"], Err("token_malformed"));
    credential(&["Bearer a", "Bearer a"], Err("multiple_credentials"));
}

#[test]
fn places_and_messages_are_for_those_who_may_explain() {
    let decision = Decision {
        outcome: Outcome::Deny,
        cause: Cause::ForbidErrored,
        reasons: vec![Arc::new(Reason {
            policy_id: "own".into(),
            effect: Effect::Forbid,
            reason: Some("closed".into()),
            advice: None,
            place: "orders.cedar:3".into(),
        })],
        errors: vec![EvaluationFault {
            policy_id: "limit".into(),
            effect: Effect::Forbid,
            code: "overflow",
            message: "7 * 8".to_owned(),
        }],
        obligations: Vec::new(),
        challenge: Some(Challenge::StepUp {
            acr_values: None,
            max_age_seconds: Some(300),
        }),
        cacheable_for: SignedDuration::ZERO,
    };
    let told = to_decision(&decision, true);
    assert_eq!(told.reasons[0].place, "orders.cedar:3");
    assert_eq!(told.errors[0].message, "7 * 8");
    let untold = to_decision(&decision, false);
    assert_eq!(untold.reasons[0].place, "");
    assert_eq!(untold.errors[0].message, "");
    assert_eq!(untold.reasons[0].reason, "closed");
    assert_eq!(untold.errors[0].code, "overflow");
    assert_eq!(untold.outcome(), wire::Outcome::Deny);
    assert_eq!(untold.cause(), wire::Cause::ForbidErrored);
    assert_eq!(untold.cacheable_for, None);
}

#[test]
fn debug_output_holds_no_credential() {
    let request = http("GET", "h", "/a?token=a.b.c");
    let Some(check_request::Question::Http(question)) = &request.question else {
        panic!()
    };
    let printed = format!(
        "{request:?} {:?} {question:?}",
        request.subject.as_ref().unwrap()
    );
    assert!(
        !printed.contains("a.b.c") && !printed.contains("acme"),
        "{printed}"
    );
}

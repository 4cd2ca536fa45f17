//! What holds for any message that Envoy could send.

use std::collections::HashMap;

use envoy_types::{
    ext_authz::v3::pb::{Authorization as _, CheckRequest, HttpResponse},
    pb::envoy::{
        config::core::v3::{HeaderMap, HeaderValue},
        service::auth::v3::{
            AttributeContext,
            attribute_context::{self, HttpRequest},
        },
    },
};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use tonic::Request;

use super::{World, world};

fn method() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("GET".to_owned()),
        Just("POST".to_owned()),
        "[A-Za-z ]{0,6}"
    ]
}

/// Paths near the one that everyone may read, and anything.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => Just("/pages/home".to_owned()),
        2 => Just("/pages/alice".to_owned()),
        1 => Just("/".to_owned()),
        1 => Just("..".to_owned()),
        1 => Just("%2e".to_owned()),
        1 => Just("%68ome".to_owned()),
        1 => Just("%2F".to_owned()),
        1 => Just(";".to_owned()),
        1 => Just("?x".to_owned()),
        1 => "[ -~]{0,4}",
        1 => "\\PC{0,3}",
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        Just("authorization".to_owned()),
        Just("x-auth-subject".to_owned()),
        Just("X_Auth_Subject".to_owned()),
        Just("connection".to_owned()),
        Just(":path".to_owned()),
        Just("host".to_owned()),
        "[a-zA-Z_:-]{0,8}",
    ];
    let value = prop_oneof![
        Just(b"Bearer a.b.c".to_vec()),
        Just(b"shop.example".to_vec()),
        "[ -~]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    (name, value)
}

fn http() -> impl Strategy<Value = HttpRequest> {
    let host = prop_oneof![3 => Just("shop.example".to_owned()), 1 => "\\PC{0,6}"];
    let headers = prop::collection::vec(header(), 0..5);
    (method(), path(), host, headers, any::<bool>()).prop_map(
        |(method, path, host, headers, raw)| {
            let mut http = HttpRequest {
                method,
                path,
                host,
                ..HttpRequest::default()
            };
            if raw {
                let headers = headers.into_iter().map(|(key, raw_value)| HeaderValue {
                    key,
                    raw_value,
                    ..HeaderValue::default()
                });
                http.header_map = Some(HeaderMap {
                    headers: headers.collect(),
                });
            } else {
                let headers = headers.into_iter();
                http.headers = headers
                    .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
                    .collect();
            }
            http
        },
    )
}

fn message() -> impl Strategy<Value = CheckRequest> {
    let extensions = prop::option::of(prop_oneof![Just("shop".to_owned()), "[a-z]{0,4}"]);
    (prop::option::weighted(0.95, http()), extensions).prop_map(|(http, bundle)| CheckRequest {
        attributes: Some(AttributeContext {
            request: http.map(|http| attribute_context::Request {
                http: Some(http),
                ..Default::default()
            }),
            context_extensions: bundle
                .into_iter()
                .map(|bundle| ("bundle".to_owned(), bundle))
                .collect::<HashMap<_, _>>(),
            ..Default::default()
        }),
    })
}

/// What leaves for `message`: never an error, an allow only for the page that everyone may read, and
/// headers that are headers. Whether it is an allow.
fn check(world: &World, message: CheckRequest) -> bool {
    let asked = message.clone();
    let http = asked
        .attributes
        .and_then(|it| it.request)
        .and_then(|it| it.http);
    let response = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(world.face.check(Request::new(message)))
        .unwrap()
        .into_inner();
    let code = response.status.unwrap().code;
    let headers = match response.http_response.unwrap() {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(code, 0);
            let http = http.unwrap();
            let (path, _) = http.path.split_once('?').unwrap_or((&http.path, ""));
            let names_home = ["/pages/home", "/pages/%68ome"].contains(&path);
            assert!(names_home, "allowed: {path}");
            let told = |name: &str| {
                let set = ok.headers.iter().filter_map(|it| it.header.as_ref());
                set.map(|it| &it.key)
                    .chain(&ok.headers_to_remove)
                    .any(|it| it == name)
            };
            assert!(told("x-auth-subject"));
            ok.headers
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(code, 0);
            assert!(denied.status.unwrap().code >= 400);
            serde_json::from_str::<serde_json::Value>(&denied.body).unwrap();
            denied.headers
        }
        HttpResponse::ErrorResponse(_) => panic!("obeys failure_mode_allow"),
    };
    for header in headers.into_iter().filter_map(|it| it.header) {
        assert!(axum::http::HeaderName::from_bytes(header.key.as_bytes()).is_ok());
        assert!(axum::http::HeaderValue::from_str(&header.value).is_ok());
        assert!(!header.value.is_empty());
    }
    code == 0
}

#[test]
fn whatever_is_asked_only_what_is_allowed_is_let_through() {
    let world = world(&[]);
    let (mut allowed, mut denied) = (0, 0);
    let mut runner = TestRunner::deterministic();
    for _ in 0..2_000 {
        let message = message().new_tree(&mut runner).unwrap().current();
        match check(&world, message) {
            true => allowed += 1,
            false => denied += 1,
        }
    }
    assert!(allowed > 20 && denied > 20, "{allowed} {denied}");
}

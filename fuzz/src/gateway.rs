//! What must hold for any request that a client can have a gateway ask about.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    str,
    sync::{Arc, LazyLock},
};

use doorward::{
    audit::Recorder,
    authn::{Callers, TokenVerifier, suppose},
    bundle::{BundleFiles, CompileOptions, LiveBundles, Snapshot},
    config::{BundleConfig, IdentityHeaders},
    model::{
        BundleName, CanonicalRequest, HttpAsk, IssuerName, Members, Outcome, Question, Timestamp,
        Value,
    },
    pap::publish,
    pdp::{Pdp, decide},
    pep::ext_authz::ExtAuthzFace,
    pip::{Asked, Principal},
};
use envoy_types::{
    ext_authz::v3::pb::{Authorization as _, CheckRequest, CheckResponse, HttpResponse},
    pb::envoy::{
        config::core::v3::{HeaderMap, HeaderValue},
        service::auth::v3::{
            AttributeContext,
            attribute_context::{self, HttpRequest},
        },
    },
};
use prost::Message as _;

use super::{ISSUER, now};

const FILES: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        "entity User; entity Guest; entity Page;
         action Read appliesTo { principal: [User, Guest], resource: [Page],
           context: { query?: { draft?: String }, headers?: { \"x-team\"?: String } } };",
    ),
    (
        "rules.cedar",
        "@id(\"home\") permit (principal, action, resource == Page::\"home\")
           unless { context has query && context.query has draft };
         @id(\"nested\") permit (principal is User, action, resource == Page::\"a/b\");",
    ),
    (
        "bundle.toml",
        "[[principal]]\ntype = \"User\"\nid = \"{sub}\"
         [[principal]]\ntype = \"Guest\"\nanonymous = true
         [[route]]\npath = \"/pages/{page}\"\nanonymous = true\naction = \"Read\"
         resource = { type = \"Page\", id = \"{page}\" }
         [[route]]\npath = \"/tree/{*page}\"\nanonymous = true\naction = \"Read\"
         resource = { type = \"Page\", id = \"{page}\" }",
    ),
];

fn files() -> BundleFiles {
    BundleFiles::new(FILES.iter().copied())
}

fn options() -> CompileOptions {
    CompileOptions {
        issuers: Some(vec![IssuerName::new("dev")]),
        ..CompileOptions::default()
    }
}

static RULES: LazyLock<Snapshot> =
    LazyLock::new(|| Snapshot::compile(&files(), &options()).expect("sound rules"));

static READER: LazyLock<Principal> = LazyLock::new(|| {
    let claims = serde_json::json!({ "sub": "alice", "client_id": "web" });
    let Value::Record(claims) = Value::from(claims) else {
        unreachable!("an object")
    };
    let claims = suppose("dev", claims, now()).expect("claims");
    Principal::of_claims(&*RULES, claims).expect("a user")
});

fn clock() -> Timestamp {
    now()
}

static FACE: LazyLock<ExtAuthzFace> = LazyLock::new(|| {
    let name = BundleName::new("pages");
    let live = LiveBundles::new([name.clone()]);
    let (_, place) = live.get("pages").expect("its place");
    publish(place, &files(), &options()).expect("sound rules");
    let bundle = BundleConfig {
        name: name.clone(),
        path: PathBuf::new(),
        hosts: Vec::new(),
        issuers: None,
        audiences: None,
        callers: None,
    };
    let tokens = TokenVerifier::new(&[ISSUER.issuer_config()]).expect("keys in place");
    let pdp = Pdp::new(
        &[bundle],
        Some(name),
        live,
        Callers::new(&[], true),
        Arc::new(tokens),
        Recorder::off(),
    );
    ExtAuthzFace::new(
        Arc::new(pdp),
        Recorder::off(),
        IdentityHeaders::default(),
        clock,
    )
});

/// What is decided, and all of it in words.
fn decided(request: &CanonicalRequest) -> Result<(Outcome, String), String> {
    let question = Question::Http(HttpAsk {
        request: request.clone(),
        headers: BTreeMap::new(),
    });
    let asked = Asked {
        question: &question,
        entities: &[],
        context: &Members::new(),
        caller: None,
        peer: None,
    };
    let decided = decide(&*RULES, &READER, asked, now());
    decided
        .map(|it| (it.decision.outcome, format!("{:?}", it.decision)))
        .map_err(|refusal| refusal.to_string())
}

/// The longest target that is read, in bytes.
const LONGEST: usize = 8 * 1024;

/// Any host, and behind a line feed any target: the canonical form is its own, has one reading,
/// and decides as what it is the form of; no other spelling of the target decides otherwise.
pub fn path(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (host, target) = text.split_once('\n').unwrap_or(("site.example", text));
    let Ok(request) = CanonicalRequest::parse("GET", host, target) else {
        return;
    };
    let path = request.path();
    assert!(path.starts_with('/') && path.is_ascii());
    for reading in [
        "//", "/./", "/../", "\\", ";", "#", "?", "%2F", "%2f", "%00", "%25",
    ] {
        assert!(!path.contains(reading), "{path}");
    }
    assert!(!path.ends_with("/.") && !path.ends_with("/.."));
    let again = |target: &str| {
        let again = CanonicalRequest::parse("GET", request.host(), target);
        again.expect("what is canonical stays so")
    };
    let canonical = match request.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let canonical = again(&canonical);
    assert_eq!(canonical, request);
    let decision = decided(&request);
    assert_eq!(decided(&canonical), decision);
    // Every plain letter may be written by its number, in either case.
    let mut spelled = String::new();
    let mut rest = path.chars();
    while let Some(char) = rest.next() {
        match char {
            '%' => spelled.extend(std::iter::once('%').chain(rest.by_ref().take(2))),
            'a'..='z' => spelled.push_str(&format!("%{:x}", u32::from(char))),
            other => spelled.push(other),
        }
    }
    let spelled = match request.query() {
        Some(query) => format!("{spelled}?{query}"),
        None => spelled,
    };
    if spelled.len() > LONGEST {
        return;
    }
    let spelled = again(&spelled);
    assert_eq!(spelled, request, "another spelling of {path}");
    assert_eq!(decided(&spelled), decision);
    if let Ok((Outcome::Allow, _)) = decision {
        assert!(
            matches!(path, "/pages/home" | "/tree/home" | "/tree/a/b"),
            "{path}"
        );
    }
}

/// Any message, or any request: `METHOD TARGET HOST`, then a line for each header. Nothing but an
/// allow leaves as one, and what leaves are headers.
pub fn ext_authz(data: &[u8]) {
    let message = match data.split_first() {
        Some((0, message)) => CheckRequest::decode(message).ok(),
        Some((1, text)) => str::from_utf8(text).ok().map(|text| request(text, true)),
        _ => str::from_utf8(data).ok().map(|text| request(text, false)),
    };
    let Some(message) = message else { return };
    let http = message.attributes.clone().and_then(|it| it.request);
    let target = http.and_then(|it| it.http).map(|it| it.path);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let response = runtime.block_on(FACE.check(tonic::Request::new(message)));
    let response = response.expect("an error obeys failure_mode_allow");
    check(response.into_inner(), target.as_deref());
}

fn request(text: &str, raw: bool) -> CheckRequest {
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let mut http = HttpRequest {
        method: word(),
        path: word(),
        host: word(),
        ..HttpRequest::default()
    };
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    match raw {
        false => http.headers = headers.collect(),
        true => {
            let headers = headers.map(|(key, value)| HeaderValue {
                key,
                raw_value: value.into_bytes(),
                ..HeaderValue::default()
            });
            http.header_map = Some(HeaderMap {
                headers: headers.collect(),
            });
        }
    }
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(attribute_context::Request {
                http: Some(http),
                ..Default::default()
            }),
            ..Default::default()
        }),
    }
}

fn check(response: CheckResponse, target: Option<&str>) {
    let code = response.status.expect("a status").code;
    let headers = match response.http_response.expect("a ruling") {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(code, 0);
            let target = target.expect("an allow of nothing");
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            // Nobody is known, so there is one page; read here by other means than its own.
            let written = format!("path={path}");
            let mut read = url::form_urlencoded::parse(written.as_bytes());
            let (_, read) = read.next().expect("a pair");
            assert!(matches!(&*read, "/pages/home" | "/tree/home"), "{target}");
            assert!(
                !query.split('&').any(|it| it.starts_with("draft=")),
                "{target}"
            );
            let names = |it: &envoy_types::ext_authz::v3::pb::HeaderValueOption| {
                it.header.as_ref().map(|it| it.key.clone())
            };
            let mut told: Vec<_> = ok.headers.iter().filter_map(names).collect();
            told.extend(ok.headers_to_remove.iter().cloned());
            for own in ["x-auth-subject", "x-auth-type", "x-auth-scopes"] {
                assert!(told.iter().any(|it| it == own), "{own} is the client's");
            }
            ok.headers
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(code, 0, "a denied response of status OK is an allow");
            assert!((400..=503).contains(&denied.status.expect("a status").code));
            let body: serde_json::Value = serde_json::from_str(&denied.body).expect("a problem");
            assert!(body["decision_id"].is_string());
            denied.headers
        }
        HttpResponse::ErrorResponse(_) => panic!("obeys failure_mode_allow"),
    };
    for header in headers.into_iter().filter_map(|it| it.header) {
        http::HeaderName::from_bytes(header.key.as_bytes()).expect("a name");
        http::HeaderValue::from_str(&header.value).expect("a value");
        assert!(!header.value.is_empty());
    }
}

//! What Envoy asks and what it is answered.

use std::{collections::HashMap, sync::Arc};

use doorward::{
    audit::Recorder,
    config::{CallerConfig, IdentityHeaders, Proof, VouchScope},
    model::{BundleName, CallerName, Digest, Right, Subject},
    pdp::Pdp,
    pep::ext_authz::ExtAuthzFace,
};
use envoy_types::{
    ext_authz::v3::pb::{
        Authorization as _, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue,
        HeaderValueOption, HttpResponse, OkHttpResponse,
    },
    pb::{
        envoy::{
            config::core::v3::{HeaderMap, Metadata},
            service::auth::v3::{
                AttributeContext,
                attribute_context::{self, HttpRequest},
            },
        },
        google::protobuf::{ListValue, Struct, Value, value::Kind},
    },
};
use serde_json::{Value as Json, json};
use tonic::{Request, metadata::MetadataValue};

use crate::kit::{Issuer, Served, now, pdp};

const SCHEMA: &str = r#"
entity Role; entity User in [Role]; entity Guest; entity Page; entity Order;
action Read appliesTo { principal: [User, Guest], resource: [Page], context: Doorward::Context };
action Pay appliesTo { principal: [User], resource: [Order], context: { token?: Doorward::Token } };
action Tag appliesTo { principal: [User], resource: [Order], context: { headers: { "x-tag": String } } };
action Enter appliesTo { principal: [Guest], resource: [Page], context: Doorward::Context };
"#;

const POLICIES: &str = r#"
@id("anyone-reads") permit (principal, action == Action::"Read", resource == Page::"home");
@id("own-page") @obligation("redact=a,b") @obligation2("x")
permit (principal == User::"alice", action == Action::"Read", resource == Page::"alice");
@id("payers") permit (principal in Role::"payer", action == Action::"Pay", resource);
@id("login") @reason("Payments need a second factor.") @advice("Log in again.")
@step_up("acr=mfa max_age=60")
forbid (principal, action == Action::"Pay", resource == Order::"big");
@id("scope") @challenge_scope("pay:small")
forbid (principal, action == Action::"Pay", resource == Order::"small");
@id("peers") permit (principal, action == Action::"Enter", resource)
when { context has peer && context.peer.principal == "spiffe://shop/web" };
@id("tagged") permit (principal, action == Action::"Tag", resource)
when { context.headers["x-tag"] == "a,b" };
"#;

const TOML: &str = r#"
[[principal]]
type = "User"
id = "{sub}"
parents = [{ type = "Role", claim = "roles" }]
[[principal]]
type = "Guest"
anonymous = true
[[route]]
path = "/pages/{page}"
anonymous = true
action = "Read"
resource = { type = "Page", id = "{page}" }
[[route]]
method = ["POST"]
path = "/orders/{order}"
action = "Pay"
resource = { type = "Order", id = "{order}" }
[[route]]
path = "/doors/{page}"
anonymous = true
action = "Enter"
resource = { type = "Page", id = "{page}" }
[[route]]
path = "/tags/{order}"
action = "Tag"
resource = { type = "Order", id = "{order}" }
"#;

pub(crate) struct World {
    pub(crate) face: ExtAuthzFace,
    issuer: Issuer,
}

pub(crate) fn world(callers: &[CallerConfig]) -> World {
    let issuer = Issuer::new("corp");
    let files = |policies| {
        [
            ("schema.cedarschema", SCHEMA),
            ("rules.cedar", policies),
            ("bundle.toml", TOML),
        ]
    };
    let nothing = "@id(\"nothing\") forbid (principal, action, resource);";
    let bundles = [
        Served::new("shop", &files(POLICIES)),
        Served::new("closed", &files(nothing)),
    ];
    let pdp: Pdp = pdp(&bundles, &[&issuer], callers).unwrap();
    let face = ExtAuthzFace::new(
        Arc::new(pdp),
        Recorder::off(),
        IdentityHeaders::default(),
        now,
    );
    World { face, issuer }
}

fn caller(secret: &str, may: &[Right]) -> CallerConfig {
    let sha = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    CallerConfig {
        name: CallerName::new("envoy"),
        proof: Proof {
            token_sha256: Some(Digest::new(sha.as_ref().try_into().unwrap())),
            ..Proof::default()
        },
        bundles: Some(vec![BundleName::new("shop"), BundleName::new("closed")]),
        may: may.iter().copied().collect(),
        vouch: VouchScope::default(),
    }
}

impl World {
    fn token(&self, sub: &str, claims: Json) -> String {
        match self.issuer.token(sub, claims) {
            Subject::Token(token) => token.expose().to_owned(),
            _ => unreachable!(),
        }
    }

    async fn check(&self, request: Request<CheckRequest>) -> Answered {
        let response = self.face.check(request).await.unwrap();
        Answered::of(response.into_inner())
    }

    async fn ask(&self, http: HttpRequest) -> Answered {
        self.check(request(http)).await
    }
}

fn http(method: &str, path: &str, headers: &[(&str, &str)]) -> HttpRequest {
    let own = [
        (":method", method),
        (":path", path),
        (":authority", "shop.example"),
    ];
    HttpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        host: "shop.example".to_owned(),
        headers: own
            .iter()
            .chain(headers)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        size: -1,
        ..HttpRequest::default()
    }
}

/// The same headers as the proxy sends them with `encode_raw_headers`.
fn raw(mut http: HttpRequest, headers: &[(&str, &[u8])]) -> HttpRequest {
    let sent = std::mem::take(&mut http.headers);
    let pairs = sent
        .into_iter()
        .map(|(name, value)| (name, value.into_bytes()));
    let more = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.to_vec()));
    let headers = pairs.chain(more).map(|(key, raw_value)| HeaderValue {
        key,
        raw_value,
        ..HeaderValue::default()
    });
    http.header_map = Some(HeaderMap {
        headers: headers.collect(),
    });
    http
}

fn request(http: HttpRequest) -> Request<CheckRequest> {
    Request::new(CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(attribute_context::Request {
                http: Some(http),
                ..Default::default()
            }),
            ..Default::default()
        }),
    })
}

/// A response in the terms of what the proxy makes of it.
#[derive(Debug)]
struct Answered {
    allowed: bool,
    code: i32,
    status: i32,
    headers: HashMap<String, String>,
    removed: Vec<String>,
    body: Json,
    metadata: HashMap<String, Value>,
}

impl Answered {
    fn of(response: CheckResponse) -> Self {
        let code = response.status.unwrap().code;
        let metadata = response.dynamic_metadata.unwrap().fields;
        match response.http_response.unwrap() {
            HttpResponse::OkResponse(OkHttpResponse {
                headers,
                headers_to_remove: removed,
                ..
            }) => {
                assert_eq!(code, 0);
                Self {
                    allowed: true,
                    code,
                    status: 200,
                    headers: pairs(headers),
                    removed,
                    body: Json::Null,
                    metadata,
                }
            }
            HttpResponse::DeniedResponse(DeniedHttpResponse {
                status,
                headers,
                body,
            }) => {
                assert_ne!(code, 0, "a denied response of status OK is an allow");
                Self {
                    allowed: false,
                    code,
                    status: status.unwrap().code,
                    headers: pairs(headers),
                    removed: Vec::new(),
                    body: serde_json::from_str(&body).unwrap(),
                    metadata,
                }
            }
            HttpResponse::ErrorResponse(_) => panic!("obeys failure_mode_allow"),
        }
    }

    #[track_caller]
    fn is(&self, status: i32, code: i32, said: &str) {
        assert_eq!((self.status, self.code), (status, code), "{self:?}");
        if !self.allowed {
            assert_eq!(self.body["code"], said, "{self:?}");
            assert_eq!(self.body["status"], status);
            assert_eq!(self.headers["content-type"], "application/problem+json");
            let id = &self.headers["doorward-decision-id"];
            assert_eq!(self.body["decision_id"], id.as_str());
        }
    }
}

fn pairs(headers: Vec<HeaderValueOption>) -> HashMap<String, String> {
    let overwrites = envoy_types::ext_authz::v3::pb::HeaderAppendAction::OverwriteIfExistsOrAdd;
    headers
        .into_iter()
        .map(|it| {
            assert_eq!(it.append_action, i32::from(overwrites), "{it:?}");
            let header = it.header.unwrap();
            assert!(header.value.bytes().all(|b| (b' '..=b'~').contains(&b)));
            (header.key, header.value)
        })
        .collect()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn an_allow_tells_who_it_is_and_removes_what_the_client_says_of_itself() {
    let world = world(&[]);
    let token = bearer(&world.token("alice", json!({"scope": "a b"})));
    let spoofed = [
        ("authorization", token.as_str()),
        ("x-auth-subject", "root"),
        ("x_auth_subject", "root"),
        ("x-auth-client", "root"),
        ("x-envoy-auth-failure-mode-allowed", "true"),
        ("x-other", "kept"),
    ];
    let answer = world.ask(http("GET", "/pages/alice", &spoofed)).await;
    answer.is(200, 0, "");
    let headers = &answer.headers;
    assert_eq!(headers["x-auth-subject"], "alice");
    assert_eq!(headers["x-auth-type"], "User");
    assert_eq!(headers["x-auth-issuer"], "corp");
    assert_eq!(headers["x-auth-client"], "web");
    assert_eq!(headers["x-auth-scopes"], "a b");
    assert_eq!(headers["x-auth-obligations"], "redact=a,b");
    let mut removed = answer.removed.clone();
    removed.sort();
    assert_eq!(
        removed,
        ["x-envoy-auth-failure-mode-allowed", "x_auth_subject"]
    );
    assert_eq!(
        answer.metadata["decision_id"].kind,
        Some(Kind::StringValue(headers["x-auth-decision-id"].clone()))
    );
    let policies = Kind::ListValue(ListValue {
        values: vec![Value {
            kind: Some(Kind::StringValue("own-page".to_owned())),
        }],
    });
    assert_eq!(answer.metadata["policies"].kind, Some(policies));
    assert!(answer.metadata.contains_key("bundle_digest"));
}

#[tokio::test]
async fn where_there_is_nothing_to_tell_the_header_is_removed() {
    let world = world(&[]);
    let spoofed = [("x-auth-subject", "root"), ("x-auth-scopes", "all")];
    let answer = world.ask(http("GET", "/pages/home", &spoofed)).await;
    answer.is(200, 0, "");
    for name in ["x-auth-subject", "x-auth-type", "x-auth-scopes"] {
        assert!(!answer.headers.contains_key(name));
        assert!(answer.removed.iter().any(|it| it == name), "{name}");
    }
}

#[tokio::test]
async fn a_deny_says_why_and_what_would_help() {
    let world = world(&[]);
    let token = bearer(&world.token("bob", json!({"roles": ["payer"]})));
    let token = [("authorization", token.as_str())];
    let paid = world.ask(http("POST", "/orders/o-1", &token)).await;
    assert!(paid.allowed);

    let big = world.ask(http("POST", "/orders/big", &token)).await;
    big.is(401, 16, "forbidden");
    assert_eq!(big.body["detail"], "Payments need a second factor.");
    assert_eq!(big.body["advice"], "Log in again.");
    let challenge = &big.headers["www-authenticate"];
    assert!(challenge.contains("insufficient_user_authentication"));
    assert!(challenge.ends_with("acr_values=\"mfa\", max_age=\"60\""));

    let small = world.ask(http("POST", "/orders/small", &token)).await;
    small.is(403, 7, "forbidden");
    assert!(small.headers["www-authenticate"].contains("insufficient_scope"));

    let page = world.ask(http("GET", "/pages/alice", &token)).await;
    page.is(403, 7, "nothing_permits");
    assert!(!page.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn credentials_are_one_bearer_token_or_refused() {
    let world = world(&[]);
    let good = bearer(&world.token("bob", json!({"roles": ["payer"]})));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.AAAA");
    let dots = format!("Bearer {}", ".".repeat(1 << 20));
    let twice = format!("{good},{good}");
    for (value, status, code, said) in [
        (None, 401, 16, "token_missing"),
        (Some("Bearer  x"), 401, 16, "invalid_token"),
        (Some("Basic dTpw"), 401, 16, "invalid_token"),
        (Some("Bearer a.b"), 401, 16, "invalid_token"),
        (Some(dots.as_str()), 401, 16, "invalid_token"),
        (Some(forged.as_str()), 401, 16, "invalid_token"),
        (Some(twice.as_str()), 400, 3, "invalid_token"),
    ] {
        let headers: Vec<_> = value.map(|it| ("authorization", it)).into_iter().collect();
        let answer = world.ask(http("POST", "/orders/o-1", &headers)).await;
        answer.is(status, code, said);
        let challenge = &answer.headers["www-authenticate"];
        let error = challenge.contains("error=");
        let unasked = value.is_none_or(|it| it.starts_with("Basic"));
        assert_eq!(error, !unasked, "{challenge}");
    }
}

#[tokio::test]
async fn both_forms_of_headers_decide_alike() {
    let world = world(&[]);
    let token = bearer(&world.token("alice", json!({})));
    let with = |more: &[(&str, &str)]| {
        let own = ("authorization", token.as_str());
        let all: Vec<_> = std::iter::once(own).chain(more.iter().copied()).collect();
        http("GET", "/tags/o", &all)
    };
    type Raw<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(&str, Raw<'_>, i32); 5] = [
        ("a,b", &[("x-tag", b"a"), ("X-Tag", b"b")], 200),
        ("a", &[("x-tag", b"a")], 403),
        ("b,a", &[("x-tag", b"b"), ("x-tag", b"a")], 403),
        ("a!b", &[("x-tag", b"a\xffb")], 403),
        ("a\nb", &[("x-tag", b"a\nb")], 400),
    ];
    for (merged, parts, status) in cases {
        let one = world.ask(with(&[("x-tag", merged)])).await;
        let other = world.ask(raw(with(&[]), parts)).await;
        assert_eq!(one.status, status, "{one:?}");
        assert_eq!(
            (one.status, one.code),
            (other.status, other.code),
            "{other:?}"
        );
    }
    let twice = raw(with(&[]), &[("authorization", token.as_bytes())]);
    world.ask(twice).await.is(400, 3, "invalid_token");
    let mut both = raw(with(&[("x-tag", "a,b")]), &[]);
    both.headers = with(&[]).headers;
    world.ask(both).await.is(400, 3, "malformed");
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let world = world(&[]);
    let ok = || http("GET", "/pages/home", &[]);
    assert!(world.ask(ok()).await.allowed);
    for path in [
        "//pages/home",
        "/pages/../pages/home",
        "/pages/%2e%2e/pages/home",
        "/pages/./home",
        "/pages/x%2Fhome",
        "/pages/x%5Chome",
        "/pages\\home",
        "/pages/%252Fhome",
        "/pages/home%00",
        "/pages/%",
        "/pages/%zz",
        "/pages/home;x=1",
        "/pages;/../home",
        "/pages/home#x",
        "*",
        "",
        "http://shop.example/pages/home",
        "pages/home",
    ] {
        let answer = world.ask(http("GET", path, &[])).await;
        answer.is(400, 3, "malformed");
    }
    for path in [
        "/Pages/home",
        "/pages/home/",
        "/pages/hom%C3%A9",
        "/",
        "/pages",
    ] {
        let answer = world.ask(http("GET", path, &[])).await;
        assert!(
            !answer.allowed && answer.status != 400,
            "{path}: {answer:?}"
        );
    }
    assert!(
        world
            .ask(http("GET", "/pages/%68ome?x=/../", &[]))
            .await
            .allowed
    );
    for method in ["get", "GET ", ""] {
        let answer = world.ask(http(method, "/pages/home", &[])).await;
        answer.is(400, 3, "malformed");
    }
    let override_method = [("x-http-method-override", "POST")];
    let answer = world
        .ask(http("GET", "/orders/o-1", &override_method))
        .await;
    answer.is(403, 7, "no_route");

    type Change = fn(&mut HttpRequest);
    let changes: [Change; 9] = [
        |it| it.path = "/pages/alice".to_owned(),
        |it| it.method = "HEAD".to_owned(),
        |it| it.host = "other.example".to_owned(),
        |it| {
            it.headers
                .insert("host".to_owned(), "other.example".to_owned());
        },
        |it| it.query = "x=1".to_owned(),
        |it| it.fragment = "x".to_owned(),
        |it| {
            it.headers
                .insert(":Path".to_owned(), "/pages/home".to_owned());
        },
        |it| {
            it.headers
                .insert("connection".to_owned(), "close, X-Auth-Subject".to_owned());
        },
        |it| {
            it.host = "user@shop.example".to_owned();
            it.headers.insert(":authority".to_owned(), it.host.clone());
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut changed = ok();
        change(&mut changed);
        let answer = world.ask(changed).await;
        assert_eq!(
            (answer.status, answer.code),
            (400, 3),
            "change {n}: {answer:?}"
        );
    }
    let mut many = ok();
    for n in 0..10_000 {
        many.headers.insert(format!("x-{n}"), String::new());
    }
    world.ask(many).await.is(413, 8, "too_large");
    let mut dated = ok();
    dated.id = "\u{1b}[31m".to_owned();
    assert!(
        world.ask(dated).await.allowed,
        "an unprintable id is left out"
    );
}

#[tokio::test]
async fn without_an_http_request_nothing_is_allowed() {
    let world = world(&[]);
    for attributes in [None, Some(AttributeContext::default())] {
        let answer = world.check(Request::new(CheckRequest { attributes })).await;
        answer.is(400, 3, "malformed");
    }
}

#[tokio::test]
async fn a_body_of_which_only_a_part_came_is_told() {
    let world = world(&[]);
    for (header, body, size, truncated) in [
        (None, "", -1, false),
        (Some("false"), "abc", 3, false),
        (Some("true"), "abc", 3, true),
        (None, "abc", 30, true),
    ] {
        let headers: Vec<_> = header
            .map(|it| ("x-envoy-auth-partial-body", it))
            .into_iter()
            .collect();
        let mut sent = http("GET", "/pages/home", &headers);
        sent.body = body.to_owned();
        sent.size = size;
        let answer = world.ask(sent).await;
        assert_eq!(
            answer.metadata["body_truncated"].kind,
            Some(Kind::BoolValue(truncated))
        );
    }
}

#[tokio::test]
async fn the_proxy_proves_who_it_is_by_its_own_secret() {
    let world = world(&[caller("s3cret", &[Right::Check])]);
    let asked = |secrets: &[&str]| {
        let mut request = request(http("GET", "/pages/home", &[]));
        for secret in secrets {
            let value = MetadataValue::try_from(*secret).unwrap();
            request.metadata_mut().append("x-doorward-caller", value);
        }
        request
    };
    assert!(world.check(asked(&["s3cret"])).await.allowed);
    for wrong in [&[][..], &["other"], &["s3cret", "s3cret"], &[""]] {
        let answer = world.check(asked(wrong)).await;
        answer.is(403, 16, "caller_unknown");
    }
    // The end user's header is no credential of the proxy.
    let mut request = request(http(
        "GET",
        "/pages/home",
        &[("x-doorward-caller", "s3cret")],
    ));
    request
        .metadata_mut()
        .insert("authorization", "Bearer s3cret".parse().unwrap());
    world.check(request).await.is(403, 16, "caller_unknown");
}

/// A request with what only a gateway may state.
fn stated(extensions: &[(&str, &str)], payload: Option<Json>) -> Request<CheckRequest> {
    let mut request = request(http("POST", "/orders/o-1", &[]));
    let attributes = request.get_mut().attributes.as_mut().unwrap();
    attributes.context_extensions = extensions
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    attributes.metadata_context = payload.map(|payload| Metadata {
        filter_metadata: HashMap::from([(
            "envoy.filters.http.jwt_authn".to_owned(),
            Struct {
                fields: HashMap::from([("jwt_payload".to_owned(), to_struct(payload))]),
            },
        )]),
        ..Metadata::default()
    });
    request
        .metadata_mut()
        .insert("x-doorward-caller", "s3cret".parse().unwrap());
    request
}

fn to_struct(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(ListValue {
            values: items.into_iter().map(to_struct).collect(),
        }),
        Json::Object(members) => Kind::StructValue(Struct {
            fields: members
                .into_iter()
                .map(|(k, v)| (k, to_struct(v)))
                .collect(),
        }),
    };
    Value { kind: Some(kind) }
}

fn payload(change: Json) -> Option<Json> {
    let mut payload = json!({
        "iss": "https://corp.example/", "aud": "corp-audience", "sub": "carol", "client_id": "web",
        "jti": "j", "iat": now().as_second(), "exp": now().as_second() + 60, "roles": ["payer"],
    });
    let members = payload.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    Some(payload)
}

#[tokio::test]
async fn claims_that_envoy_verified_count_from_a_gateway_and_within_our_own_checks() {
    let gateway = world(&[caller("s3cret", &[Right::Check, Right::Gateway])]);
    let answer = gateway.check(stated(&[], payload(json!({})))).await;
    answer.is(200, 0, "");
    assert_eq!(answer.headers["x-auth-subject"], "carol");
    let past = now().as_second() - 600;
    for (change, said) in [
        (json!({"exp": past}), "token_expired"),
        (json!({"aud": "other"}), "invalid_token"),
        (json!({"iss": "https://evil.example/"}), "invalid_token"),
        (json!({"cnf": {"jkt": "x"}}), "invalid_token"),
        (json!({"nonce": "n"}), "invalid_token"),
        (json!({"exp": "soon"}), "invalid_token"),
        (json!({"iat": now().as_second() + 600}), "invalid_token"),
    ] {
        let answer = gateway.check(stated(&[], payload(change))).await;
        answer.is(401, 16, said);
    }
    // A token that came along is what counts, good or bad.
    let mut both = stated(&[], payload(json!({})));
    let attributes = both.get_mut().attributes.as_mut().unwrap();
    let http = attributes.request.as_mut().unwrap().http.as_mut().unwrap();
    http.headers
        .insert("authorization".to_owned(), "Bearer a.b.c".to_owned());
    gateway.check(both).await.is(401, 16, "invalid_token");

    let other = world(&[caller("s3cret", &[Right::Check])]);
    let answer = other.check(stated(&[], payload(json!({})))).await;
    answer.is(401, 16, "token_missing");
}

#[tokio::test]
async fn whom_a_certificate_names_counts_from_a_gateway_alone() {
    let asked = |peer: &str| {
        let mut request = request(http("GET", "/doors/d", &[]));
        let attributes = request.get_mut().attributes.as_mut().unwrap();
        attributes.source = Some(attribute_context::Peer {
            principal: peer.to_owned(),
            ..Default::default()
        });
        request
            .metadata_mut()
            .insert("x-doorward-caller", "s3cret".parse().unwrap());
        request
    };
    let gateway = world(&[caller("s3cret", &[Right::Check, Right::Gateway])]);
    gateway
        .check(asked("spiffe://shop/web"))
        .await
        .is(200, 0, "");
    for other in ["spiffe://shop/other", ""] {
        let answer = gateway.check(asked(other)).await;
        answer.is(403, 7, "nothing_permits");
    }
    let other = world(&[caller("s3cret", &[Right::Check])]);
    let answer = other.check(asked("spiffe://shop/web")).await;
    answer.is(403, 7, "nothing_permits");
}

#[tokio::test]
async fn a_route_names_its_bundle_through_a_gateway_alone() {
    let gateway = world(&[caller("s3cret", &[Right::Check, Right::Gateway])]);
    let closed = [("bundle", "closed"), ("color", "red")];
    let answer = gateway.check(stated(&closed, payload(json!({})))).await;
    answer.is(403, 7, "forbidden");
    let answer = gateway
        .check(stated(&[("bundle", "shop")], payload(json!({}))))
        .await;
    answer.is(200, 0, "");
    let unknown = stated(&[("bundle", "nope")], payload(json!({})));
    gateway
        .check(unknown)
        .await
        .is(403, 7, "caller_lacks_right");

    let other = world(&[caller("s3cret", &[Right::Check])]);
    let answer = other.check(stated(&[("bundle", "shop")], None)).await;
    answer.is(403, 7, "caller_lacks_right");
}

//! What Envoy asks and what it is answered.

mod answer;
mod caller;
mod properties;
mod request;

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

/// The message about a request, and nothing besides.
pub(crate) fn about(http: HttpRequest) -> CheckRequest {
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

fn request(http: HttpRequest) -> Request<CheckRequest> {
    Request::new(about(http))
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

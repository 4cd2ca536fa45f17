//! A decision point with an issuer of its own, and requests in the words of the wire.

use std::{path::PathBuf, sync::Arc};

use doorward::{
    audit::Recorder,
    authn::{Callers, DevIssuer, Mint, TokenVerifier, TrustedKeys},
    bundle::LiveBundles,
    config::BundleConfig,
    model::{
        AccessRequest, AccessToken, BundleName, CallerCredential, EntityFacts, Face, GatewayFacts,
        Members, NamedQuestion, Question, SignedDuration, Subject, Timestamp, Value,
    },
    pdp::Pdp,
    proto::v1::{self as wire, check_request, value::Kind},
};
use tempfile::TempDir;

use super::Shape;

/// An issuer that signs with ES256.
pub(crate) struct Issuer {
    signer: DevIssuer,
    _data: TempDir,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let data = TempDir::new().unwrap();
        let signer = DevIssuer::open(data.path()).unwrap();
        Self {
            signer,
            _data: data,
        }
    }

    /// A fresh token, good for a day.
    pub(crate) fn token(&self, sub: &str, group: usize, now: Timestamp) -> String {
        token(&self.signer, sub, group, now)
    }
}

/// A token of `sub`, whose team has the policies of `group`.
pub(crate) fn token(signer: &DevIssuer, sub: &str, group: usize, now: Timestamp) -> String {
    let claims = super::claims(group);
    let claims = claims.as_object().unwrap().iter();
    let mint = Mint {
        sub: sub.to_owned(),
        scope: String::new(),
        client_id: "web".to_owned(),
        ttl: SignedDuration::from_hours(24),
        claims: claims
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect(),
    };
    signer.mint(&mint, now).unwrap()
}

/// A decision point over one bundle, which anyone on this machine may ask.
pub(crate) struct Bench {
    pub(crate) issuer: Issuer,
    pub(crate) live: LiveBundles,
    pub(crate) pdp: Arc<Pdp>,
    tokens: Arc<TokenVerifier>,
}

impl Bench {
    /// The keys of its issuer.
    pub(crate) fn keys(&self) -> Arc<TrustedKeys> {
        self.tokens.pin()
    }

    pub(crate) fn new(shape: Shape, recorder: Recorder) -> Self {
        let issuer = Issuer::new();
        let name = BundleName::new("bench");
        let live = LiveBundles::new([name.clone()]);
        live.get("bench")
            .unwrap()
            .1
            .publish(Arc::new(shape.snapshot()));
        let config = BundleConfig {
            name: name.clone(),
            path: PathBuf::new(),
            hosts: Vec::new(),
            issuers: None,
            audiences: None,
            callers: None,
        };
        let tokens = Arc::new(TokenVerifier::new(&[issuer.signer.issuer_config()]).unwrap());
        let pdp = Pdp::new(
            &[config],
            Some(name),
            live.clone(),
            Callers::new(&[], false),
            Arc::clone(&tokens),
            recorder,
        );
        Self {
            issuer,
            live,
            pdp: Arc::new(pdp),
            tokens,
        }
    }
}

/// May the bearer of `token` view this document?
pub(crate) fn request(token: String, resource: EntityFacts) -> AccessRequest {
    AccessRequest {
        face: Face::Grpc,
        credential: CallerCredential::default(),
        bundle: None,
        subject: Subject::Token(AccessToken::new(token)),
        question: Question::Named(NamedQuestion {
            action: "view".to_owned(),
            properties: Members::new(),
            resource,
        }),
        entities: Vec::new(),
        context: [("risk".to_owned(), Value::Long(7))].into(),
        at_least_revision: None,
        request_id: None,
        gateway: GatewayFacts::default(),
    }
}

/// The same on the wire.
pub(crate) fn message(token: String, resource: EntityFacts) -> wire::CheckRequest {
    let uid = |uid: doorward::model::EntityRef| wire::EntityUid {
        r#type: uid.type_name,
        id: uid.id,
    };
    let value = |value| wire::Value {
        kind: Some(match value {
            Value::Long(value) => Kind::Int64(value),
            Value::String(text) => Kind::String(text),
            other => unreachable!("{other:?}"),
        }),
    };
    let attributes = resource.attributes.into_iter();
    wire::CheckRequest {
        subject: Some(check_request::Subject::AccessToken(token)),
        question: Some(check_request::Question::Named(wire::NamedQuestion {
            action: "view".to_owned(),
            resource: Some(wire::Entity {
                uid: Some(uid(resource.uid)),
                attributes: attributes.map(|(name, it)| (name, value(it))).collect(),
                parents: resource.parents.into_iter().map(uid).collect(),
            }),
        })),
        context: [("risk".to_owned(), value(Value::Long(7)))].into(),
        ..wire::CheckRequest::default()
    }
}

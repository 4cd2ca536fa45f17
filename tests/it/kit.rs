//! A decision point in the process, with issuers whose tokens are really signed.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use doorward::{
    audit::Recorder,
    authn::{Callers, DevIssuer, Mint, TokenVerifier},
    bundle::{BundleFiles, CompileOptions, LiveBundles},
    config::{BundleConfig, CallerConfig, IssuerConfig},
    model::{
        AccessRequest, AccessToken, BundleName, CallerCredential, CanonicalRequest, EntityFacts,
        EntityRef, Face, GatewayFacts, HttpAsk, IssuerName, Members, NamedQuestion, Question,
        Refusal, SignedDuration, Subject, Timestamp, Value,
    },
    pap,
    pdp::{Answer, Pdp},
    policy::Fault,
};
use serde_json::Value as Json;
use tempfile::TempDir;

pub(crate) const NOW: &str = "2030-01-01T09:00:00Z";

/// An issuer that signs for tests.
pub(crate) struct Issuer {
    signer: DevIssuer,
    config: IssuerConfig,
    _data: TempDir,
}

impl Issuer {
    pub(crate) fn new(name: &str) -> Self {
        let data = TempDir::new().unwrap();
        let signer = DevIssuer::open(data.path()).unwrap();
        let config = IssuerConfig {
            name: IssuerName::new(name),
            issuer: format!("https://{name}.example/"),
            audiences: vec![format!("{name}-audience")],
            ..signer.issuer_config()
        };
        Self {
            signer,
            config,
            _data: data,
        }
    }

    /// A token of `sub` with these further claims.
    pub(crate) fn token(&self, sub: &str, claims: Json) -> Subject {
        let own = [
            ("iss", Json::from(self.config.issuer.as_str())),
            ("aud", Json::from(self.config.audiences.clone())),
        ];
        let given = claims.as_object().unwrap().clone();
        let mut all: BTreeMap<String, String> = own
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .collect();
        all.extend(
            given
                .into_iter()
                .map(|(name, value)| (name, value.to_string())),
        );
        let mint = Mint {
            sub: sub.to_owned(),
            scope: String::new(),
            client_id: "web".to_owned(),
            ttl: SignedDuration::from_mins(5),
            claims: all.into_iter().collect(),
        };
        Subject::Token(AccessToken::new(self.signer.mint(&mint, now()).unwrap()))
    }
}

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A bundle to serve: its name, its files and whom it lets in.
pub(crate) struct Served {
    pub(crate) config: BundleConfig,
    pub(crate) files: BundleFiles,
}

impl Served {
    pub(crate) fn new(name: &str, files: &[(&str, &str)]) -> Self {
        Self {
            config: BundleConfig {
                name: BundleName::new(name),
                path: PathBuf::new(),
                hosts: Vec::new(),
                issuers: None,
                audiences: None,
                callers: None,
            },
            files: BundleFiles::new(files.iter().copied()),
        }
    }
}

/// A decision point that serves `bundles`, the first by default; in development mode when it has no
/// `callers`.
pub(crate) fn pdp(
    bundles: &[Served],
    issuers: &[&Issuer],
    callers: &[CallerConfig],
) -> Result<Pdp, Vec<Fault>> {
    live_pdp(bundles, issuers, callers).map(|(pdp, _)| pdp)
}

/// The same, with the place where its bundles are published.
pub(crate) fn live_pdp(
    bundles: &[Served],
    issuers: &[&Issuer],
    callers: &[CallerConfig],
) -> Result<(Pdp, LiveBundles), Vec<Fault>> {
    let live = LiveBundles::new(bundles.iter().map(|bundle| bundle.config.name.clone()));
    for bundle in bundles {
        let names = issuers
            .iter()
            .map(|issuer| issuer.config.name.clone())
            .collect();
        let options = CompileOptions {
            issuers: Some(bundle.config.issuers.clone().unwrap_or(names)),
            ..CompileOptions::default()
        };
        let (_, place) = live.get(bundle.config.name.as_str()).unwrap();
        pap::publish(place, &bundle.files, &options)?;
    }
    let configs: Vec<IssuerConfig> = issuers.iter().map(|issuer| issuer.config.clone()).collect();
    let bundles: Vec<BundleConfig> = bundles.iter().map(|bundle| bundle.config.clone()).collect();
    let pdp = Pdp::new(
        &bundles,
        bundles.first().map(|bundle| bundle.name.clone()),
        live.clone(),
        Callers::new(callers, callers.is_empty()),
        Arc::new(TokenVerifier::new(&configs).unwrap()),
        Recorder::off(),
    );
    Ok((pdp, live))
}

/// A request in the making.
pub(crate) struct Ask(pub(crate) AccessRequest);

impl Ask {
    fn new(subject: Subject, question: Question) -> Self {
        Self(AccessRequest {
            face: Face::Grpc,
            credential: CallerCredential {
                peer: None,
                bearer: None,
                ..CallerCredential::default()
            },
            bundle: None,
            subject,
            question,
            entities: Vec::new(),
            context: Members::new(),
            at_least_revision: None,
            request_id: None,
            gateway: GatewayFacts::default(),
        })
    }

    pub(crate) fn named(subject: Subject, action: &str, resource: EntityFacts) -> Self {
        Self::new(
            subject,
            Question::Named(NamedQuestion {
                action: action.to_owned(),
                properties: Members::new(),
                resource,
            }),
        )
    }

    pub(crate) fn http(subject: Subject, method: &str, url: &str) -> Self {
        let (host, path) = url.split_at(url.find('/').unwrap());
        let request = CanonicalRequest::parse(method, host, path).unwrap();
        Self::new(
            subject,
            Question::Http(HttpAsk {
                request,
                headers: BTreeMap::new(),
            }),
        )
    }

    pub(crate) fn bundle(mut self, name: &str) -> Self {
        self.0.bundle = Some(BundleName::new(name));
        self
    }

    pub(crate) fn caller(mut self, secret: &str) -> Self {
        self.0.credential.bearer = Some(secret.to_owned());
        self
    }

    pub(crate) fn entity(mut self, facts: EntityFacts) -> Self {
        self.0.entities.push(facts);
        self
    }

    pub(crate) fn context(mut self, name: &str, value: Json) -> Self {
        self.0.context.insert(name.to_owned(), Value::from(value));
        self
    }

    /// The answer as of [`NOW`]; what keeps it from being one, as a refusal.
    pub(crate) fn of(self, pdp: &Pdp) -> Result<Answer, Refusal> {
        block_on(pdp.answer(self.0, now())).map_err(|refused| refused.refusal)
    }
}

/// Runs a future on a thread of its own runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// An entity with attributes given as JSON.
pub(crate) fn entity(uid: &str, attributes: Json) -> EntityFacts {
    let attributes = attributes.as_object().unwrap().clone();
    EntityFacts {
        uid: uid.parse::<EntityRef>().unwrap(),
        attributes: attributes
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)))
            .collect(),
        parents: Vec::new(),
    }
}

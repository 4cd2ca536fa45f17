//! The effective configuration as TOML, without its secrets.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::Serialize;

use super::{
    CallerConfig, Config, FetchConfig, IssuerConfig, KeySource, LimitsConfig, Preset, Profile,
    TlsConfig,
    audit::RawAudit,
    ledger::RawLedger,
    reload::{RawBundleLimits, RawReload},
};
use crate::model::{BundleName, CallerName, IssuerName, Right, SignedDuration};

const MASK: &str = "***";

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    default_bundle: Option<&'a BundleName>,
    data: &'a Path,
    listen: Listen<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp: Option<Otlp<'a>>,
    audit: RawAudit,
    ledger: RawLedger,
    decide: Decide,
    reload: RawReload,
    bundle_limits: RawBundleLimits,
    #[serde(skip_serializing_if = "Option::is_none")]
    authzen: Option<Authzen<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_auth: Option<ForwardAuth<'a>>,
    identity_headers: BTreeMap<&'static str, &'a str>,
    bundles: BTreeMap<&'a str, Bundle<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    issuer: Vec<Issuer<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    caller: Vec<Caller<'a>>,
}

#[derive(Serialize)]
struct Listen<'a> {
    grpc: String,
    http: String,
    probe: String,
    admin: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hosts: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    insecure: Vec<&'static str>,
}

#[derive(Serialize)]
struct Tls<'a> {
    cert: &'a Path,
    key: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ca: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cert: Option<&'static str>,
    probe: bool,
}

#[derive(Serialize)]
struct Limits {
    connections: usize,
    streams_per_connection: u32,
    queued: usize,
    checks: usize,
    batches: usize,
    streams: usize,
    explanations: usize,
    explanations_per_minute: usize,
    batch: usize,
    evaluations: usize,
    message_bytes: usize,
    ext_authz_message_bytes: usize,
    deadline_ms: u64,
    handshake_ms: u64,
    request_ms: u64,
    connection_age_s: u64,
    drain_ms: u64,
}

#[derive(Serialize)]
struct Otlp<'a> {
    endpoint: &'a str,
    ratio: f64,
}

#[derive(Serialize)]
struct Authzen<'a> {
    url: &'a str,
}

#[derive(Serialize)]
struct ForwardAuth<'a> {
    cookie: &'a str,
}

#[derive(Serialize)]
struct Decide {
    strict_errors: bool,
    max_level: u32,
}

#[derive(Serialize)]
struct Bundle<'a> {
    path: &'a Path,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hosts: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    issuers: Option<&'a [IssuerName]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audiences: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callers: Option<&'a [CallerName]>,
}

#[derive(Serialize)]
struct Issuer<'a> {
    name: &'a IssuerName,
    issuer: &'a str,
    audiences: &'a [String],
    algorithms: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_file: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_url: Option<&'a str>,
    #[serde(flatten)]
    fetch: Fetch<'a>,
    profile: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    leeway: String,
    max_lifetime: String,
    key_refetch: String,
}

#[derive(Default, Serialize)]
struct Fetch<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<&'a Path>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allow_addresses: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allow_origins: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    allow_http_loopback: bool,
}

#[derive(Serialize)]
struct Caller<'a> {
    name: &'a CallerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_sha256: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtls_san: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unix_uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cidr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a IssuerName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_audience: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundles: Option<&'a [BundleName]>,
    may: Vec<Right>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vouch: Option<Vouch<'a>>,
}

#[derive(Serialize)]
struct Vouch<'a> {
    types: &'a [String],
    parents: bool,
}

impl Config {
    /// Listeners that other machines reach though TLS or callers are missing: someone said so.
    fn exposed(&self) -> Vec<&'static str> {
        let protected = self.tls.is_some() && !self.callers.is_empty();
        let open = !protected && !self.listen.grpc.is_local();
        open.then_some("grpc").into_iter().collect()
    }

    /// The effective configuration as a `doorward.toml`, with secrets masked.
    pub fn print(&self) -> String {
        let bundles = self.bundles.iter().map(|it| {
            let shown = Bundle {
                path: &it.path,
                hosts: &it.hosts,
                issuers: it.issuers.as_deref(),
                audiences: it.audiences.as_deref(),
                callers: it.callers.as_deref(),
            };
            (it.name.as_str(), shown)
        });
        let shown = Shown {
            default_bundle: self.default_bundle.as_ref(),
            data: &self.data,
            listen: Listen {
                grpc: self.listen.grpc.to_string(),
                http: self.listen.http.to_string(),
                probe: self.listen.probe.to_string(),
                admin: self.listen.admin.to_string(),
                hosts: &self.listen.hosts,
                insecure: self.exposed(),
            },
            tls: self.tls.as_ref().map(tls),
            limits: limits(&self.limits),
            otlp: self.otlp.as_ref().map(|it| Otlp {
                endpoint: &it.endpoint,
                ratio: it.ratio,
            }),
            audit: RawAudit::shown(&self.audit),
            ledger: RawLedger::shown(&self.ledger),
            decide: Decide {
                strict_errors: self.decide.strict_errors,
                max_level: self.decide.max_level,
            },
            reload: RawReload::shown(&self.reload),
            bundle_limits: RawBundleLimits::shown(&self.bundle_limits),
            authzen: self.http.authzen_url.as_deref().map(|url| Authzen { url }),
            forward_auth: self
                .http
                .cookie
                .as_deref()
                .map(|cookie| ForwardAuth { cookie }),
            identity_headers: self.identity_headers.by_key().collect(),
            bundles: bundles.collect(),
            issuer: self.issuers.iter().map(issuer).collect(),
            caller: self.callers.iter().map(caller).collect(),
        };
        // Only a path that is not UTF-8 has no TOML.
        toml::to_string(&shown).unwrap_or_else(|why| format!("# cannot be shown: {why}\n"))
    }
}

fn tls(it: &TlsConfig) -> Tls<'_> {
    Tls {
        cert: &it.cert,
        key: &it.key,
        client_ca: it.client_ca.as_deref(),
        client_cert: it
            .client_ca
            .as_ref()
            .map(|_| match it.client_cert_required {
                true => "required",
                false => "optional",
            }),
        probe: it.probe,
    }
}

fn limits(it: &LimitsConfig) -> Limits {
    Limits {
        connections: it.connections,
        streams_per_connection: it.streams_per_connection,
        queued: it.queued,
        checks: it.checks,
        batches: it.batches,
        streams: it.streams,
        explanations: it.explanations,
        explanations_per_minute: it.explanations_per_minute,
        batch: it.batch,
        evaluations: it.evaluations,
        message_bytes: it.message,
        ext_authz_message_bytes: it.ext_authz_message,
        deadline_ms: millis(it.deadline),
        handshake_ms: millis(it.handshake),
        request_ms: millis(it.request),
        connection_age_s: it.connection_age.as_secs(),
        drain_ms: millis(it.drain),
    }
}

fn millis(it: Duration) -> u64 {
    u64::try_from(it.as_millis()).unwrap_or(u64::MAX)
}

fn issuer(it: &IssuerConfig) -> Issuer<'_> {
    Issuer {
        name: &it.name,
        issuer: &it.issuer,
        audiences: &it.audiences,
        algorithms: it.algorithms.iter().map(|it| it.as_str()).collect(),
        jwks_file: match &it.keys {
            KeySource::File(path) => Some(path),
            _ => None,
        },
        jwks_url: match &it.keys {
            KeySource::Url { url, .. } => Some(url.as_str()),
            _ => None,
        },
        fetch: match &it.keys {
            KeySource::Url { fetch, .. } | KeySource::Discovery { fetch, .. } => shown(fetch),
            KeySource::File(_) | KeySource::Inline(_) => Fetch::default(),
        },
        profile: match it.profile {
            Profile::AtJwt => "at+jwt",
            Profile::Jwt => "jwt",
        },
        preset: it.preset.map(|preset| match preset {
            Preset::Keycloak => "keycloak",
            Preset::Entra => "entra",
            Preset::Auth0 => "auth0",
            Preset::Okta => "okta",
            Preset::Cognito => "cognito",
        }),
        leeway: duration(it.leeway),
        max_lifetime: duration(it.max_lifetime),
        key_refetch: duration(it.key_refetch),
    }
}

fn shown(it: &FetchConfig) -> Fetch<'_> {
    Fetch {
        ca_file: it.ca_file.as_deref(),
        allow_addresses: it.allow_addresses.iter().map(ToString::to_string).collect(),
        allow_origins: it
            .allow_origins
            .iter()
            .map(url::Origin::ascii_serialization)
            .collect(),
        allow_http_loopback: it.allow_http_loopback,
    }
}

fn caller(it: &CallerConfig) -> Caller<'_> {
    let proof = &it.proof;
    let token = proof.token.as_ref();
    Caller {
        name: &it.name,
        token_sha256: proof.token_sha256.map(|_| MASK),
        mtls_san: proof.mtls_san.as_deref(),
        unix_uid: proof.unix_uid,
        cidr: proof.cidr.map(|network| network.to_string()),
        issuer: token.map(|token| &token.issuer),
        caller_audience: token.map(|token| token.audience.as_str()),
        scope: token.map(|token| token.scope.as_str()),
        subject: token.and_then(|token| token.subject.as_deref()),
        bundles: it.bundles.as_deref(),
        may: it.may.iter().copied().collect(),
        vouch: it.may.contains(&Right::Vouch).then_some(Vouch {
            types: &it.vouch.types,
            parents: it.vouch.parents,
        }),
    }
}

fn duration(it: Duration) -> String {
    match SignedDuration::try_from(it) {
        Ok(it) => format!("{it:#}"),
        Err(_) => format!("{}s", it.as_secs()),
    }
}

//! The effective configuration as TOML, without its secrets.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::Serialize;

use super::{AuditMode, CallerConfig, Config, IssuerConfig, KeySource, Preset, Profile};
use crate::model::{BundleName, CallerName, IssuerName, Right, SignedDuration};

const MASK: &str = "***";

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    default_bundle: Option<&'a BundleName>,
    data: &'a Path,
    listen: Listen,
    audit: Audit<'a>,
    decide: Decide,
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
struct Listen {
    grpc: String,
    http: String,
    probe: String,
}

#[derive(Serialize)]
struct Audit<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
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
    profile: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    leeway: String,
    max_lifetime: String,
}

#[derive(Serialize)]
struct Caller<'a> {
    name: &'a CallerName,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_sha256: Option<&'static str>,
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
            },
            audit: Audit {
                mode: match self.audit.mode {
                    AuditMode::BestEffort => "best_effort",
                    AuditMode::Off => "off",
                },
                file: self.audit.file.as_deref(),
            },
            decide: Decide {
                strict_errors: self.decide.strict_errors,
                max_level: self.decide.max_level,
            },
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

fn issuer(it: &IssuerConfig) -> Issuer<'_> {
    Issuer {
        name: &it.name,
        issuer: &it.issuer,
        audiences: &it.audiences,
        algorithms: it.algorithms.iter().map(|it| it.as_str()).collect(),
        jwks_file: match &it.keys {
            KeySource::File(path) => Some(path),
            KeySource::Inline(_) => None,
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
    }
}

fn caller(it: &CallerConfig) -> Caller<'_> {
    Caller {
        name: &it.name,
        token_sha256: it.token_sha256.map(|_| MASK),
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

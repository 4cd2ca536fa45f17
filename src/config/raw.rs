//! What stands in `doorward.toml`, key by key, before it means anything.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    audit::RawAudit,
    caller::RawCaller,
    http::{RawAuthzen, RawForwardAuth},
    identity::RawIdentityHeaders,
    issuer::RawIssuer,
    ledger::RawLedger,
    limits::{RawLimits, RawOtlp},
    listen::{RawListen, RawTls},
    reload::{RawBundleLimits, RawReload},
};

/// The file as written; flags and environment are laid over it with [`RawConfig::set`].
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) bundle: Option<PathBuf>,
    pub(super) bundles: BTreeMap<String, RawBundle>,
    pub(super) default_bundle: Option<String>,
    pub(super) data: Option<PathBuf>,
    pub(super) listen: RawListen,
    pub(super) tls: Option<RawTls>,
    pub(super) limits: RawLimits,
    pub(super) otlp: RawOtlp,
    pub(super) issuer: Vec<RawIssuer>,
    pub(super) caller: Vec<RawCaller>,
    pub(super) audit: RawAudit,
    pub(super) ledger: RawLedger,
    pub(super) decide: RawDecide,
    pub(super) reload: RawReload,
    pub(super) bundle_limits: RawBundleLimits,
    pub(super) authzen: RawAuthzen,
    pub(super) forward_auth: RawForwardAuth,
    pub(super) identity_headers: RawIdentityHeaders,
    pub(super) admin: RawAdmin,
}

/// `[admin]`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAdmin {
    pub(super) bundle: Option<PathBuf>,
}

/// `[bundles.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBundle {
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    pub(super) issuers: Option<Vec<String>>,
    pub(super) audiences: Option<Vec<String>>,
    pub(super) callers: Option<Vec<String>>,
}

/// `[decide]`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDecide {
    pub(super) strict_errors: Option<bool>,
    pub(super) max_level: Option<u32>,
}

impl RawConfig {
    /// Sets one scalar key from a flag or the environment; relative paths are the process's.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "bundle" => self.bundle = Some(PathBuf::from(value)),
            "default_bundle" => self.default_bundle = Some(value.to_owned()),
            "data" => self.data = Some(PathBuf::from(value)),
            "listen.grpc" => self.listen.grpc = Some(value.parse()?),
            "listen.http" => self.listen.http = Some(value.parse()?),
            "listen.probe" => self.listen.probe = Some(value.parse()?),
            "listen.admin" => self.listen.admin = Some(value.parse()?),
            "admin.bundle" => self.admin.bundle = Some(PathBuf::from(value)),
            "listen.insecure" => {
                let names = value.split(',').map(|it| it.trim().to_owned());
                self.listen.insecure = names.filter(|it| !it.is_empty()).collect();
            }
            "otlp.endpoint" => self.otlp.endpoint = Some(value.to_owned()),
            "authzen.url" => self.authzen.url = Some(value.to_owned()),
            "forward_auth.cookie" => self.forward_auth.cookie = Some(value.to_owned()),
            "decide.strict_errors" => {
                let parsed = value.parse();
                self.decide.strict_errors =
                    Some(parsed.map_err(|_| format!("expected `true` or `false`, not `{value}`"))?);
            }
            "decide.max_level" => {
                let parsed = value.parse();
                self.decide.max_level =
                    Some(parsed.map_err(|_| format!("expected a number, not `{value}`"))?);
            }
            _ => {
                let set = match key.split_once('.') {
                    Some(("audit", key)) => self.audit.set(key, value),
                    Some(("ledger", key)) => self.ledger.set(key, value),
                    Some(("reload", key)) => self.reload.set(key, value),
                    Some(("bundle_limits", key)) => self.bundle_limits.set(key, value),
                    _ => None,
                };
                return set.unwrap_or_else(|| Err("there is no setting of this name".to_owned()));
            }
        }
        Ok(())
    }

    /// Makes the file's relative paths relative to the file's directory.
    pub(super) fn rebase(&mut self, dir: &Path) {
        let paths = [
            &mut self.bundle,
            &mut self.data,
            &mut self.audit.dir,
            &mut self.admin.bundle,
        ];
        if let Some(tls) = &mut self.tls {
            tls.rebase(dir);
        }
        self.audit.sink.rebase(dir);
        let given = paths.into_iter().flatten();
        for path in given.chain(self.bundles.values_mut().map(|bundle| &mut bundle.path)) {
            *path = dir.join(&path);
        }
    }
}

pub(super) fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

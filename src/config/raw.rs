//! What stands in `doorward.toml`, key by key, before it means anything.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    AuditMode,
    caller::RawCaller,
    http::{RawAuthzen, RawForwardAuth},
    identity::RawIdentityHeaders,
    issuer::RawIssuer,
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
    pub(super) issuer: Vec<RawIssuer>,
    pub(super) caller: Vec<RawCaller>,
    pub(super) audit: RawAudit,
    pub(super) decide: RawDecide,
    pub(super) authzen: RawAuthzen,
    pub(super) forward_auth: RawForwardAuth,
    pub(super) identity_headers: RawIdentityHeaders,
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

/// `[listen]`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawListen {
    #[serde(deserialize_with = "from_text")]
    pub(super) grpc: Option<Address>,
    #[serde(deserialize_with = "from_text")]
    pub(super) http: Option<Address>,
    #[serde(deserialize_with = "from_text")]
    pub(super) probe: Option<Address>,
}

/// `[audit]`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAudit {
    #[serde(deserialize_with = "from_text")]
    pub(super) mode: Option<AuditMode>,
    pub(super) file: Option<PathBuf>,
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
            "audit.mode" => self.audit.mode = Some(value.parse()?),
            "audit.file" => self.audit.file = Some(PathBuf::from(value)),
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
            _ => return Err("there is no setting of this name".to_owned()),
        }
        Ok(())
    }

    /// Makes the file's relative paths relative to the file's directory.
    pub(super) fn rebase(&mut self, dir: &Path) {
        let paths = [&mut self.bundle, &mut self.data, &mut self.audit.file];
        let given = paths.into_iter().flatten();
        for path in given.chain(self.bundles.values_mut().map(|bundle| &mut bundle.path)) {
            *path = dir.join(&path);
        }
    }
}

/// An address to listen on.
#[derive(Clone, Copy)]
pub(super) struct Address(pub(super) SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("expected an address with a port such as `127.0.0.1:9191`, not `{text}`")
        })
    }
}

impl FromStr for AuditMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "best_effort" => Ok(Self::BestEffort),
            "off" => Ok(Self::Off),
            "required" => Err(
                "`required` needs the durable log, which this version does not have: \
                 write `best_effort` or `off`"
                    .to_owned(),
            ),
            _ => Err(format!("expected `best_effort` or `off`, not `{text}`")),
        }
    }
}

fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

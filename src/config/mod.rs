//! What the operator wrote: `RawConfig` → [`Config`], bounds checked, unknown keys refused.

mod audit;
mod caller;
mod check;
mod env;
mod fetch;
mod http;
mod identity;
mod issuer;
mod ledger;
mod limits;
mod listen;
mod print;
mod raw;
mod reload;
mod sink;
#[cfg(test)]
mod tests;
mod text;

pub use audit::{AuditConfig, AuditMode, Redact};
pub use caller::{CallerConfig, Proof, RawCaller, TokenProof, VouchScope};
pub use fetch::FetchConfig;
pub use http::HttpConfig;
pub use identity::{IdentityFact, IdentityHeaders, RawIdentityHeaders};
pub use issuer::{Algorithm, IssuerConfig, KeySource, Preset, Profile, RawIssuer};
pub use ledger::LedgerConfig;
pub use limits::{LimitsConfig, OtlpConfig};
pub use listen::{ListenAddress, ListenConfig, TlsConfig};
pub use reload::{BundleLimitsConfig, ReloadConfig};
pub use sink::{FileSink, SinkConfig, SinkFormat};

use std::path::{Path, PathBuf};

use crate::model::{BundleName, CallerName, IssuerName};
use raw::RawConfig;

/// Where a configuration comes from; the later field wins.
#[derive(Debug, Default)]
pub struct Sources {
    /// The configuration file; `None`: defaults.
    pub file: Option<PathBuf>,
    /// The process's environment, of which `DOORWARD_…` is read.
    pub environment: Vec<(String, String)>,
    /// Flags of the command line.
    pub flags: Vec<Setting>,
    /// Development mode.
    pub dev: bool,
}

/// One scalar key given outside the file.
#[derive(Debug)]
pub struct Setting {
    /// The key, as `audit.mode`.
    pub key: String,
    /// Its value, as text.
    pub value: String,
    /// Who says so, as `--grpc` or `DOORWARD_AUDIT__MODE`.
    pub source: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in the file is not what it should be.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A flag or variable has no such value.
    #[error("`{name}`: {message}")]
    Setting {
        /// The flag or variable.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The parts do not fit together.
    #[error("{0}")]
    Invalid(String),
}

impl Config {
    /// Reads the configuration: flag over environment over file over default.
    ///
    /// # Errors
    /// [`ConfigError`] for unknown keys, values out of bounds and references to nothing.
    pub fn load(sources: Sources) -> Result<Self, ConfigError> {
        let Sources {
            file,
            environment,
            flags,
            dev,
        } = sources;
        let dir = file.as_deref().and_then(Path::parent).map(Path::to_owned);
        let dir = dir.unwrap_or_default();
        let mut raw = match &file {
            Some(path) => read_file(path)?,
            None => RawConfig::default(),
        };
        raw.rebase(&dir);
        for setting in env::settings(environment).into_iter().chain(flags) {
            let Setting { key, value, source } = setting;
            raw.set(&key, &value)
                .map_err(|message| ConfigError::Setting {
                    name: source,
                    message,
                })?;
        }
        check::check(raw, &dir, dev)
    }
}

fn read_file(path: &Path) -> Result<RawConfig, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|why| {
        let before = why.span().and_then(|span| text.get(..span.start));
        let before = before.unwrap_or_default();
        ConfigError::Misplaced {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            message: why.message().to_owned(),
        }
    })
}

/// What the server will do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bundles it serves.
    pub bundles: Vec<BundleConfig>,
    /// The bundle of requests that name none.
    pub default_bundle: Option<BundleName>,
    /// Where it keeps what must outlive it.
    pub data: PathBuf,
    /// Where it listens.
    pub listen: ListenConfig,
    /// How its listeners prove who they are; `None`: in the clear.
    pub tls: Option<TlsConfig>,
    /// How much at once, how large, how long.
    pub limits: LimitsConfig,
    /// Where traces go; `None`: nowhere.
    pub otlp: Option<OtlpConfig>,
    /// The issuers it trusts.
    pub issuers: Vec<IssuerConfig>,
    /// The callers it knows; none: anonymous callers on loopback may `check` with tokens.
    pub callers: Vec<CallerConfig>,
    /// What becomes of decision records.
    pub audit: AuditConfig,
    /// How the ledger is kept.
    pub ledger: LedgerConfig,
    /// How strictly it decides: a floor that bundles may only raise.
    pub decide: DecideConfig,
    /// How changed rules come in.
    pub reload: ReloadConfig,
    /// How large a bundle may be.
    pub bundle_limits: BundleLimitsConfig,
    /// What services behind a gateway are told.
    pub identity_headers: IdentityHeaders,
    /// What the HTTP faces need to know.
    pub http: HttpConfig,
    /// The directory of the rules for operators; `None`: our own.
    pub admin_bundle: Option<PathBuf>,
    /// Development mode: an embedded issuer, every right for callers on loopback.
    pub dev: bool,
}

/// One bundle and who may use it.
#[derive(Clone, Debug)]
pub struct BundleConfig {
    /// The name callers ask for.
    pub name: BundleName,
    /// Its directory.
    pub path: PathBuf,
    /// The hosts whose HTTP questions it answers, in canonical form.
    pub hosts: Vec<String>,
    /// The issuers whose subjects it accepts; `None`: all.
    pub issuers: Option<Vec<IssuerName>>,
    /// The audiences it accepts; `None`: each issuer's own.
    pub audiences: Option<Vec<String>>,
    /// The callers that may ask it; `None`: all.
    pub callers: Option<Vec<CallerName>>,
}

/// How strictly the server decides.
#[derive(Clone, Copy, Debug)]
pub struct DecideConfig {
    /// A forbid that cannot be evaluated denies.
    pub strict_errors: bool,
    /// The greatest depth of entity dereference that a bundle may need.
    pub max_level: u32,
}

impl Default for DecideConfig {
    fn default() -> Self {
        Self {
            strict_errors: true,
            max_level: 3,
        }
    }
}

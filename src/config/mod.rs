//! What the operator wrote: `RawConfig` → [`Config`], bounds checked, unknown keys refused.

mod caller;
mod issuer;
mod text;

pub use caller::{CallerConfig, RawCaller, VouchScope};
pub use issuer::{Algorithm, IssuerConfig, KeySource, Preset, Profile, RawIssuer};

use std::{net::SocketAddr, path::PathBuf};

use crate::model::{BundleName, CallerName, IssuerName};

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
    /// The issuers it trusts.
    pub issuers: Vec<IssuerConfig>,
    /// The callers it knows; none: anonymous callers on loopback may `check` with tokens.
    pub callers: Vec<CallerConfig>,
    /// What becomes of decision records.
    pub audit: AuditConfig,
    /// How strictly it decides: a floor that bundles may only raise.
    pub decide: DecideConfig,
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

/// Where the server listens.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// Native gRPC, health and reflection.
    pub grpc: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`.
    pub probe: SocketAddr,
}

/// What becomes of decision records.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// Whether they are kept.
    pub mode: AuditMode,
    /// The file they are appended to; `None`: `decisions.jsonl` in the data directory.
    pub file: Option<PathBuf>,
}

/// How safe a record must be before its answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMode {
    /// Records may be lost under pressure; losses are counted.
    BestEffort,
    /// None are kept.
    Off,
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

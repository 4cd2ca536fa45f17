//! `[[caller]]`: the services and gateways that may ask.

use std::collections::BTreeSet;

use crate::model::{BundleName, CallerName, Digest, Right};

/// A known caller and what it may do.
#[derive(Clone, Debug)]
pub struct CallerConfig {
    /// The operator's name of it.
    pub name: CallerName,
    /// The SHA-256 of its bearer secret.
    pub token_sha256: Option<Digest>,
    /// The bundles it may ask; `None`: all.
    pub bundles: Option<Vec<BundleName>>,
    /// What it may do.
    pub may: BTreeSet<Right>,
    /// What it may vouch for.
    pub vouch: VouchScope,
}

/// What a caller with the right `vouch` may assert.
#[derive(Clone, Debug, Default)]
pub struct VouchScope {
    /// The entity types of subjects it may name; empty: every type.
    pub types: Vec<String>,
    /// Whether it may state their parents.
    pub parents: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCaller {}

impl RawCaller {
    pub(super) fn read(self) -> Result<CallerConfig, String> {
        Err("not read yet".to_owned())
    }
}

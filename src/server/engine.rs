//! The decision point and the state of its rules, from the configuration.

use std::sync::Arc;

use crate::{
    admin::probe::{BundleState, Readiness, ReadinessSource},
    audit::Recorder,
    config::{BundleConfig, CallerConfig, DecideConfig, IssuerConfig},
    model::BundleName,
    pdp::Pdp,
};

use super::ServerError;

/// What the decision point is made of.
pub(super) struct Parts {
    pub(super) bundles: Vec<BundleConfig>,
    pub(super) default_bundle: Option<BundleName>,
    pub(super) issuers: Vec<IssuerConfig>,
    pub(super) callers: Vec<CallerConfig>,
    pub(super) decide: DecideConfig,
    pub(super) dev: bool,
    pub(super) recorder: Recorder,
}

/// A decision point that answers, and what probes are told of it.
pub(super) struct Engine {
    pub(super) pdp: Arc<Pdp>,
    pub(super) readiness: ReadinessSource,
}

/// Loads the bundles and builds the decision point over them.
pub(super) fn assemble(parts: Parts) -> Result<Engine, ServerError> {
    let Parts {
        bundles,
        default_bundle: _,
        issuers: _,
        callers: _,
        decide: _,
        dev: _,
        recorder: _,
    } = parts;
    let names: Vec<BundleName> = bundles.into_iter().map(|bundle| bundle.name).collect();
    Ok(Engine {
        pdp: Arc::new(Pdp {}),
        readiness: Arc::new(move || Readiness {
            bundles: names
                .iter()
                .map(|name| BundleState {
                    name: name.clone(),
                    digest: None,
                })
                .collect(),
            degraded: Vec::new(),
        }),
    })
}

//! The decision point and the state of its rules, from the configuration.

use std::{path::Path, sync::Arc};

use super::{ServerError, clock, example};
use crate::{
    admin::probe::{BundleState, Readiness, ReadinessSource},
    audit::Recorder,
    authn::{Callers, KeyHealth, KeyTask, TokenVerifier},
    bundle::{BundleFiles, BundleLimits, CompileOptions, LiveBundles},
    config::{BundleConfig, CallerConfig, DecideConfig, IssuerConfig},
    model::{BundleName, IssuerName},
    pap::publish,
    pdp::Pdp,
    policy::{Fault, TextLimits},
};

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
    /// Each keeps one issuer's keys fresh.
    pub(super) key_tasks: Vec<KeyTask>,
    pub(super) tokens: Arc<TokenVerifier>,
}

/// Reads the keys, publishes every bundle, and builds the decision point over them.
pub(super) fn assemble(parts: Parts) -> Result<Engine, ServerError> {
    let Parts {
        bundles,
        default_bundle,
        issuers,
        callers,
        decide,
        dev,
        recorder,
    } = parts;
    let tokens = Arc::new(TokenVerifier::new(&issuers)?);
    let live = LiveBundles::new(bundles.iter().map(|bundle| bundle.name.clone()));
    publish_all(&bundles, &issuers, &live, decide, dev)?;
    let pdp = Pdp::new(
        &bundles,
        default_bundle,
        live.clone(),
        Callers::new(&callers, dev),
        Arc::clone(&tokens),
        recorder,
    );
    Ok(Engine {
        pdp: Arc::new(pdp),
        key_tasks: tokens.tasks(),
        tokens: Arc::clone(&tokens),
        readiness: Arc::new(move || readiness(&live, &tokens)),
    })
}

fn publish_all(
    bundles: &[BundleConfig],
    issuers: &[IssuerConfig],
    live: &LiveBundles,
    decide: DecideConfig,
    dev: bool,
) -> Result<(), ServerError> {
    for bundle in bundles {
        let trusted = || {
            issuers
                .iter()
                .map(|it| it.name.clone())
                .collect::<Vec<IssuerName>>()
        };
        let options = CompileOptions {
            strict_errors: decide.strict_errors,
            max_level: decide.max_level,
            issuers: Some(bundle.issuers.clone().unwrap_or_else(trusted)),
            text: TextLimits::default(),
        };
        let refused = |faults| ServerError::Invalid {
            path: bundle.path.clone(),
            faults,
        };
        let Some((name, place)) = live.get(bundle.name.as_str()) else {
            continue;
        };
        let files = read(&bundle.path, dev).map_err(refused)?;
        let published = publish(place, &files, &options).map_err(refused)?;
        tracing::info!(
            bundle = %name,
            digest = %published.digest,
            policies = published.policies,
            cases = published.cases,
            "bundle published"
        );
    }
    Ok(())
}

/// A bundle's files; development without a directory has the example.
fn read(path: &Path, dev: bool) -> Result<BundleFiles, Vec<Fault>> {
    if dev && path == Path::new("policies") && !path.exists() {
        tracing::info!("no directory `policies` here: serving the built-in example");
        return Ok(example::files());
    }
    BundleFiles::read(path, BundleLimits::default())
}

fn readiness(live: &LiveBundles, tokens: &TokenVerifier) -> Readiness {
    let bundles = live.iter().map(|(name, place)| BundleState {
        name: name.clone(),
        digest: place.pin().map(|snapshot| snapshot.digest),
    });
    Readiness {
        bundles: bundles.collect(),
        degraded: tokens
            .pin()
            .health(clock::now())
            .iter()
            .filter_map(key_trouble)
            .collect(),
    }
}

/// What is wrong with an issuer's keys, if anything is.
fn key_trouble(health: &KeyHealth) -> Option<String> {
    let fault = health.fault.as_deref().unwrap_or("none could be read yet");
    let issuer = &health.issuer;
    match (health.usable, &health.fault) {
        (true, None) => None,
        (true, Some(_)) => Some(format!(
            "keys of issuer `{issuer}` are the last good ones: {fault}"
        )),
        (false, _) => Some(format!("keys of issuer `{issuer}` are missing: {fault}")),
    }
}

//! The decision point and the state of its rules, from the configuration.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{
    ServerError, clock,
    reload::{Keeper, Keeping, Status},
};
use crate::{
    admin::{
        self, Desk,
        probe::{BundleState, Degraded, Readiness, ReadinessSource},
    },
    audit::Recorder,
    authn::{Callers, KeyHealth, KeyTask, TokenVerifier},
    bundle::{BundleLimits, CompileOptions, LiveBundles},
    config::{
        BundleConfig, BundleLimitsConfig, CallerConfig, DecideConfig, IssuerConfig, ReloadConfig,
    },
    metrics::Metrics,
    model::{BundleName, IssuerName, SignedDuration},
    pap::Archive,
    pdp::Pdp,
    policy::TextLimits,
    store::Store,
    watch::WatchOptions,
};

/// What the decision point is made of.
pub(super) struct Parts {
    pub(super) bundles: Vec<BundleConfig>,
    pub(super) default_bundle: Option<BundleName>,
    pub(super) issuers: Vec<IssuerConfig>,
    pub(super) callers: Vec<CallerConfig>,
    pub(super) decide: DecideConfig,
    pub(super) reload: ReloadConfig,
    pub(super) limits: BundleLimitsConfig,
    pub(super) explanations_per_minute: usize,
    pub(super) data: PathBuf,
    pub(super) dev: bool,
    pub(super) recorder: Recorder,
    pub(super) metrics: Arc<Metrics>,
    /// How long one question may take.
    pub(super) deadline: Duration,
    pub(super) store: Arc<Store>,
    /// Where the rules for operators are; `None`: our own.
    pub(super) admin_bundle: Option<PathBuf>,
}

/// A decision point that answers, what probes are told of it, and who keeps its rules.
pub(super) struct Engine {
    pub(super) pdp: Arc<Pdp>,
    pub(super) readiness: ReadinessSource,
    pub(super) keepers: Vec<Keeper>,
    /// Each keeps one issuer's keys fresh.
    pub(super) key_tasks: Vec<KeyTask>,
    pub(super) tokens: Arc<TokenVerifier>,
    /// What operators' services stand on.
    pub(super) desk: Desk,
}

/// Reads the keys, serves every bundle that can be, and builds the decision point over them.
pub(super) async fn assemble(parts: Parts) -> Result<Engine, ServerError> {
    let Parts {
        bundles,
        default_bundle,
        issuers,
        callers,
        decide,
        reload,
        limits,
        explanations_per_minute,
        data,
        dev,
        recorder,
        metrics,
        deadline,
        store,
        admin_bundle,
    } = parts;
    let rules = admin::rules(admin_bundle.as_deref())?;
    let tokens = Arc::new(TokenVerifier::new(&issuers)?);
    let live = LiveBundles::new(bundles.iter().map(|bundle| bundle.name.clone()));
    let turn = Arc::new(Semaphore::new(1));
    let mut keepers = Vec::with_capacity(bundles.len());
    for bundle in &bundles {
        let keeping = Keeping {
            name: bundle.name.clone(),
            path: source(&bundle.path, dev),
            live: live.clone(),
            archive: Archive::new(&data, &bundle.name),
            options: compile_options(bundle, &issuers, decide, reload, limits),
            limits: BundleLimits {
                bytes: limits.bundle_bytes,
                ..BundleLimits::default()
            },
            watch: WatchOptions {
                poll: reload.poll,
                settle: reload.settle,
                lost: reload.lost,
                events: reload.events,
            },
            gate_budget: reload.gate_budget,
            metrics: Arc::clone(&metrics),
            store: Arc::clone(&store),
            turn: Arc::clone(&turn),
        };
        keepers.push(Keeper::start(keeping).await);
    }
    let deadline = SignedDuration::try_from(deadline).unwrap_or(SignedDuration::MAX);
    let pdp = Pdp::new(
        &bundles,
        default_bundle.clone(),
        live.clone(),
        Callers::new(&callers, dev),
        Arc::clone(&tokens),
        recorder.clone(),
    )
    .with_deadline(deadline, clock::now)
    .with_explanations_per_minute(explanations_per_minute);
    let pdp = Arc::new(pdp.with_store(Arc::clone(&store)));
    let desk = Desk {
        pdp: Arc::clone(&pdp),
        store,
        bundles: live.clone(),
        default_bundle,
        issuers: issuers.into(),
        rules,
        metrics,
        recorder,
        clock: clock::now,
    };
    let statuses: Vec<_> = keepers.iter().map(Keeper::status).collect();
    Ok(Engine {
        pdp,
        desk,
        key_tasks: tokens.tasks(),
        tokens: Arc::clone(&tokens),
        readiness: Arc::new(move || readiness(&live, &statuses, &tokens)),
        keepers,
    })
}

fn compile_options(
    bundle: &BundleConfig,
    issuers: &[IssuerConfig],
    decide: DecideConfig,
    reload: ReloadConfig,
    limits: BundleLimitsConfig,
) -> CompileOptions {
    let trusted = || -> Vec<IssuerName> { issuers.iter().map(|it| it.name.clone()).collect() };
    CompileOptions {
        strict_errors: decide.strict_errors,
        max_level: decide.max_level,
        gate: reload.gate,
        issuers: Some(bundle.issuers.clone().unwrap_or_else(trusted)),
        candidates: limits.candidates,
        text: TextLimits {
            file_bytes: limits.bundle_bytes,
            policy_bytes: limits.policy_bytes,
            policies: limits.policies,
            ..TextLimits::default()
        },
    }
}

/// Where a bundle's rules come from; development without a directory has the example.
fn source(path: &Path, dev: bool) -> Option<PathBuf> {
    if dev && path == Path::new("policies") && !path.exists() {
        tracing::info!("no directory `policies` here: serving the built-in example");
        return None;
    }
    Some(path.to_owned())
}

fn readiness(live: &LiveBundles, statuses: &[Arc<Status>], tokens: &TokenVerifier) -> Readiness {
    let bundles = live.iter().map(|(name, place)| BundleState {
        name: name.clone(),
        digest: place.pin().map(|snapshot| snapshot.digest),
    });
    let keys = tokens.pin().health(clock::now());
    let of_bundles = statuses.iter().flat_map(|status| status.degraded());
    Readiness {
        bundles: bundles.collect(),
        degraded: of_bundles
            .chain(keys.iter().filter_map(key_trouble))
            .collect(),
        unreadable: false,
    }
}

/// What is wrong with an issuer's keys, if anything is.
fn key_trouble(health: &KeyHealth) -> Option<Degraded> {
    let fault = health.fault.as_deref().unwrap_or("none could be read yet");
    let issuer = &health.issuer;
    let detail = match (health.usable, &health.fault) {
        (true, None) => return None,
        (true, Some(_)) => format!("keys of issuer `{issuer}` are the last good ones: {fault}"),
        (false, _) => format!("keys of issuer `{issuer}` are missing: {fault}"),
    };
    Some(Degraded {
        bundle: None,
        what: "keys",
        detail,
        faults: Vec::new(),
    })
}

//! The server's own log, on standard error.

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{ServerError, clock, listen::Waiting, traces::Traces};
use crate::{
    admin::probe::{ReadinessSource, Sampler},
    audit::Recorder,
    authn::TokenVerifier,
    config::OtlpConfig,
    pep::admission::{Admission, Class},
    store::{Part, Store},
};

/// The variable that holds the filter, as `info` or `doorward::pdp=debug`.
const FILTER: &str = "DOORWARD_LOG";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What is to be flushed before the process ends.
#[must_use = "dropped, it loses the last traces"]
pub struct Telemetry {
    traces: Option<Traces>,
}

impl Telemetry {
    /// Sends what is left.
    pub async fn flush(self) {
        if let Some(traces) = self.traces {
            // It blocks, and a panic within is told by the panic hook.
            let _panicked = tokio::task::spawn_blocking(move || traces.flush()).await;
        }
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// Starts logging, and tracing where it goes somewhere; within the runtime. Without a `format`, logs
/// are for people on a terminal and JSON elsewhere.
///
/// # Errors
/// When `DOORWARD_LOG` is not a filter, the collector has no address, or logging was started before.
pub fn init(
    format: Option<LogFormat>,
    otlp: Option<&OtlpConfig>,
) -> Result<Telemetry, ServerError> {
    let filter = match std::env::var(FILTER) {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|why| ServerError::Log(format!("`{FILTER}` is `{text}`: {why}")))?,
        Err(_) => EnvFilter::new("info"),
    };
    let traces = otlp.map(Traces::new).transpose()?;
    let terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format.unwrap_or(if terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    }) {
        LogFormat::Pretty => lines.with_ansi(terminal).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces.as_ref().map(Traces::layer))
        .try_init();
    // A panic's own text may quote what it choked on.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panic");
    }));
    started.map_err(|why| ServerError::Log(why.to_string()))?;
    Ok(Telemetry { traces })
}

/// What is looked at for each page of metrics.
pub(super) struct Sampled {
    pub(super) readiness: ReadinessSource,
    pub(super) recorder: Recorder,
    pub(super) store: Arc<Store>,
    pub(super) admission: Admission,
    pub(super) waiting: Waiting,
    pub(super) tokens: Arc<TokenVerifier>,
}

/// Looks at it.
pub(super) fn sampler(sampled: Sampled) -> Sampler {
    let Sampled {
        readiness,
        recorder,
        store,
        admission,
        waiting,
        tokens,
    } = sampled;
    Arc::new(move |metrics| {
        for (name, (depth, limit)) in [
            ("records", recorder.queue()),
            ("requests", waiting.load()),
            ("checks", admission.load(Class::Check)),
            ("batches", admission.load(Class::Batch)),
            ("streams", admission.load(Class::Stream)),
            ("explanations", admission.load(Class::Explain)),
        ] {
            metrics.queue(name, depth, limit);
        }
        let (now, keys) = (clock::now(), tokens.pin());
        for health in keys.health(now) {
            metrics.keys(
                health.issuer.as_str(),
                if health.usable { health.keys } else { 0 },
            );
            if let Some(read_at) = health.read_at {
                let age = now.duration_since(read_at).as_secs_f64();
                metrics.key_age(health.issuer.as_str(), age);
            }
        }
        let troubles = store.troubles();
        for part in Part::ALL {
            let failing = troubles.iter().any(|(it, _)| *it == part);
            metrics.store_failing(part.name(), failing);
        }
        let (hits, misses) = keys.remembered();
        metrics.token_cache(hits, misses);
        let state = readiness();
        metrics.degraded(state.degraded.len());
        let served = state.bundles.iter().filter_map(|bundle| {
            let digest = bundle.digest?;
            Some((bundle.name.to_string(), digest.to_string()))
        });
        metrics.bundles(&served.collect::<Vec<_>>());
    })
}

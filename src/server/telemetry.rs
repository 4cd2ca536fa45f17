//! The server's own log, on standard error.

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use super::{ServerError, listen::Waiting};
use crate::{
    admin::probe::{ReadinessSource, Sampler},
    audit::Recorder,
    pep::admission::{Admission, Class},
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

/// Starts logging; without a `format`, for people on a terminal and as JSON elsewhere.
///
/// # Errors
/// When `DOORWARD_LOG` is not a filter, or logging was started before.
pub fn init(format: Option<LogFormat>) -> Result<(), ServerError> {
    let filter = match std::env::var(FILTER) {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|why| ServerError::Log(format!("`{FILTER}` is `{text}`: {why}")))?,
        Err(_) => EnvFilter::new("info"),
    };
    let terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_span_events(FmtSpan::NONE);
    let started = match format.unwrap_or(if terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    }) {
        LogFormat::Pretty => lines.with_ansi(terminal).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // A panic's own text may quote what it choked on.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panic");
    }));
    started.map_err(|why| ServerError::Log(why.to_string()))
}

/// What is looked at for each page of metrics.
pub(super) struct Sampled {
    pub(super) readiness: ReadinessSource,
    pub(super) recorder: Recorder,
    pub(super) admission: Admission,
    pub(super) waiting: Waiting,
}

/// Looks at it.
pub(super) fn sampler(sampled: Sampled) -> Sampler {
    let Sampled {
        readiness,
        recorder,
        admission,
        waiting,
    } = sampled;
    Arc::new(move |metrics| {
        for (name, (depth, limit)) in [
            ("records", recorder.queue()),
            ("requests", waiting.load()),
            ("checks", admission.load(Class::Check)),
            ("batches", admission.load(Class::Batch)),
            ("streams", admission.load(Class::Stream)),
        ] {
            metrics.queue(name, depth, limit);
        }
        let state = readiness();
        metrics.degraded(state.degraded.len());
        let served = state.bundles.iter().filter_map(|bundle| {
            let digest = bundle.digest?;
            Some((bundle.name.to_string(), digest.to_string()))
        });
        metrics.bundles(&served.collect::<Vec<_>>());
    })
}

//! The decision log of a server: opened, sent on, and told of in readiness.

use std::{io, path::Path, sync::Arc};

use super::{
    Phase, ServerError, clock, reached,
    sink::{self, Sink},
    tasks::Tasks,
};
use crate::{
    admin::probe,
    audit::{self, AuditError, AuditFiles, DecisionLog, Recorder},
    config::{AuditConfig, AuditMode},
    ledger::{LogError, RealDisk},
    metrics::Metrics,
};

/// What keeps the log, until it is run.
pub(super) struct Keeping {
    pub(super) writer: audit::Writer,
    sealer: audit::Sealer,
    sinks: Vec<Sink>,
    pub(super) files: AuditFiles,
}

/// Opens it, unless the mode is `off`.
pub(super) fn open(
    audit: AuditConfig,
    data: &Path,
    configuration: String,
    metrics: &Arc<Metrics>,
) -> Result<(Recorder, Option<Keeping>), ServerError> {
    if audit.mode == AuditMode::Off {
        return Ok((Recorder::counting(Arc::clone(metrics), clock::now), None));
    }
    let disk = Arc::new(RealDisk);
    let counted = Arc::clone(metrics);
    let opened = audit::open(disk, &audit, data, configuration, counted, clock::now);
    let DecisionLog {
        recorder,
        writer,
        sealer,
    } = opened.map_err(ServerError::Audit)?;
    let files = AuditFiles::new(&audit::folder(&audit, data));
    let failed = |why: io::Error| {
        let why = LogError::io("read how far a receiver came in", files.dir())(why);
        ServerError::Audit(AuditError::Log(why))
    };
    let sinks = sink::open(audit.sink, &files, metrics).map_err(failed)?;
    let keeping = Keeping {
        writer,
        sealer,
        sinks,
        files,
    };
    Ok((recorder, Some(keeping)))
}

impl Keeping {
    /// Starts its tasks. Receivers end last, so that they get the last records too.
    pub(super) fn start(self, tasks: &mut Tasks, phase: &tokio::sync::watch::Sender<Phase>) {
        let Self {
            writer,
            sealer,
            sinks,
            files: _,
        } = self;
        let drain = reached(phase, Phase::Draining);
        tasks.spawn("decision log", async move {
            writer.run(drain).await.map_err(|why| why.to_string())
        });
        let end = reached(phase, Phase::Closing);
        tasks.spawn("decision log segments", async move {
            sealer.run(end).await;
            Ok(())
        });
        for sink in sinks {
            let end = reached(phase, Phase::Written);
            tasks.spawn("decision log receivers", async move {
                sink.run(end).await;
                Ok(())
            });
        }
    }
}

/// Readiness that also tells when decisions cannot be recorded.
pub(super) fn told_in(
    readiness: probe::ReadinessSource,
    recorder: Recorder,
) -> probe::ReadinessSource {
    Arc::new(move || {
        let mut state = readiness();
        state
            .degraded
            .extend(recorder.trouble().map(|detail| probe::Degraded {
                bundle: None,
                what: "decision_log",
                detail,
                faults: Vec::new(),
            }));
        state
    })
}

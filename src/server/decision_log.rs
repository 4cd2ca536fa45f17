//! The decision log of a server: opened, and told of in readiness.

use std::{path::Path, sync::Arc};

use super::{ServerError, clock};
use crate::{
    admin::probe,
    audit::{self, DecisionLog, Recorder},
    config::{AuditConfig, AuditMode},
    ledger::RealDisk,
    metrics::Metrics,
};

/// Opens it, unless the mode is `off`.
pub(super) fn open(
    audit: &AuditConfig,
    data: &Path,
    configuration: String,
    metrics: &Arc<Metrics>,
) -> Result<(Recorder, Option<(audit::Writer, audit::Sealer)>), ServerError> {
    let metrics = Arc::clone(metrics);
    if audit.mode == AuditMode::Off {
        return Ok((Recorder::counting(metrics, clock::now), None));
    }
    let disk = Arc::new(RealDisk);
    let opened = audit::open(disk, audit, data, configuration, metrics, clock::now);
    let DecisionLog {
        recorder,
        writer,
        sealer,
    } = opened.map_err(ServerError::Audit)?;
    Ok((recorder, Some((writer, sealer))))
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

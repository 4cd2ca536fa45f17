//! From a directory to the rules being served: all of it, or none.

use std::{path::Path, sync::Arc};

use super::cases::run_cases;
use crate::{
    bundle::{BundleFiles, BundleLimits, CompileOptions, Live, Snapshot},
    model::Digest,
    policy::Fault,
};

/// A bundle that went live.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The name of its content.
    pub digest: Digest,
    /// How many policies it has.
    pub policies: usize,
    /// How many cases it passed.
    pub cases: usize,
}

/// Reads, compiles and tries a bundle: it must pass its own cases.
///
/// # Errors
/// Every fault that can be told.
pub fn check(directory: &Path, options: &CompileOptions) -> Result<(Snapshot, usize), Vec<Fault>> {
    check_files(
        &BundleFiles::read(directory, BundleLimits::default())?,
        options,
    )
}

fn check_files(
    files: &BundleFiles,
    options: &CompileOptions,
) -> Result<(Snapshot, usize), Vec<Fault>> {
    let snapshot = Snapshot::compile(files, options)?;
    let report = run_cases(&snapshot, None);
    if report.failures.is_empty() {
        return Ok((snapshot, report.run));
    }
    let failed = report.failures.into_iter().map(|failure| {
        let message = format!(
            "case `{}` fails: came out as {}",
            failure.name, failure.found
        );
        Fault::at("case_failed", failure.place, message)
    });
    Err(failed.collect())
}

/// Publishes files: serves them from the next request on, or changes nothing.
///
/// # Errors
/// Every fault that can be told; what was served before is served still.
pub fn publish(
    live: &Live,
    files: &BundleFiles,
    options: &CompileOptions,
) -> Result<Publication, Vec<Fault>> {
    let (snapshot, cases) = check_files(files, options)?;
    let publication = Publication {
        digest: snapshot.digest,
        policies: snapshot.policies.policies().len(),
        cases,
    };
    live.publish(Arc::new(snapshot));
    Ok(publication)
}

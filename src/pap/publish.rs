//! From files to the rules being served: all of them, or none.

use std::{collections::BTreeSet, fmt, path::Path, sync::Arc};

use super::{cases::run_case, change::Change};
use crate::{
    bundle::{BundleFiles, BundleLimits, CompileOptions, Live, Snapshot},
    model::{Digest, Effect},
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
    /// How it differs from what was served before.
    pub change: Change,
    /// Actions whose requests may meet very many policies.
    pub broad: Vec<Fault>,
}

/// A bundle that may go live.
#[derive(Debug)]
pub struct Checked {
    /// Its rules.
    pub snapshot: Snapshot,
    /// How many cases it passed.
    pub cases: usize,
}

/// Tells whether the time for a bundle's cases is over.
pub type Expired<'a> = &'a dyn Fn() -> bool;

/// Reads, compiles and tries a bundle: it must pass its own cases.
///
/// # Errors
/// Every fault that can be told.
pub fn check(directory: &Path, options: &CompileOptions) -> Result<(Snapshot, usize), Vec<Fault>> {
    let files = BundleFiles::read(directory, BundleLimits::default())?;
    let Checked { snapshot, cases } = check_files(&files, options, &|| false)?;
    Ok((snapshot, cases))
}

/// Compiles and tries a bundle whose files are at hand.
///
/// # Errors
/// Every fault that can be told; `gate_expired` when its cases take too long.
pub fn check_files(
    files: &BundleFiles,
    options: &CompileOptions,
    expired: Expired<'_>,
) -> Result<Checked, Vec<Fault>> {
    let snapshot = Snapshot::compile(files, options)?;
    let cases = match snapshot.gate {
        true => gate(&snapshot, expired)?,
        false => 0,
    };
    Ok(Checked { snapshot, cases })
}

/// The bundle's own cases must hold of it, within the time given.
fn gate(snapshot: &Snapshot, expired: Expired<'_>) -> Result<usize, Vec<Fault>> {
    let (mut run, mut faults) = (0, Vec::new());
    for case in snapshot.cases.iter().flat_map(|file| &file.cases) {
        if expired() {
            let message = format!("the cases take too long: {run} ran in the time there is");
            let help = "give them more with `reload.gate_budget`";
            faults.push(Fault::at("gate_expired", case.place.clone(), message).help(help));
            break;
        }
        run += 1;
        faults.extend(run_case(snapshot, case).map(|failure| {
            let message = format!(
                "case `{}` fails: came out as {}",
                failure.name, failure.found
            );
            Fault::at("case_failed", failure.place, message)
        }));
    }
    match faults.is_empty() {
        true => Ok(run),
        false => Err(faults),
    }
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
    Ok(serve(live, check_files(files, options, &|| false)?))
}

/// Serves a checked bundle from the next request on.
pub fn serve(live: &Live, checked: Checked) -> Publication {
    let Checked { snapshot, cases } = checked;
    let before = live.pin();
    let publication = Publication {
        digest: snapshot.digest,
        policies: snapshot.policies.policies().len(),
        cases,
        change: Change::between(before.as_deref(), &snapshot),
        broad: broad_actions(&snapshot),
    };
    live.publish(Arc::new(snapshot));
    publication
}

/// What deserves a second look, though it is published: faults by their form alone.
pub fn warnings(snapshot: &Snapshot) -> Vec<Fault> {
    let policies = snapshot.policies.policies();
    let mut warnings = broad_actions(snapshot);
    if policies.iter().all(|it| it.effect() == Effect::Forbid) {
        warnings.push(Fault::general(
            "nothing_permits",
            "no policy permits anything, so every answer is a deny",
        ));
    }
    for policy in policies {
        if policy.effect() == Effect::Permit
            && policy.is_unconditional()
            && !policy.allows_lint("permits_all")
        {
            let message = format!("policy `{}` permits everything to everyone", policy.id);
            warnings.push(Fault::at("permits_all", policy.place.clone(), message));
        }
        if policy.effect() == Effect::Forbid
            && policy.may_error()
            && !policy.allows_lint("forbid_may_fail")
        {
            let message = format!(
                "forbid `{}` computes with numbers or dates: where they overflow, it denies",
                policy.id
            );
            warnings.push(Fault::at("forbid_may_fail", policy.place.clone(), message));
        }
    }
    warnings
}

/// Actions whose requests may meet more policies than `bundle_limits.candidates`: the index finds the
/// policies of one principal and resource, however many there are, but those it finds are evaluated.
fn broad_actions(snapshot: &Snapshot) -> Vec<Fault> {
    let actions = snapshot.schema.actions().iter();
    let broad = actions.filter_map(|action| {
        let most = snapshot.policies.most_candidates(&action.uid);
        let limit = snapshot.candidates;
        let message = format!(
            "a request for `{}` may meet {most} policies, more than {limit}",
            action.uid
        );
        let help = "name a principal, a group or a resource in their heads (`==`, `in`), or write \
                    what they share as one policy";
        (most > limit).then(|| Fault::general("broad_action", message).help(help))
    });
    broad.collect()
}

impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digest, policies) = (self.digest.short(), self.policies);
        write!(f, "{digest}, {policies} policies, {}", self.change)
    }
}

/// The ids of a set, or as many as a line takes.
pub(super) fn listed(ids: &BTreeSet<Arc<str>>) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<&str> = ids.iter().take(SHOWN).map(|id| &**id).collect();
    let more = ids.len().saturating_sub(SHOWN);
    let tail = format!("and {more} more");
    if more > 0 {
        shown.push(&tail);
    }
    shown.join(", ")
}

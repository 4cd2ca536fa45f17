//! `doorward validate`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Exit, Failure, output, output::Style};
use crate::{
    bundle::{BundleFiles, BundleLimits, CompileOptions, Snapshot},
    pap::warnings,
    policy::Fault,
};

/// Check a bundle: syntax, types, mapping and routes; all faults at once, with their places
///
/// Whether it decides as its cases say is `doorward test`. Exit codes: 0 valid, 3 not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bundle's directory
    #[arg(value_name = "DIR", default_value = "policies")]
    directory: PathBuf,
    /// Print the faults as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let compiled = compile(&args.directory)?;
    let style = Style::of_stdout();
    let (text, exit) = match compiled {
        Ok(snapshot) => (valid(&snapshot, args.json, style), Exit::Ok),
        Err(faults) => (invalid(&faults, args.json, style), Exit::Invalid),
    };
    output::print(&text)?;
    Ok(exit)
}

/// Compiles the bundle in `directory` as a server with default settings would.
pub(super) fn compile(directory: &Path) -> Result<Result<Snapshot, Vec<Fault>>, Failure> {
    if !directory.is_dir() {
        return Err(Failure::usage(format!(
            "there is no directory `{}`: give the bundle's",
            directory.display()
        )));
    }
    let files = BundleFiles::read(directory, BundleLimits::default());
    Ok(files.and_then(|files| Snapshot::compile(&files, &CompileOptions::default())))
}

fn valid(snapshot: &Snapshot, as_json: bool, style: Style) -> String {
    let policies = snapshot.policies.policies().len();
    let cases: usize = snapshot.cases.iter().map(|file| file.cases.len()).sum();
    let (digest, warnings) = (snapshot.digest, warnings(snapshot));
    if as_json {
        let told = json!({
            "valid": true,
            "faults": [],
            "warnings": warnings,
            "digest": digest,
            "policies": policies,
            "cases": cases,
        });
        return format!("{told}\n");
    }
    let mut out: String = warnings.iter().map(warning).collect();
    out.push_str(&format!(
        "{}  {policies} policies, {cases} cases, digest {}\n",
        style.good("valid"),
        digest.short()
    ));
    out
}

fn warning(it: &Fault) -> String {
    let place = it.place.as_ref().map(|place| format!("{place}: "));
    let place = place.unwrap_or_default();
    format!("{place}warning[{}]: {}\n", it.rule, it.message)
}

/// Faults for a command's standard output.
pub(super) fn invalid(faults: &[Fault], as_json: bool, style: Style) -> String {
    if as_json {
        return format!("{}\n", json!({ "valid": false, "faults": faults }));
    }
    let mut out: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
    let (count, s) = (faults.len(), if faults.len() == 1 { "" } else { "s" });
    out.push_str(&format!("{}  {count} fault{s}\n", style.bad("not valid")));
    out
}

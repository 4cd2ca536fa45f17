//! `doorward validate`.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Exit, Failure, output,
    output::Style,
    told::{Form, FormArgs, Loaded, Weight},
};
use crate::{bundle::Snapshot, pap::warnings};

/// Check a bundle: syntax, types, mapping and routes; all faults at once, with their places
///
/// Whether it decides as its cases say is `doorward test`, whether it is written well
/// `doorward lint`. Exit codes: 0 valid, 3 not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bundle's directory
    #[arg(value_name = "DIR", default_value = "policies")]
    directory: PathBuf,
    #[command(flatten)]
    form: FormArgs,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let loaded = Loaded::read(&args.directory)?;
    let (form, style) = (args.form.form(), Style::of_stdout());
    let (text, exit) = match &loaded.compiled {
        Ok(snapshot) => (valid(&loaded, snapshot, form, style), Exit::Ok),
        Err(faults) => (loaded.teller().invalid(faults, form, style), Exit::Invalid),
    };
    output::print(&text)?;
    Ok(exit)
}

fn valid(loaded: &Loaded, snapshot: &Snapshot, form: Form, style: Style) -> String {
    let policies = snapshot.policies.policies().len();
    let cases: usize = snapshot.cases.iter().map(|file| file.cases.len()).sum();
    let (digest, warnings) = (snapshot.digest, warnings(snapshot));
    match form {
        Form::Json => {
            let told = json!({
                "valid": true,
                "faults": [],
                "warnings": warnings,
                "digest": digest,
                "policies": policies,
                "cases": cases,
            });
            format!("{told}\n")
        }
        Form::Sarif => {
            let told: Vec<_> = warnings.iter().map(|it| (Weight::Warning, it)).collect();
            loaded.teller().sarif(&told)
        }
        Form::Human => {
            let mut out = loaded.teller().human(&warnings, Weight::Warning, style);
            out.push_str(&format!(
                "{}  {policies} policies, {cases} cases, digest {}\n",
                style.good("valid"),
                digest.short()
            ));
            out
        }
    }
}

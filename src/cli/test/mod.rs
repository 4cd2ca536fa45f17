//! `doorward test`.

mod junit;
mod report;
mod watch;

#[cfg(test)]
mod tests;

use std::{fs, path::PathBuf};

use super::{
    Exit, Failure, output,
    output::Style,
    told::{Form, Loaded},
};
use crate::pap::{run_cases, unasked_routes};

const EXAMPLES: &str = "\
Examples:
  doorward test
  doorward test policies --filter 'another tenant' --watch
  doorward test policies --junit report.xml";

/// Run a bundle's own cases (tests/*.yaml): does it decide as they say?
///
/// Exit codes: 0 all as expected, 4 some not or there are none, 3 the bundle is not valid.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The bundle's directory
    #[arg(value_name = "DIR", default_value = "policies")]
    directory: PathBuf,
    /// Run only the cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Run them again whenever a file changes, until interrupted
    #[arg(long)]
    watch: bool,
    /// Write what came of each case to this file, as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    match args.watch {
        true => watch::run(args),
        false => once(&args, &Loaded::read(&args.directory)?, Style::of_stdout()),
    }
}

/// Runs the cases of a bundle that was read, and tells what came of them.
fn once(args: &Args, loaded: &Loaded, style: Style) -> Result<Exit, Failure> {
    let snapshot = match &loaded.compiled {
        Ok(snapshot) => snapshot,
        Err(faults) => {
            let told = loaded.teller().invalid(faults, Form::Human, style);
            output::print(&told)?;
            return Ok(Exit::Invalid);
        }
    };
    let report = run_cases(snapshot, args.filter.as_deref());
    match (&args.filter, report.ran.is_empty()) {
        (Some(filter), true) => {
            let message = format!("no case's name contains `{}`", output::shown(filter));
            return Err(Failure::usage(message));
        }
        (None, true) => {
            return Err(Failure {
                exit: Exit::CasesFailed,
                message: "the bundle has no cases: write some in `tests/*.yaml`".into(),
            });
        }
        (_, false) => {}
    }
    if let Some(file) = &args.junit {
        write(file, &junit::report(&report).map_err(Failure::failed)?)?;
    }
    let mut text = report::cases(&report, style);
    if args.filter.is_none() {
        text.push_str(&report::routes(snapshot, &unasked_routes(snapshot), style));
    }
    output::print(&text)?;
    Ok(match report.failures().next() {
        None => Exit::Ok,
        Some(_) => Exit::CasesFailed,
    })
}

fn write(file: &PathBuf, text: &str) -> Result<(), Failure> {
    fs::write(file, text)
        .map_err(|why| Failure::failed(format!("cannot write `{}`: {why}", file.display())))
}

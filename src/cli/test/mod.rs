//! `doorward test`.

mod junit;
mod measure;
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
use crate::{
    bundle::Snapshot,
    pap::{Coverage, lcov, mutate, run_cases},
};

const EXAMPLES: &str = "\
Examples:
  doorward test
  doorward test policies --filter 'another tenant' --watch
  doorward test policies --junit report.xml --coverage --min-coverage 90
  doorward test policies --mutate";

/// Run a bundle's own cases (tests/*.yaml): does it decide as they say?
///
/// With --coverage it says what the cases try out, with --mutate whether they would notice a policy
/// that says something else. Exit codes: 0 all as expected, 4 some not, or there are none, or too
/// little is tried out, 3 the bundle is not valid.
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
    /// Say which policies decided, which conditions were both true and false, which routes and
    /// principal rules were used
    #[arg(long, conflicts_with = "filter")]
    coverage: bool,
    /// Fail when less than this is covered, in percent
    #[arg(long, value_name = "N", conflicts_with = "filter", value_parser = clap::value_parser!(u64).range(..=100))]
    min_coverage: Option<u64>,
    /// Write the coverage to this file, as LCOV
    #[arg(long, value_name = "FILE", conflicts_with = "filter")]
    lcov: Option<PathBuf>,
    /// Change one effect, head or condition at a time, and list what no case notices
    #[arg(long, conflicts_with = "filter")]
    mutate: bool,
    /// Try at most so many changes, spread evenly
    #[arg(long, value_name = "N", default_value_t = 2_000, requires = "mutate")]
    max_mutants: usize,
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
    let mut exit = match report.failures().next() {
        None => Exit::Ok,
        Some(_) => Exit::CasesFailed,
    };
    // Of cases that fail nobody knows what they try out.
    if exit == Exit::Ok {
        exit = measured(args, loaded, snapshot, style, &mut text)?;
    }
    output::print(&text)?;
    Ok(exit)
}

/// How good the cases are, as far as it was asked for.
fn measured(
    args: &Args,
    loaded: &Loaded,
    snapshot: &Snapshot,
    style: Style,
    text: &mut String,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    if args.coverage || args.min_coverage.is_some() || args.lcov.is_some() {
        let coverage = Coverage::of(snapshot);
        if let Some(file) = &args.lcov {
            write(file, &lcov(&coverage, &args.directory))?;
        }
        if args.coverage || args.min_coverage.is_some() {
            text.push_str(&measure::coverage(&coverage, &loaded.files, style));
        }
        let (least, percent) = (args.min_coverage, coverage.total().percent());
        if let Some(least) = least.filter(|least| percent < *least) {
            let bad = style.bad("failed");
            text.push_str(&format!("{bad}  {percent} % covered, less than {least}\n"));
            exit = Exit::CasesFailed;
        }
    }
    if args.mutate {
        let report = mutate(&loaded.files, snapshot, args.max_mutants);
        text.push_str(&measure::mutants(&report, style));
        if !report.survived.is_empty() {
            exit = Exit::CasesFailed;
        }
    }
    Ok(exit)
}

fn write(file: &PathBuf, text: &str) -> Result<(), Failure> {
    fs::write(file, text)
        .map_err(|why| Failure::failed(format!("cannot write `{}`: {why}", file.display())))
}

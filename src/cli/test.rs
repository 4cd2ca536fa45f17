//! `doorward test`.

use std::path::PathBuf;

use super::{Exit, Failure, output, output::Style, validate};
use crate::{
    bundle::{Route, Snapshot},
    pap::{CaseReport, run_cases, unasked_routes},
};

/// Run a bundle's own cases (tests/*.yaml): does it decide as they say?
///
/// Exit codes: 0 all as expected, 4 some not, 3 the bundle is not valid.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bundle's directory
    #[arg(value_name = "DIR", default_value = "policies")]
    directory: PathBuf,
    /// Run only the cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let style = Style::of_stdout();
    let snapshot = match validate::compile(&args.directory)? {
        Ok(snapshot) => snapshot,
        Err(faults) => {
            output::print(&validate::invalid(&faults, false, style))?;
            return Ok(Exit::Invalid);
        }
    };
    let report = run_cases(&snapshot, args.filter.as_deref());
    let mut text = told(&report, style);
    if args.filter.is_none() {
        text.push_str(&routes(&snapshot, &unasked_routes(&snapshot), style));
    }
    output::print(&text)?;
    match (report.run, report.failures.is_empty(), args.filter) {
        (0, _, Some(filter)) => Err(Failure::usage(format!(
            "no case's name contains `{filter}`"
        ))),
        (_, true, _) => Ok(Exit::Ok),
        (_, false, _) => Ok(Exit::CasesFailed),
    }
}

fn told(report: &CaseReport, style: Style) -> String {
    let mut out = String::new();
    for failure in &report.failures {
        out.push_str(&format!("{}  {}\n", style.bad("FAILED"), failure.name));
        for it in &failure.differences {
            out.push_str(&format!(
                "  {:<12}expected {}, came {}\n",
                it.what, it.expected, it.found
            ));
        }
        out.push_str(&format!("  {:<12}{}\n", "came out", failure.found));
        out.push_str(&format!(
            "  {:<12}{}\n",
            "at",
            style.dim(&failure.place.to_string())
        ));
    }
    let failed = report.failures.len();
    out.push_str(&match failed {
        0 => format!("{}  {} cases\n", style.good("ok"), report.run),
        _ => format!(
            "{}  {failed} of {} cases\n",
            style.bad("failed"),
            report.run
        ),
    });
    out
}

/// Which routes no case asks about; nothing where there are no routes.
fn routes(snapshot: &Snapshot, unasked: &[&Route], style: Style) -> String {
    let all = snapshot.routes.all().len();
    if all == 0 {
        return String::new();
    }
    let asked = all - unasked.len();
    let mut out = format!("routes  {asked} of {all} asked about\n");
    for route in unasked {
        let place = style.dim(&route.place.to_string());
        out.push_str(&format!("  {:<12}{route}  {place}\n", "not asked"));
    }
    out
}

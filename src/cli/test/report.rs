//! What came of the cases, for people.

use crate::{
    cli::output::{Style, shown, shown_lines},
    pap::{CaseFailure, CaseReport},
};

/// Each case that failed, and how many there were.
pub(super) fn cases(report: &CaseReport<'_>, style: Style) -> String {
    let mut out = String::new();
    for failure in report.failures() {
        out.push_str(&failed(failure, style));
        out.push('\n');
    }
    let (all, failed) = (report.ran.len(), report.failures().count());
    out.push_str(&match failed {
        0 => format!("{}  {all} cases\n", style.good("ok")),
        _ => format!("{}  {failed} of {all} cases\n", style.bad("failed")),
    });
    out
}

/// One case: `-` is what it expects and did not get, `+` what came instead.
fn failed(failure: &CaseFailure, style: Style) -> String {
    let mut out = format!(
        "{}  {}\n  {:<12}{}\n",
        style.bad("FAILED"),
        shown(&failure.name),
        "at",
        style.dim(&shown(&failure.place.to_string()))
    );
    for it in &failure.differences {
        let missing = it
            .missing()
            .map(|text| style.bad(&format!("- {}", shown(text))));
        let extra = it
            .extra()
            .map(|text| style.good(&format!("+ {}", shown(text))));
        for (n, line) in missing.chain(extra).enumerate() {
            let what = if n == 0 { it.what } else { "" };
            out.push_str(&format!("  {what:<12}{line}\n"));
        }
    }
    let found = shown_lines(&failure.found);
    let mut lines = found.lines();
    out.push_str(&format!(
        "  {:<12}{}\n",
        "came out",
        lines.next().unwrap_or_default()
    ));
    for line in lines {
        out.push_str(&format!("  {:<12}{}\n", "", line.trim_start()));
    }
    out
}

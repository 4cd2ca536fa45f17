//! Coverage and mutants, for people.

use crate::{
    bundle::BundleFiles,
    cli::output::{Style, shown},
    pap::{Coverage, Mutant, MutationReport, PolicyUse, Share},
};

/// What the cases try out, in numbers, and what they leave out, on the author's own text.
pub(super) fn coverage(coverage: &Coverage<'_>, files: &BundleFiles, style: Style) -> String {
    let mut out = String::new();
    for used in &coverage.policies {
        let open = used.conditions.iter().any(|it| !it.is_covered());
        if open || used.decided == 0 {
            out.push_str(&policy(used, files, style));
            out.push('\n');
        }
    }
    for (place, made, _) in coverage.principals.iter().filter(|(_, _, n)| *n == 0) {
        let place = style.dim(&shown(&place.to_string()));
        out.push_str(&format!(
            "  {:<12}[[principal]] {}  {place}\n",
            style.bad("not used"),
            shown(made)
        ));
    }
    for (route, _) in coverage.routes.iter().filter(|(_, n)| *n == 0) {
        let place = style.dim(&shown(&route.place.to_string()));
        let route = shown(&route.to_string());
        out.push_str(&format!(
            "  {:<12}{route}  {place}\n",
            style.bad("not taken")
        ));
    }
    for (what, share) in [
        ("policies that decided", coverage.of_policies()),
        ("conditions seen true and false", coverage.of_conditions()),
        ("principal rules used", coverage.of_principals()),
        ("routes taken", coverage.of_routes()),
        ("coverage", coverage.total()),
    ] {
        out.push_str(&line(what, share, style));
    }
    out
}

fn line(what: &str, share: Share, style: Style) -> String {
    let Share { covered, all } = share;
    let percent = format!("{:>3} %", share.percent());
    let percent = match covered == all {
        true => style.good(&percent),
        false => style.bad(&percent),
    };
    format!("{what:<32}{percent}  {covered} of {all}\n")
}

/// A policy's own lines; under each condition that was seen one way only, what was seen.
fn policy(used: &PolicyUse<'_>, files: &BundleFiles, style: Style) -> String {
    let (effect, id) = used.name();
    let place = &used.policy.place;
    let decided = match used.decided {
        0 => style.bad("decided nothing"),
        n => format!("decided {n}"),
    };
    let mut out = format!(
        "{effect} {}  {}  matched {}, {decided}\n",
        shown(id),
        style.dim(&shown(&place.to_string())),
        used.matched,
    );
    let text = files.get(&place.file).unwrap_or_default();
    for it in used.conditions.iter().filter(|it| !it.is_covered()) {
        let place = &it.condition.place;
        let written = text
            .lines()
            .nth(place.line.saturating_sub(1))
            .unwrap_or_default();
        let seen = match (it.yes, it.no) {
            (0, 0) => "never looked at",
            (_, 0) => "never false",
            _ => "never true",
        };
        // Long conditions go on below; the first line tells which it is.
        let width = it
            .condition
            .text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .count();
        let indent = " ".repeat(place.column.saturating_sub(1));
        out.push_str(&format!(
            "{:>5} | {}\n{:>5} | {indent}{} {}\n",
            place.line,
            shown(written),
            "",
            style.bad(&"^".repeat(width.max(1))),
            style.bad(seen),
        ));
    }
    out
}

/// What came of the mutants, with each that nothing noticed.
pub(super) fn mutants(report: &MutationReport, style: Style) -> String {
    let mut out = String::new();
    for it in &report.survived {
        let Mutant {
            policy,
            place,
            change,
            before,
            after,
            ..
        } = it;
        out.push_str(&format!(
            "{}  {} {change}  {}\n  {}\n  {}\n\n",
            style.bad("SURVIVED"),
            shown(policy),
            style.dim(&shown(&place.to_string())),
            style.bad(&format!("- {}", shown(before))),
            style.good(&format!("+ {}", shown(after))),
        ));
    }
    let MutationReport {
        noticed,
        refused,
        same,
        survived,
        left_out,
    } = report;
    let (survived, all) = (survived.len(), noticed + refused + same + survived.len());
    let head = match survived {
        0 => style.good("ok"),
        _ => style.bad("failed"),
    };
    out.push_str(&format!(
        "{head}  {all} mutants: {noticed} noticed by a case, {refused} not valid, {same} no change, {survived} noticed by none\n"
    ));
    if *left_out > 0 {
        out.push_str(&format!(
            "{left_out} more were not tried: raise --max-mutants\n"
        ));
    }
    out
}

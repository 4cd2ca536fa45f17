//! Explanations: what they claim is true, what is missing is named, and who may see what.

mod asking;
mod command;
mod flips;
mod missing;

use std::path::Path;

use doorward::{
    bundle::{BundleFiles, BundleLimits, Case, CompileOptions, Snapshot},
    model::Outcome,
    pdp::{Explanation, Rehearsal, Telling, explain_rehearsal, rehearse},
    policy::told,
};

fn example() -> Snapshot {
    BundleFiles::read(Path::new("policies"), BundleLimits::default())
        .and_then(|files| Snapshot::compile(&files, &CompileOptions::default()))
        .unwrap()
}

fn cases(snapshot: &Snapshot) -> impl Iterator<Item = &Case> {
    snapshot.cases.iter().flat_map(|file| &file.cases)
}

fn of_case(case: &Case) -> Rehearsal<'_> {
    Rehearsal {
        subject: &case.subject,
        question: &case.question,
        entities: &case.entities,
        context: &case.context,
        now: case.now,
    }
}

/// The flips in words.
fn told_flips(explanation: &Explanation) -> Vec<String> {
    let flips = explanation.flips.iter();
    let words = flips.map(|flip| {
        let facts = flip.changes.iter();
        let facts: Vec<String> = facts.map(|it| told(it, explanation.values).2).collect();
        facts.join(", and ")
    });
    words.collect()
}

#[track_caller]
fn check(snapshot: &Snapshot, case: &str, nearest: &[&str], first: &str) {
    let case = cases(snapshot).find(|it| it.name == case).unwrap();
    let found = explain_rehearsal(snapshot, &of_case(case), Telling::ALL).unwrap();
    let near: Vec<&str> = found.nearest.iter().map(|it| &*it.policy_id).collect();
    assert_eq!(near, nearest, "{}", case.name);
    let flips = told_flips(&found);
    assert_eq!(
        flips.first().map_or("", String::as_str),
        first,
        "{flips:#?}"
    );
}

#[test]
fn denials_of_the_example_say_what_would_help() {
    let snapshot = example();
    let check = |case, nearest, first| check(&snapshot, case, nearest, first);
    check(
        "but no other",
        &["clerks-read", "night-shift-reads", "owners-read"],
        "`principal` was in `Role::\"clerk\"`",
    );
    check(
        "an application that may only read takes no order",
        &[],
        "`context.token.scopes` contained `orders:write`",
    );
    check(
        "a clerk cancels nothing, however she logs in",
        &["managers-cancel"],
        "`principal` was in `Role::\"manager\"`, and `context.token.acr` was `urn:acr:mfa`, \
         and `context.token.auth_time` was `datetime(\"2030-01-01T08:55:00Z\")`",
    );
    check(
        "a manager with a password alone must log in again",
        &[],
        "`context.token.acr` was `urn:acr:mfa`, and `context.token.auth_time` was \
         `datetime(\"2030-01-01T08:55:00Z\")`",
    );
}

#[test]
fn an_explanation_is_of_the_same_decision() {
    let snapshot = example();
    let (mut allows, mut denies) = (0, 0);
    for case in cases(&snapshot) {
        let rehearsal = of_case(case);
        let Ok(decided) = rehearse(&snapshot, &rehearsal) else {
            explain_rehearsal(&snapshot, &rehearsal, Telling::ALL).unwrap_err();
            continue;
        };
        let found = explain_rehearsal(&snapshot, &rehearsal, Telling::ALL).unwrap();
        assert_eq!(
            found.decision.outcome, decided.decision.outcome,
            "{}",
            case.name
        );
        assert_eq!(
            found.decision.reasons, decided.decision.reasons,
            "{}",
            case.name
        );
        match found.decision.outcome {
            Outcome::Allow => {
                assert!(found.flips.is_empty() && found.nearest.is_empty());
                allows += 1;
            }
            Outcome::Deny => denies += 1,
        }
    }
    assert!(
        allows > 10 && denies > 10,
        "{allows} allows, {denies} denies"
    );
}

#[test]
fn no_time_left_means_fewer_flips_and_says_so() {
    let snapshot = example();
    let case = cases(&snapshot)
        .find(|it| it.name == "but no other")
        .unwrap();
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 3
    };
    let telling = Telling {
        values: true,
        stop: &stop,
    };
    let found = explain_rehearsal(&snapshot, &of_case(case), telling).unwrap();
    assert_eq!(found.decision.outcome, Outcome::Deny);
    assert!(found.truncated && found.flips.is_empty());
    assert!(!found.nearest.is_empty());
}

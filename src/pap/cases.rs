//! Runs a bundle's own cases.

use std::fmt;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::pool::pool;
use crate::{
    bundle::{Case, ExpectedOutcome, Snapshot},
    model::{Challenge, Decision, Outcome, Refusal},
    pdp::{Decided, Rehearsal, rehearse},
    policy::Place,
};

/// What came of a bundle's cases.
#[derive(Debug, Default)]
pub struct CaseReport<'s> {
    /// Those that ran, in the order of the files.
    pub ran: Vec<Ran<'s>>,
}

/// A case that ran.
#[derive(Debug)]
pub struct Ran<'s> {
    /// The case.
    pub case: &'s Case,
    /// How it failed; `None` when it came out as expected.
    pub failure: Option<CaseFailure>,
}

/// A case that did not come out as expected.
#[derive(Debug)]
pub struct CaseFailure {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// What differs: what was expected, and what came.
    pub differences: Vec<Difference>,
    /// What was decided or refused, in words.
    pub found: String,
}

/// One thing that differs. What has one value has one in each list, what has none an empty list.
#[derive(Debug)]
pub struct Difference {
    /// What.
    pub what: &'static str,
    /// As the case has it.
    pub expected: Vec<String>,
    /// As it came.
    pub found: Vec<String>,
}

impl Difference {
    /// What was expected and did not come.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        without(&self.expected, &self.found)
    }

    /// What came and was not expected.
    pub fn extra(&self) -> impl Iterator<Item = &str> {
        without(&self.found, &self.expected)
    }
}

fn without<'d>(these: &'d [String], those: &'d [String]) -> impl Iterator<Item = &'d str> {
    let left = these.iter().filter(|it| !those.contains(it));
    left.map(String::as_str)
}

impl CaseReport<'_> {
    /// Those that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseFailure> {
        self.ran.iter().filter_map(|ran| ran.failure.as_ref())
    }
}

/// Runs the cases whose name contains `filter`, or all.
pub fn run_cases<'s>(snapshot: &'s Snapshot, filter: Option<&str>) -> CaseReport<'s> {
    let cases = snapshot.cases.iter().flat_map(|file| &file.cases);
    let chosen = cases.filter(|case| filter.is_none_or(|text| case.name.contains(text)));
    let chosen: Vec<&Case> = chosen.collect();
    let ran = pool(|| {
        let ran = chosen.into_par_iter().map(|case| Ran {
            case,
            failure: run_case(snapshot, case),
        });
        ran.collect()
    });
    CaseReport { ran }
}

/// Decides the question of a case.
pub(super) fn ask(snapshot: &Snapshot, case: &Case) -> Result<Decided, Refusal> {
    rehearse(snapshot, &rehearsal(case))
}

/// The question of a case.
pub(super) fn rehearsal(case: &Case) -> Rehearsal<'_> {
    Rehearsal {
        subject: &case.subject,
        question: &case.question,
        entities: &case.entities,
        context: &case.context,
        now: case.now,
    }
}

pub(super) fn run_case(snapshot: &Snapshot, case: &Case) -> Option<CaseFailure> {
    let result = ask(snapshot, case);
    let differences = compare(case, &result);
    (!differences.is_empty()).then(|| CaseFailure {
        name: case.name.clone(),
        place: case.place.clone(),
        differences,
        found: describe(&result),
    })
}

fn compare(case: &Case, result: &Result<Decided, Refusal>) -> Vec<Difference> {
    let mut differ = Differences::default();
    let expect = &case.expect;
    let found = match result {
        Ok(decided) => match decided.decision.outcome {
            Outcome::Allow => ExpectedOutcome::Allow,
            Outcome::Deny => ExpectedOutcome::Deny,
        },
        Err(_) => ExpectedOutcome::Refused,
    };
    if found != expect.decision {
        differ.push("decision", expect.decision, found);
    }
    match result {
        Ok(Decided { decision, .. }) => {
            let ids =
                |ids: &mut dyn Iterator<Item = &str>| ids.map(str::to_owned).collect::<Vec<_>>();
            let reasons = ids(&mut decision.reasons.iter().map(|reason| &*reason.policy_id));
            let errors = ids(&mut decision.errors.iter().map(|error| &*error.policy_id));
            let obligations = ids(&mut decision.obligations.iter().map(|duty| &*duty.text));
            differ.list("reasons", expect.reasons.as_deref(), reasons);
            // An error that no one expects is a failure even where the outcome happens to match.
            differ.list("errors", Some(&expect.errors), errors);
            differ.list("obligations", expect.obligations.as_deref(), obligations);
            differ.text("cause", expect.cause.as_deref(), decision.cause.as_str());
            differ.text(
                "challenge",
                expect.challenge.as_deref(),
                &challenge(decision),
            );
        }
        Err(refusal) => {
            let expected = expect.refusal.as_deref();
            if expected.is_some_and(|code| code != refusal.code() && code != refusal.reason()) {
                differ.text("refusal", expected, refusal.reason());
            }
        }
    }
    differ.0
}

/// A challenge in the words of the annotation that makes it.
fn challenge(decision: &Decision) -> String {
    match &decision.challenge {
        None => String::new(),
        Some(Challenge::Scope(scope)) => scope.to_string(),
        Some(Challenge::StepUp {
            acr_values,
            max_age_seconds,
        }) => {
            let acr = acr_values
                .iter()
                .flat_map(|values| values.split(' '))
                .map(|acr| format!("acr={acr}"));
            let age = max_age_seconds.map(|seconds| format!("max_age={seconds}"));
            acr.chain(age).collect::<Vec<_>>().join(" ")
        }
    }
}

fn describe(result: &Result<Decided, Refusal>) -> String {
    match result {
        Err(refusal) => format!("refused ({}): {refusal}", refusal.reason()),
        Ok(Decided { decision, .. }) => {
            let mut text = format!("{} ({})", decision.outcome, decision.cause.as_str());
            for reason in &decision.reasons {
                text.push_str(&format!(
                    "\n  {} `{}` at {}",
                    reason.effect, reason.policy_id, reason.place
                ));
            }
            for error in &decision.errors {
                text.push_str(&format!(
                    "\n  `{}` failed: {}",
                    error.policy_id, error.message
                ));
            }
            text
        }
    }
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn push(&mut self, what: &'static str, expected: impl fmt::Debug, found: impl fmt::Debug) {
        self.0.push(Difference {
            what,
            expected: vec![format!("{expected:?}").to_lowercase()],
            found: vec![format!("{found:?}").to_lowercase()],
        });
    }

    fn text(&mut self, what: &'static str, expected: Option<&str>, found: &str) {
        if let Some(expected) = expected
            && expected != found
        {
            self.0.push(Difference {
                what,
                expected: vec![expected.to_owned()],
                found: vec![found.to_owned()],
            });
        }
    }

    /// Lists are compared as sets: their order says nothing.
    fn list(&mut self, what: &'static str, expected: Option<&[String]>, mut found: Vec<String>) {
        let Some(expected) = expected else { return };
        let mut expected = expected.to_vec();
        expected.sort();
        found.sort();
        if expected != found {
            self.0.push(Difference {
                what,
                expected,
                found,
            });
        }
    }
}

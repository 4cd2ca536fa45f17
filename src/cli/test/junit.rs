//! JUnit's XML, which continuous integration reads: a suite for each file, a test for each case.

use std::sync::Arc;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::pap::{CaseFailure, CaseReport};

/// The report as XML.
///
/// # Errors
/// When it cannot be written as XML.
pub(super) fn report(report: &CaseReport<'_>) -> Result<String, SerializeError> {
    let mut suites: Vec<(&Arc<str>, TestSuite)> = Vec::new();
    for ran in &report.ran {
        let file = &ran.case.place.file;
        if suites.last().is_none_or(|(last, _)| *last != file) {
            suites.push((file, TestSuite::new(file.to_string())));
        }
        let status = match &ran.failure {
            None => TestCaseStatus::success(),
            Some(failure) => failed(failure),
        };
        let mut case = TestCase::new(ran.case.name.clone(), status);
        case.set_classname(file.to_string());
        case.extra.insert("file".into(), file.to_string().into());
        let line = ran.case.place.line.to_string();
        case.extra.insert("line".into(), line.into());
        if let Some((_, suite)) = suites.last_mut() {
            suite.add_test_case(case);
        }
    }
    let mut whole = Report::new("doorward");
    whole.add_test_suites(suites.into_iter().map(|(_, suite)| suite));
    whole.to_string()
}

fn failed(failure: &CaseFailure) -> TestCaseStatus {
    let mut text = format!("at {}\n", failure.place);
    for it in &failure.differences {
        for missing in it.missing() {
            text.push_str(&format!("{}: - {missing}\n", it.what));
        }
        for extra in it.extra() {
            text.push_str(&format!("{}: + {extra}\n", it.what));
        }
    }
    text.push_str(&format!("came out: {}", failure.found));
    let whats: Vec<&str> = failure.differences.iter().map(|it| it.what).collect();
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(format!("not as expected: {}", whats.join(", ")));
    status.set_description(text);
    status
}

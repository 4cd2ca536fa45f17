//! What a restart serves, and what a running server refuses.

use std::{fs, path::Path};

use doorward::client::{ClientError, Code};

use super::{
    process::Doorward,
    ways::{bundle, in_place},
};

fn refusal(server: &Doorward) -> Code {
    match server.check("u", "0") {
        Err(ClientError::Refused(refused)) => refused.code,
        other => panic!("{other:?}"),
    }
}

fn digest(odd: bool) -> String {
    bundle(odd).digest().to_string()
}

#[track_caller]
fn check_served(server: &Doorward, odd: bool) {
    for doc in ["0", "1"] {
        let decision = server.check("u", doc).unwrap();
        assert_eq!(decision.bundle_digest, digest(odd));
        assert_eq!(decision.outcome == 1, (doc == "1") == odd, "document {doc}");
    }
}

fn break_it(rules: &Path) {
    fs::write(rules.join("part1/doc1.cedar"), "permit (principal, action").unwrap();
}

#[test]
fn a_restart_with_a_broken_directory_serves_the_last_published_bundle_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(false));
    let server = Doorward::start(&rules, &data, &[]);
    check_served(&server, false);
    in_place(&rules, &bundle(true));
    server.wait_for_readiness(&digest(true));
    check_served(&server, true);
    break_it(&rules);
    let ready = server.wait_for_readiness("\"refused\"");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(ready.contains("part1/doc1.cedar"), "{ready}");
    check_served(&server, true);
    server.kill();

    let server = Doorward::start(&rules, &data, &[]);
    let ready = server.probe("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(
        ready.contains("\"restored\"") && ready.contains("\"refused\""),
        "{ready}"
    );
    check_served(&server, true);
    server.wait_for_log("serving the last published bundle");

    // As soon as the directory is valid, it is what counts.
    in_place(&rules, &bundle(false));
    let ready = server.wait_for_readiness("\"degraded\":[]");
    assert!(ready.contains(&digest(false)), "{ready}");
    check_served(&server, false);
}

#[test]
fn a_restart_without_a_directory_serves_the_last_published_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(true));
    Doorward::start(&rules, &data, &[]).kill();
    fs::rename(&rules, dir.path().join("elsewhere")).unwrap();
    let server = Doorward::start(&rules, &data, &[]);
    server.wait_for_readiness("\"restored\"");
    check_served(&server, true);
}

#[test]
fn with_nothing_ever_published_every_answer_is_unavailable_until_the_directory_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(false));
    break_it(&rules);
    let server = Doorward::start(&rules, &data, &[]);
    let ready = server.probe("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains("part1/doc1.cedar"), "{ready}");
    assert_eq!(refusal(&server), Code::Unavailable);
    in_place(&rules, &bundle(false));
    let ready = server.wait_for_readiness(&digest(false));
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    check_served(&server, false);
}

#[test]
fn a_bundle_whose_case_fails_is_refused_by_the_name_of_the_case() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(false));
    let server = Doorward::start(&rules, &data, &[]);
    fs::write(
        rules.join("more.cedar"),
        "@id(\"closed\") forbid (principal, action, resource);",
    )
    .unwrap();
    let ready = server.wait_for_readiness("\"refused\"");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(
        ready.contains("case `even documents are read` fails"),
        "{ready}"
    );
    server.wait_for_log("case `even documents are read` fails");
    check_served(&server, false);
    let metrics = server.probe("/metrics");
    for line in [
        "doorward_reloads_total{bundle=\"default\",outcome=\"refused\"} 1",
        "doorward_reloads_total{bundle=\"default\",outcome=\"published\"} 1",
        "doorward_degraded 1",
    ] {
        assert!(metrics.contains(line), "no `{line}` in {metrics}");
    }
    // What the case says is mended along with the rule, and the line tells what changed.
    fs::remove_file(rules.join("tests/own.yaml")).unwrap();
    server.wait_for_readiness("\"degraded\":[]");
    server.wait_for_log("added closed");
    assert_eq!(server.check("u", "0").unwrap().outcome, 2);
}

#[test]
fn without_the_gate_a_failing_case_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(false));
    fs::write(
        rules.join("more.cedar"),
        "forbid (principal, action, resource);",
    )
    .unwrap();
    let server = Doorward::start(&rules, &data, &[("DOORWARD_RELOAD__GATE", "false")]);
    assert_eq!(server.check("u", "0").unwrap().outcome, 2);
    // A bundle may ask for it.
    let toml = fs::read_to_string(rules.join("bundle.toml")).unwrap();
    fs::write(rules.join("bundle.toml"), format!("gate = true\n{toml}")).unwrap();
    server.wait_for_readiness("case `even documents are read` fails");
}

#[test]
fn a_bundle_that_cannot_be_kept_is_served_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(false));
    Doorward::start(&rules, &data, &[]).kill();
    fs::remove_dir_all(data.join("bundles")).unwrap();
    fs::write(data.join("bundles"), "in the way").unwrap();
    let server = Doorward::start(&rules, &data, &[]);
    server.wait_for_readiness("\"not_kept\"");
    check_served(&server, false);
}

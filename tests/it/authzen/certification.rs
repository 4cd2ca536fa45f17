//! The certification of AuthZEN 1.0: every case of the groups evaluation and evaluations, over HTTP.
//!
//! Doorward answers the full profile, so cases that the suite leaves out for `core` run as well; and
//! callers authenticate, so those about credentials do too. None is skipped.

use std::{fs, path::Path};

use doorward::{
    bundle::{BundleFiles, BundleLimits},
    config::BundleConfig,
};
use serde_json::{Value as Json, json};

use crate::{
    kit::{Issuer, Served, pdp},
    wire::{Reply, SECRET, Wire, caller},
};

/// The server of the certification fixture.
pub(crate) fn fixture(may: &[&str]) -> Wire {
    let files =
        BundleFiles::read(Path::new("tests/bundles/authzen"), BundleLimits::default()).unwrap();
    let known = Served::new("known", &[]);
    let bundle = Served {
        config: BundleConfig { ..known.config },
        files,
    };
    let pdp = pdp(&[bundle], &[&Issuer::new("corp")], &[caller(may)]).unwrap();
    Wire::serve(pdp, Some("https://pdp.example"), None)
}

/// The cases of the two groups.
fn cases() -> Vec<Json> {
    let text = fs::read_to_string("tests/vectors/authzen-scenarios.json").unwrap();
    let all: Json = serde_json::from_str(&text).unwrap();
    let groups = ["scenarios/evaluation", "scenarios/evaluations"];
    let cases = all["cases"].as_array().unwrap().iter();
    cases
        .filter(|case| groups.contains(&case["group"].as_str().unwrap()))
        .cloned()
        .collect()
}

fn send(wire: &Wire, case: &Json) -> Reply {
    let text = |key: &str| case[key].as_str();
    let name = text("name").unwrap();
    let authorization = match name {
        _ if name.ends_with("missing-credentials-returns-401") => None,
        _ if name.ends_with("invalid-credentials-returns-401") => Some("wrong"),
        _ => Some(SECRET),
    };
    let mut lines = vec![
        format!(
            "content-type: {}",
            text("content_type").unwrap_or("application/json")
        ),
        "x-request-id: bfe9eb29-ab87-4ca3-be83-a1d5d8305716".to_owned(),
    ];
    lines.extend(authorization.map(|secret| format!("authorization: Bearer {secret}")));
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let body = text("raw_body").or(text("payload")).unwrap();
    let path = match text("group").unwrap() {
        "scenarios/evaluations" => "/access/v1/evaluations",
        _ => "/access/v1/evaluation",
    };
    let method = text("method").unwrap_or("POST");
    wire.send(method, path, &lines, body.as_bytes())
}

/// What an answer decides, without the reasons.
fn decided(answer: &Json) -> Json {
    match answer.get("evaluations") {
        Some(Json::Array(each)) => {
            let each = each.iter().map(|it| json!({ "decision": it["decision"] }));
            json!({ "evaluations": each.collect::<Vec<_>>() })
        }
        _ => json!({ "decision": answer["decision"] }),
    }
}

fn check(wire: &Wire, case: &Json) -> Result<(), String> {
    let reply = send(wire, case);
    if let Some(expected) = case["status"].as_array() {
        return match expected.contains(&json!(reply.status)) {
            true => Ok(()),
            false => Err(format!("{expected:?} expected, {reply:?} found")),
        };
    }
    if reply.status != 200 || reply.header("content-type") != "application/json" {
        return Err(format!("no decision: {reply:?}"));
    }
    if reply.header("x-request-id") != "bfe9eb29-ab87-4ca3-be83-a1d5d8305716" {
        return Err("the id of the request does not come back".to_owned());
    }
    let found = decided(&reply.json());
    match found == case["expected"] {
        true => Ok(()),
        false => Err(format!("{} expected, {found} found", case["expected"])),
    }
}

#[test]
fn every_case_passes() {
    let wire = fixture(&["check", "vouch"]);
    let cases = cases();
    assert_eq!(cases.len(), 60);
    let mut faults = Vec::new();
    for case in &cases {
        // More than once, as the cases on idempotency ask.
        for _ in 0..2 {
            if let Err(fault) = check(&wire, case) {
                faults.push(format!("{}: {fault}", case["name"]));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

//! Several questions at once.

use serde_json::{Value as Json, json};

use super::{READ, certification::fixture, decided, evaluations, refused};
use crate::wire::Reply;

#[test]
fn a_batch_answers_each_question_in_its_place() {
    let wire = fixture(&["check", "vouch"]);
    let batch = |items: Json| {
        let mut batch: Json = serde_json::from_str(READ).unwrap();
        batch["evaluations"] = items;
        evaluations(&wire, &batch)
    };
    let each = |reply: &Reply| -> Vec<bool> {
        assert_eq!(reply.status, 200, "{reply:?}");
        let answers = reply.json();
        let answers = answers["evaluations"].as_array().unwrap().iter();
        answers
            .map(|it| it["decision"].as_bool().unwrap())
            .collect()
    };
    decided("G10", &batch(json!([])), true);
    assert_eq!(each(&batch(json!([{}]))), [true], "G10");
    let mixed = json!([{}, "x", null, [], { "subject": 1 }, { "action": {} }, {}]);
    let reply = batch(mixed);
    assert_eq!(
        each(&reply),
        [true, false, false, false, false, false, true],
        "G10"
    );
    let error = &reply.json()["evaluations"][4]["context"]["error"];
    assert_eq!(error["status"], 400, "{error}");
    assert_eq!(each(&batch(Json::Array(vec![json!({}); 100]))).len(), 100);
    for count in [101, 10_000] {
        refused("G10", &batch(Json::Array(vec![json!({}); count])), 413);
    }
    for wrong in [json!({}), json!("x"), json!(null), json!(1)] {
        refused("G10", &batch(wrong), 400);
    }
    let mut default = json!({ "evaluations": [{}], "subject": "alice" });
    refused("G10", &evaluations(&wire, &default), 400);
    default["subject"] = json!(null);
    refused("G10", &evaluations(&wire, &default), 400);
}

#[test]
fn the_same_request_has_the_same_answer_however_often_it_is_sent() {
    let wire = fixture(&["check", "vouch"]);
    let yes: Json = serde_json::from_str(READ).unwrap();
    let no = json!({ "subject": { "type": "user", "id": "eve" } });
    let mut batch = yes;
    batch["evaluations"] = json!([{}, no, { "action": {} }]);
    let answer = || {
        let mut answers = evaluations(&wire, &batch).json()["evaluations"].take();
        for answer in answers.as_array_mut().unwrap() {
            // Each is a decision of its own.
            let context = answer["context"].as_object_mut().unwrap();
            assert!(context.remove("decision_id").is_some());
        }
        answers
    };
    let first = answer();
    for _ in 0..10 {
        assert_eq!(answer(), first, "G17");
    }
}

#[test]
fn properties_of_the_default_are_never_merged_into_an_item() {
    let wire = fixture(&["check", "vouch"]);
    let batch = json!({
        "subject": { "type": "user", "id": "alice" },
        "action": { "name": "write" },
        "resource": { "type": "record", "id": "record-2", "properties": { "status": "active" } },
        "evaluations": [{}, { "resource": { "id": "record-2" } }],
    });
    let answers = evaluations(&wire, &batch).json();
    assert_eq!(answers["evaluations"][0]["decision"], true);
    assert_eq!(answers["evaluations"][1]["decision"], false, "as stored");
}

#[test]
fn a_batch_ends_where_its_semantic_says() {
    let wire = fixture(&["check", "vouch"]);
    let (yes, no, error) = (
        json!({}),
        json!({ "subject": { "id": "eve" } }),
        json!({ "action": {} }),
    );
    let asked = |semantic: Json, items: &[&Json]| {
        let mut batch: Json = serde_json::from_str(READ).unwrap();
        batch["evaluations"] = items.iter().map(|it| (*it).clone()).collect();
        batch["options"] = json!({ "evaluations_semantic": semantic });
        evaluations(&wire, &batch)
    };
    #[track_caller]
    fn came(reply: &Reply, expected: &[bool]) {
        let answers = reply.json();
        let answers = answers["evaluations"].as_array().unwrap().iter();
        let found: Vec<_> = answers.map(|it| it["decision"] == true).collect();
        assert_eq!(found, expected, "{reply:?}");
    }
    came(
        &asked(json!("execute_all"), &[&no, &error, &yes]),
        &[false, false, true],
    );
    came(
        &asked(json!("deny_on_first_deny"), &[&yes, &no, &yes]),
        &[true, false],
    );
    // G12: what fails counts as denied.
    came(
        &asked(json!("deny_on_first_deny"), &[&yes, &error, &yes]),
        &[true, false],
    );
    came(
        &asked(json!("permit_on_first_permit"), &[&no, &error, &yes, &no]),
        &[false, false, true],
    );
    for wrong in [
        json!("x"),
        json!(1),
        json!(null),
        json!(["execute_all"]),
        json!(""),
    ] {
        refused("G11", &asked(wrong, &[&yes]), 400);
    }
    let mut batch: Json = serde_json::from_str(READ).unwrap();
    batch["evaluations"] = json!([{}]);
    batch["options"] = json!("execute_all");
    refused("G11", &evaluations(&wire, &batch), 400);
}

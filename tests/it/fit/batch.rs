//! `CheckBatch`.

use doorward::proto::v1::{
    CheckBatchRequest, CheckRequest, CheckResult, Outcome, check_batch_request::Subject,
    check_result::Result as Of,
};
use doorward::{
    bundle::{BundleFiles, CompileOptions},
    model::{BatchRequest, CallerCredential, Face},
    pap,
    pdp::{Answer, Refused},
};
use serde_json::json;
use tonic::Code;

use super::kit::{Running, ask, unasked};
use crate::kit::{Ask, Issuer, Served, entity, live_pdp, now};

/// A busy machine may need longer for a thousand questions.
const PATIENT: &str = "[limits]\ndeadline_ms = 30000\n";

/// Each result in one word.
fn words(results: &[CheckResult]) -> Vec<String> {
    let word = |it: &CheckResult| match it.result.as_ref().unwrap() {
        Of::Decision(decision) => match decision.outcome() {
            Outcome::Allow => "allow".to_owned(),
            Outcome::Deny => "deny".to_owned(),
            Outcome::Unspecified => panic!("{decision:?}"),
        },
        Of::Refusal(refusal) => refusal.reason.clone(),
    };
    results.iter().map(word).collect()
}

fn of(checks: Vec<CheckRequest>) -> CheckBatchRequest {
    CheckBatchRequest {
        checks,
        request_id: "b-1".to_owned(),
        ..CheckBatchRequest::default()
    }
}

#[tokio::test]
async fn a_bad_question_is_refused_and_its_siblings_are_answered_in_order() {
    let mut server = Running::start("").await;
    let (alice, bob) = (server.token("alice"), server.token("bob"));
    let mut client = server.client().await;
    let checks = vec![
        ask(&alice),
        CheckRequest::default(),
        ask("no.token.atall"),
        CheckRequest {
            request_id: "own".to_owned(),
            ..ask(&bob)
        },
        CheckRequest {
            bundle: "nowhere".to_owned(),
            ..ask(&alice)
        },
        ask(&alice),
        CheckRequest {
            context: [("nothing".to_owned(), Default::default())].into(),
            ..ask(&alice)
        },
    ];
    let results = client
        .check_batch(of(checks))
        .await
        .unwrap()
        .into_inner()
        .results;
    let expected = [
        "allow",
        "malformed",
        "invalid_token",
        "deny",
        "unknown_bundle",
        "allow",
        "malformed",
    ];
    assert_eq!(words(&results), expected);
    let Some(Of::Refusal(refusal)) = &results[1].result else {
        panic!()
    };
    assert_eq!(refusal.code, i32::from(Code::InvalidArgument));
    assert_eq!(refusal.violations[0].field, "subject");

    drop(client);
    server.stop();
    server.ended().await.unwrap();
    let records = server.records();
    assert_eq!(records.len(), 7, "one record each: {records:?}");
    for result in &results {
        let id = match result.result.as_ref().unwrap() {
            Of::Decision(decision) => &decision.decision_id,
            Of::Refusal(refusal) => &refusal.decision_id,
        };
        let found = records.iter().find(|it| it["decision_id"] == id.as_str());
        let own = found.unwrap()["request_id"].as_str().unwrap();
        assert!(["own", "b-1"].contains(&own));
    }
}

#[tokio::test]
async fn the_batch_names_the_subject_of_questions_without_one() {
    let server = Running::start("").await;
    let batch = CheckBatchRequest {
        subject: Some(Subject::AccessToken(server.token("alice"))),
        checks: vec![unasked(), ask(&server.token("bob")), unasked()],
        ..CheckBatchRequest::default()
    };
    let mut client = server.client().await;
    let results = client
        .check_batch(batch)
        .await
        .unwrap()
        .into_inner()
        .results;
    assert_eq!(words(&results), ["allow", "deny", "allow"]);
}

#[tokio::test]
async fn a_batch_is_as_long_as_its_limit_and_no_longer() {
    let server = Running::start(PATIENT).await;
    let token = server.token("alice");
    let mut client = server.client().await;
    let batch = |length: usize| CheckBatchRequest {
        subject: Some(Subject::AccessToken(token.clone())),
        checks: vec![unasked(); length],
        ..CheckBatchRequest::default()
    };
    let results = client
        .check_batch(batch(1000))
        .await
        .unwrap()
        .into_inner()
        .results;
    assert_eq!(results.len(), 1000);
    assert!(words(&results).iter().all(|word| word == "allow"));
    for (length, code) in [
        (0, Code::InvalidArgument),
        (1001, Code::ResourceExhausted),
        (4000, Code::ResourceExhausted),
    ] {
        let status = client.check_batch(batch(length)).await.unwrap_err();
        assert_eq!(status.code(), code, "{length}: {status}");
    }
    // F18: at its full size it is over the limit of messages, or of batches.
    let status = client.check_batch(batch(10_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    let roomy = Running::start(&format!("{PATIENT}message_bytes = 4194304\n")).await;
    let mut client = roomy.client().await;
    let status = client.check_batch(batch(10_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

#[tokio::test]
async fn a_batch_sees_one_state_of_the_rules_whatever_is_published_meanwhile() {
    let files = |word: &str| {
        [
            (
                "schema.cedarschema",
                "entity User; entity Order; action Read appliesTo { principal: User, resource: Order };"
                    .to_owned(),
            ),
            ("a.cedar", format!("{word}(principal, action, resource);")),
            ("bundle.toml", "[[principal]]\ntype = \"User\"\nid = \"{sub}\"".to_owned()),
        ]
    };
    let issuer = Issuer::new("corp");
    let permit = files("permit");
    let served: Vec<_> = permit
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let (pdp, live) = live_pdp(&[Served::new("orders", &served)], &[&issuer], &[]).unwrap();
    let batch = || BatchRequest {
        face: Face::Grpc,
        credential: CallerCredential::default(),
        request_id: None,
        asks: (0..500)
            .map(|_| {
                let alice = issuer.token("alice", json!({}));
                Ask::named(alice, "Read", entity("Order::\"o\"", json!({}))).0
            })
            .collect(),
    };
    let digests = |answers: Vec<Result<Answer, Refused>>| {
        let answers = answers.into_iter().map(|answer| answer.unwrap().digest());
        answers.collect::<std::collections::HashSet<_>>()
    };
    // At one turn of another task after the other, so that some are before the rules are pinned,
    // and some while the batch is under way.
    let mut by_older_rules = 0;
    for (n, turns) in (0..60).step_by(4).enumerate() {
        let files = files(if n % 2 == 0 { "forbid" } else { "permit" });
        let files = BundleFiles::new(files.iter().map(|(name, text)| (*name, text.as_str())));
        let meanwhile = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            let (_, place) = live.get("orders").unwrap();
            pap::publish(place, &files, &CompileOptions::default()).unwrap();
            place.pin().unwrap().digest
        };
        let (answers, published) = tokio::join!(pdp.answer_all(batch(), now()), meanwhile);
        let during = digests(answers.unwrap());
        assert_eq!(during.len(), 1, "published after {turns} turns");
        by_older_rules += usize::from(!during.contains(&published));
    }
    assert!(by_older_rules > 0, "none was under way");
}

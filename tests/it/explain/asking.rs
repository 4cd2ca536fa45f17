//! `Explain` over gRPC: who may, what they see, how often, and what is recorded.

use std::{fs, time::Duration};

use doorward::proto::v1::{
    CheckRequest, ExplainRequest, ExplainResponse, Outcome,
    check_request::{Question, Subject},
    decision_service_client::DecisionServiceClient,
};
use doorward::{
    client::{Client, ClientError},
    model::{EntityRef, SignedDuration},
    proto::v1::NamedQuestion,
};
use prost::Message as _;
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::fit::kit::{Running, mint};

const RULES: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        "entity User = { dept: String, notes?: Set<String> }; entity Order = { dept: String };
         action ReadOrder appliesTo { principal: User, resource: Order, context: Doorward::Context };",
    ),
    (
        "orders.cedar",
        "@id(\"own-department\") @reason(\"It is your department's.\")
permit (principal, action == Action::\"ReadOrder\", resource)
when { principal.dept == resource.dept && context has token && context.token.scopes.contains(\"orders:read\") };",
    ),
    (
        "bundle.toml",
        "name = \"orders\"\n[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n\
         attributes = { dept = \"dept\" }\n\
         [[entity]]\ntype = \"Order\"\nsource = \"bundle\"\n",
    ),
    (
        "entities.json",
        r#"[{ "uid": "Order::\"o-1\"", "attrs": { "dept": "sekret-department" }, "parents": [] }]"#,
    ),
];

/// Callers by their secrets: who only checks, who may explain, and who may see values.
fn callers() -> String {
    let caller = |name: &str, may: &str| {
        let digest = sha256(&format!("{name}-key"));
        format!("[[caller]]\nname = \"{name}\"\ntoken_sha256 = \"{digest}\"\nmay = [{may}]\n")
    };
    [
        caller("checker", "\"check\", \"vouch\""),
        caller("explainer", "\"check\", \"explain\""),
        caller("seer", "\"check\", \"explain\", \"explain_values\""),
    ]
    .concat()
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn server(extra: &str) -> Running {
    let root = tempfile::tempdir().unwrap();
    let rules = root.path().join("rules");
    fs::create_dir_all(&rules).unwrap();
    for (name, text) in RULES {
        fs::write(rules.join(name), text).unwrap();
    }
    Running::start_in(root, false, &format!("{extra}\n{}", callers())).await
}

fn question(server: &Running) -> CheckRequest {
    let issuer = server.root.path().join("issuer");
    let ttl = SignedDuration::from_mins(5);
    let claims = [
        ("dept", "\"hidden-hr\""),
        ("notes", "[\"hidden-claim\"]"),
        ("email", "\"hidden@example.com\""),
    ];
    let token = mint(&issuer, "alice", "orders:read", ttl, &claims);
    CheckRequest {
        subject: Some(Subject::AccessToken(token)),
        question: Some(Question::Named(NamedQuestion {
            action: "ReadOrder".to_owned(),
            resource: Some(EntityRef::new("Order", "o-1").into()),
        })),
        request_id: "why-1".to_owned(),
        ..CheckRequest::default()
    }
}

/// All texts of an answer.
fn on_the_wire(answer: &ExplainResponse) -> String {
    String::from_utf8_lossy(&answer.encode_to_vec()).into_owned()
}

async fn explain(
    client: &mut DecisionServiceClient<Channel>,
    caller: &str,
    check: CheckRequest,
) -> Result<Response<ExplainResponse>, Status> {
    let mut request = Request::new(ExplainRequest { check: Some(check) });
    let bearer = format!("Bearer {caller}-key").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    client.explain(request).await
}

/// K04: values are for those who may see them, and what the bundle does not map for nobody.
#[tokio::test]
async fn an_explanation_needs_its_right_and_values_need_another() {
    let mut server = server("").await;
    let mut client = server.client().await;

    let refused = explain(&mut client, "checker", question(&server))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let refused = explain(&mut client, "nobody", question(&server))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");

    let told = explain(&mut client, "explainer", question(&server))
        .await
        .unwrap();
    let text = on_the_wire(told.get_ref());
    let found = told.into_inner().explanation.unwrap();
    assert_eq!(found.outcome(), Outcome::Deny);
    assert!(!found.values_shown);
    assert_eq!(found.nearest[0].policy_id, "own-department");
    let failed = &found.nearest[0].requirements;
    let failed = failed
        .iter()
        .find(|it| it.text == "principal.dept == resource.dept");
    let seen = &failed.unwrap().seen;
    assert_eq!(seen[0].path, "principal.dept");
    assert!(seen.iter().all(|it| it.value.is_none()));
    assert_eq!(found.flips[0].text, "`principal.dept` was another");
    for hidden in ["sekret", "hidden"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }

    let told = explain(&mut client, "seer", question(&server))
        .await
        .unwrap();
    let text = on_the_wire(told.get_ref());
    let found = told.into_inner().explanation.unwrap();
    assert_eq!(
        found.flips[0].text,
        "`principal.dept` was `sekret-department`"
    );
    assert!(text.contains("hidden-hr"));
    let printed = format!("{found:?}");
    assert!(!printed.contains("hidden"), "{printed}");
    // What the bundle does not map, nobody sees.
    for hidden in ["hidden-claim", "hidden@example.com"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }

    server.stop();
    server.ended().await.unwrap();
    let records = server.records();
    assert_eq!(records.len(), 4);
    for record in &records {
        // Of a stranger, the log keeps what was refused, as an example.
        let stranger = record["kind"] != "decision" && record["caller"].is_null();
        let explained = if stranger {
            serde_json::Value::Null
        } else {
            true.into()
        };
        assert_eq!(
            (&record["face"], &record["explained"]),
            (&"grpc".into(), &explained),
            "{record}"
        );
        assert!(stranger || record["request_id"] == "why-1", "{record}");
    }
    let of = |caller: &str| records.iter().find(|it| it["caller"] == caller).unwrap();
    assert_eq!(of("checker")["refusal"], "caller_lacks_right");
    assert_eq!(of("explainer")["outcome"], "deny");
    // The log has what was mapped and stated, and no other claim.
    let text = format!("{records:?}");
    for hidden in ["hidden-claim", "hidden@example.com"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[tokio::test]
async fn explanations_are_rate_limited_for_each_caller_and_decisions_are_not() {
    let server = server("[limits]\nexplanations_per_minute = 2").await;
    let mut client = server.client().await;
    for _ in 0..2 {
        let told = explain(&mut client, "seer", question(&server)).await;
        told.unwrap();
    }
    let refused = explain(&mut client, "seer", question(&server)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "rate_limited");
    let wait = refused.get_details_retry_info().unwrap().retry_delay;
    let within = Duration::ZERO..=Duration::from_secs(30);
    assert!(within.contains(&wait.unwrap()), "{wait:?}");
    explain(&mut client, "explainer", question(&server))
        .await
        .unwrap();
    let mut check = Request::new(question(&server));
    let bearer = "Bearer seer-key".parse().unwrap();
    check.metadata_mut().insert("authorization", bearer);
    client.check(check).await.unwrap();
    let metrics = server.metrics().await;
    let line = "doorward_refusals_total{code=\"rate_limited\",face=\"explain\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    assert!(
        metrics.contains("cause=\"nothing_permits\",face=\"explain\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("cause=\"nothing_permits\",face=\"grpc\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_question_that_is_none_and_a_bad_token_are_refused() {
    let server = server("").await;
    let mut client = server.client().await;
    let mut empty = Request::new(ExplainRequest { check: None });
    empty
        .metadata_mut()
        .insert("authorization", "Bearer seer-key".parse().unwrap());
    assert_eq!(
        client.explain(empty).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let forged = CheckRequest {
        subject: Some(Subject::AccessToken("a.b.c".to_owned())),
        ..question(&server)
    };
    let refused = explain(&mut client, "seer", forged).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn the_client_explains() {
    let server = server("").await;
    let url = format!("http://{}", server.grpc);
    let client = Client::connect(&url)
        .await
        .unwrap()
        .with_secret("seer-key")
        .unwrap();
    let found = client.explain(question(&server)).await.unwrap();
    assert_eq!(found.flips[0].facts[0].path, "principal.dept");
    let client = client.with_secret("checker-key").unwrap();
    let refused = client.explain(question(&server)).await.unwrap_err();
    let ClientError::Refused(refused) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refused.reason, "caller_lacks_right");
}

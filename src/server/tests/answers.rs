//! What the listeners answer, and what is recorded of it.

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::*;
use crate::proto::v1::Cause;

#[tokio::test]
async fn a_server_answers_probes_refuses_malformed_questions_records_them_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    assert!(
        get(running.probe, "/livez")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        get(running.probe, "/readyz")
            .await
            .contains("\"bundles\":[{\"name\":\"default\"")
    );

    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();
    let request = CheckRequest {
        subject: None,
        request_id: "r-1".to_owned(),
        ..question()
    };
    let refused = match client.check(request).await.unwrap_err() {
        ClientError::Refused(refused) => refused,
        other => panic!("{other}"),
    };
    assert_eq!(refused.code, tonic::Code::InvalidArgument);
    assert_eq!(refused.reason, "malformed");
    assert_eq!(refused.violations[0].0, "subject");
    let metrics = get(running.probe, "/metrics").await;
    assert!(
        metrics.contains("doorward_refusals_total{code=\"malformed\",face=\"grpc\"} 1"),
        "{metrics}"
    );

    drop(client);
    running.stop.send(()).unwrap();
    running.ended.await.unwrap().unwrap();
    let line = &records(dir.path())[0];
    assert_eq!(line["decision_id"], refused.decision_id.as_str());
    assert_eq!(line["request_id"], "r-1");
    assert_eq!(line["refusal"], "malformed");
}

#[tokio::test]
async fn the_http_listener_serves_both_faces_and_records_what_they_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let missing = get(running.http, "/forward-auth/nginx").await;
    assert!(missing.starts_with("HTTP/1.1 400"), "{missing}");
    let metadata = get(running.http, "/.well-known/authzen-configuration").await;
    assert!(metadata.starts_with("HTTP/1.1 404"), "{metadata}");
    let method = get(running.http, "/access/v1/evaluation").await;
    assert!(method.starts_with("HTTP/1.1 405"), "{method}");
    running.stop.send(()).unwrap();
    running.ended.await.unwrap().unwrap();
    let records = records(dir.path());
    assert!(
        records.iter().any(|it| it["face"] == "forward_auth"),
        "{records:?}"
    );
}

#[tokio::test]
async fn a_token_allows_denies_or_is_refused_when_tampered_with() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    assert!(
        get(running.probe, "/readyz")
            .await
            .contains("\"ready\":true")
    );
    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();

    let alice = mint(dir.path(), "alice");
    let allowed = client.check(ask(&alice)).await.unwrap();
    assert!(allowed.is_allowed());
    let reason = &allowed.decision().reasons[0];
    assert_eq!(
        (reason.policy_id.as_str(), reason.reason.as_str()),
        ("alice-reads", "She may.")
    );
    assert!(
        reason.place.starts_with("orders.cedar:"),
        "development explains: {reason:?}"
    );

    let denied = client.check(ask(&mint(dir.path(), "bob"))).await.unwrap();
    assert!(!denied.is_allowed());
    assert_eq!(denied.decision().cause(), Cause::NothingPermits);

    // The first character of the signature: every bit of it counts.
    let (signed, signature) = alice.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed}.{first}{}", signature.get(1..).unwrap());
    match client.check(ask(&forged)).await.unwrap_err() {
        ClientError::Refused(refused) => {
            assert_eq!(refused.reason, "invalid_token");
            assert_eq!(refused.code, tonic::Code::Unauthenticated);
        }
        other => panic!("{other}"),
    }

    drop(client);
    running.stop.send(()).unwrap();
    running.ended.await.unwrap().unwrap();
    let log = audit::lines(&dir.path().join("data/audit")).unwrap();
    let kinds: Vec<_> = records(dir.path())
        .into_iter()
        .map(|it| it["kind"].clone())
        .collect();
    assert_eq!(kinds, ["decision", "decision", "refusal"]);
    assert!(
        log.contains("\"reason\":\"signature_invalid\"") && !log.contains(&alice),
        "{log}"
    );
}

#[tokio::test]
async fn health_is_told_for_the_server_and_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", running.grpc));
    let mut health = HealthClient::new(endpoint.unwrap().connect().await.unwrap());
    for service in ["", "doorward.v1.DecisionService"] {
        let asked = HealthCheckRequest {
            service: service.to_owned(),
        };
        // Announced by a task of its own, a moment after the port is open.
        loop {
            let answer = health.check(asked.clone()).await;
            let serving = ServingStatus::Serving as i32;
            if answer.is_ok_and(|it| it.into_inner().status == serving) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn reflection_lists_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", running.grpc));
    let mut client = ServerReflectionClient::new(endpoint.unwrap().connect().await.unwrap());
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::once(asked))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|it| it.name.as_str()).collect();
    for name in ["doorward.v1.DecisionService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

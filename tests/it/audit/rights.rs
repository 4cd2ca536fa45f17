//! Who may read which records.

use std::{fs, net::SocketAddr, path::Path};

use doorward::{
    config::{Config, ListenAddress},
    model::EntityRef,
    proto::v1::{
        CheckRequest, Entity, NamedQuestion,
        check_request::{Question, Subject},
        decision_service_client::DecisionServiceClient,
    },
    server::Server,
};
use tonic::transport::Endpoint;

use super::*;
use crate::fit::kit::{issuer_with_keys, load};

const FILES: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        "entity User; entity Order; action ReadOrder appliesTo { principal: User, resource: Order };",
    ),
    ("all.cedar", "permit (principal, action, resource);"),
    (
        "bundle.toml",
        "[[principal]]\ntype = \"User\"\nid = \"{sub}\"",
    ),
];

fn configuration(root: &Path) -> Config {
    for bundle in ["a", "b"] {
        fs::create_dir(root.join(bundle)).unwrap();
        for (name, text) in FILES {
            fs::write(root.join(bundle).join(name), text).unwrap();
        }
    }
    issuer_with_keys(root);
    let caller = |name: &str, more: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
        let digest: String = digest
            .as_ref()
            .iter()
            .map(|it| format!("{it:02x}"))
            .collect();
        format!("[[caller]]\nname = \"{name}\"\ntoken_sha256 = \"{digest}\"\n{more}\n")
    };
    let toml = [
        "data = \"data\"\n[bundles.a]\npath = \"a\"\n[bundles.b]\npath = \"b\"\n\
         [listen]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nprobe = \"127.0.0.1:0\"\n\
         admin = \"127.0.0.1:0\"\n[audit]\nmode = \"required\"\n\
         [[issuer]]\nname = \"corp\"\nissuer = \"https://corp.example\"\naudiences = [\"x\"]\n\
         jwks_file = \"keys.json\"\n"
            .to_owned(),
        caller(
            "asker",
            "may = [\"check\", \"vouch\"]\nvouch = { types = [\"User\"] }",
        ),
        caller("auditor", "may = [\"audit\"]"),
        caller("auditor-a", "may = [\"audit\"]\nbundles = [\"a\"]"),
    ]
    .concat();
    load(root, false, &toml).unwrap()
}

fn tcp(address: ListenAddress) -> SocketAddr {
    match address {
        ListenAddress::Tcp(address) => address,
        ListenAddress::Unix(path) => panic!("{path:?}"),
    }
}

async fn check(grpc: SocketAddr, bundle: &str) -> String {
    let uid = |text: &str| text.parse::<EntityRef>().unwrap();
    let mut request = tonic::Request::new(CheckRequest {
        bundle: bundle.to_owned(),
        subject: Some(Subject::Entity(Entity::from(uid("User::\"u\"")))),
        question: Some(Question::Named(NamedQuestion {
            action: "ReadOrder".to_owned(),
            resource: Some(uid("Order::\"o\"").into()),
        })),
        ..CheckRequest::default()
    });
    let metadata = request.metadata_mut();
    metadata.insert("authorization", "Bearer asker".parse().unwrap());
    let endpoint = Endpoint::from_shared(format!("http://{grpc}")).unwrap();
    let mut client = DecisionServiceClient::new(endpoint.connect().await.unwrap());
    let answer = client.check(request).await.unwrap().into_inner();
    answer.decision.unwrap().decision_id
}

#[tokio::test]
async fn the_right_to_read_is_for_the_records_of_a_bundle() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::open(configuration(root.path())).await.unwrap();
    let addresses = server.addresses().unwrap();
    let (grpc, admin) = (tcp(addresses.grpc), tcp(addresses.admin));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(server.run(async { stopped.await.unwrap() }));
    let (of_a, of_b) = (check(grpc, "a").await, check(grpc, "b").await);
    let anyone = Operator::connect(&format!("http://{admin}")).await.unwrap();
    let by = |name: &str| anyone.clone().with_secret(name).unwrap();
    let of = |bundle: &str| RecordFilter {
        bundle: bundle.to_owned(),
        ..filter("")
    };
    let query = async |operator: &Operator, bundle: &str| {
        let request = QueryRecordsRequest {
            filter: Some(of(bundle)),
            ..QueryRecordsRequest::default()
        };
        operator.query_records(request).await
    };
    for (who, code) in [
        (anyone.clone(), Code::Unauthenticated),
        (by("stranger"), Code::Unauthenticated),
        (by("asker"), Code::PermissionDenied),
    ] {
        refused(query(&who, "a").await, code, "");
        refused(record(&who, "a", &of_a).await, code, "");
        refused(who.tail_records(tail(of("a"))).await, code, "");
    }
    let auditor = by("auditor-a");
    for bundle in ["", "b"] {
        let code = Code::PermissionDenied;
        refused(query(&auditor, bundle).await, code, "lacks_right");
        refused(record(&auditor, bundle, &of_a).await, code, "lacks_right");
        refused(
            auditor.tail_records(tail(of(bundle))).await,
            code,
            "lacks_right",
        );
    }
    refused(query(&auditor, "c").await, Code::NotFound, "");
    let found = query(&auditor, "a").await.unwrap();
    assert_eq!(ids(&found.records), std::slice::from_ref(&of_a));
    assert!(record(&auditor, "a", &of_a).await.is_ok());
    let others = record(&auditor, "a", &of_b).await;
    refused(others, Code::NotFound, "unknown_decision");
    let mut coming = auditor.tail_records(tail(of("a"))).await.unwrap();
    check(grpc, "b").await;
    let later = check(grpc, "a").await;
    assert_eq!(next(&mut coming, 1).await, [later]);

    let all = query(&by("auditor"), "").await.unwrap();
    let found = ids(&all.records);
    assert!(found.contains(&of_a) && found.contains(&of_b), "{found:?}");
    drop(coming);
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}

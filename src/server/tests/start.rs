//! What a start says, and under which names it then answers.

use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn a_taken_port_is_told_with_the_flag_that_changes_it() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (key, flag) in [
        ("listen.grpc", "--grpc"),
        ("listen.http", "--http"),
        ("listen.probe", "--probe"),
    ] {
        let why = Server::open(config(dir.path(), &[(key, &address)]))
            .await
            .unwrap_err()
            .to_string();
        assert!(why.contains(&address) && why.contains(flag), "{why}");
    }
}

#[tokio::test]
async fn a_bundle_that_is_not_valid_is_told_and_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &[]);
    fs::write(
        dir.path().join("rules/orders.cedar"),
        "permit (principal, action, resource)",
    )
    .unwrap();
    let server = Server::open(config).await.unwrap();
    let state = (server.engine.readiness)();
    assert!(!state.is_ready());
    let told = serde_json::to_string(&state.degraded).unwrap();
    assert!(told.contains("orders.cedar\",\"line\":1"), "{told}");
}

#[track_caller]
fn hosts(listener: &str, listed: &[&str], known_by: Option<&str>, expected: &[&str]) {
    let listed: Vec<_> = listed.iter().map(|it| (*it).to_owned()).collect();
    let found = own_hosts(
        &listener.parse().unwrap(),
        &listed,
        known_by.and_then(host_of),
    );
    assert_eq!(found, expected, "{listener}");
}

#[test]
fn a_listener_answers_to_its_own_names_where_pages_of_others_could_ask() {
    let (here, there) = ("127.0.0.1:8181", "10.0.0.1:8181");
    let url = Some("https://pdp.example:8443/authz");
    hosts(here, &[], None, &["localhost", "127.0.0.1", "[::1]"]);
    hosts(
        here,
        &["a"],
        url,
        &["a", "pdp.example", "localhost", "127.0.0.1", "[::1]"],
    );
    hosts(there, &[], url, &[]);
    hosts(there, &["a"], url, &["a", "pdp.example"]);
    hosts("unix:/run/d.sock", &[], url, &[]);
}

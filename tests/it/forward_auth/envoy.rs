//! Envoy's `ext_authz` over HTTP: the client's own method, host and target, behind a prefix.

use serde_json::json;

use super::{Site, came, site};
use crate::wire::{Reply, SECRET};

/// What Envoy asks about a request to this host.
fn ask(site: &Site, method: &str, host: &str, target: &str, lines: &[&str]) -> Reply {
    let secret = format!("x-doorward-caller: {SECRET}");
    let bearer = format!("authorization: Bearer {}", site.token("alice", json!({})));
    let all: Vec<_> = [secret.as_str(), bearer.as_str()]
        .into_iter()
        .chain(lines.iter().copied())
        .collect();
    let path = format!("/forward-auth/envoy{target}");
    site.wire.send_to(host, method, &path, &all)
}

const HOST: &str = "site.example";

#[test]
fn what_has_one_reading_is_decided_by_it() {
    let site = site(&["check", "gateway"]);
    let rows = [
        ("allow", "GET", HOST, "/start?x=1", 200),
        ("E01", "GET", HOST, "/%73tart", 200),
        ("E06", "GET", HOST, "/start?draft=1", 403),
        ("E06", "GET", HOST, "/start%3fdraft=1", 200),
        ("E07", "GET", HOST, "/START", 200),
        ("E07", "GET", HOST, "/start/", 403),
        ("E08", "GET", "Site.Example.:80", "/start", 200),
        ("E10", "PROPFIND", HOST, "/start", 403),
        ("E10", "TRACE", HOST, "/start", 403),
        ("E23", "GET", HOST, "/no/such/route", 403),
        ("scope", "POST", HOST, "/start", 403),
        // What the endpoint's own path looks like means nothing behind it.
        ("prefix", "GET", HOST, "/forward-auth", 200),
        ("prefix", "GET", HOST, "/x/forward-auth/envoy/start", 403),
    ];
    for (id, method, host, target, status) in rows {
        let reply = ask(&site, method, host, target, &[]);
        came(&format!("{id}: {method} {target}"), &reply, status);
    }
    let reply = ask(&site, "GET", HOST, "/start", &["x-auth-subject: root"]);
    came("E14", &reply, 200);
    assert_eq!(reply.header("x-auth-subject"), "alice");
}

#[test]
fn a_request_of_two_readings_is_400() {
    let site = site(&["check", "gateway"]);
    let rows = [
        ("E01", "GET", HOST, "//start"),
        ("E02", "GET", HOST, "/public/../start"),
        ("E02", "GET", HOST, "/public/%2e%2e/start"),
        ("E02", "GET", HOST, "/public/..%2fstart"),
        ("E02", "GET", HOST, "/./start"),
        ("E02", "GET", HOST, "/start/."),
        ("E03", "GET", HOST, "/a%2Fb"),
        ("E03", "GET", HOST, "/a%5Cb"),
        ("E03", "GET", HOST, "/a%252Fb"),
        ("E03", "GET", HOST, "/%00"),
        ("E03", "GET", HOST, "/%"),
        ("E03", "GET", HOST, "/%zz"),
        ("E03", "GET", HOST, "/%c0%af"),
        ("E04", "GET", HOST, "/start;x=1"),
        ("E04", "GET", HOST, "/..;/start"),
        ("E08", "GET", "user@site.example", "/start"),
        ("E08", "GET", "site.example, other.example", "/start"),
        ("E08", "GET", "", "/start"),
        ("E10", "get", HOST, "/start"),
    ];
    for (id, method, host, target) in rows {
        let reply = ask(&site, method, host, target, &[]);
        assert_eq!(
            reply.status, 400,
            "{id}: {method} {host} {target}: {reply:?}"
        );
    }
    for (id, line) in [
        ("E08", "host: other.example"),
        ("E13", "X_Auth_Subject: root"),
        ("E13", "X_Forwarded_Uri: /start"),
        ("E15", "connection: x-auth-subject"),
        ("E20", "x-forwarded-uri: /start"),
        ("E20", "x-forwarded-method: GET"),
        ("E20", "x-original-host: site.example"),
        ("E21", "x-original-url: https://site.example/start"),
    ] {
        came(id, &ask(&site, "GET", HOST, "/start", &[line]), 400);
    }
    // E09: the target names another host than `host` does.
    let secret = format!("x-doorward-caller: {SECRET}");
    let target = "http://other.example/forward-auth/envoy/start";
    let reply = site.wire.send_to(HOST, "GET", target, &[&secret]);
    came("E09", &reply, 400);
}

#[test]
fn what_is_no_request_of_the_client_is_never_a_success() {
    let site = site(&["check", "gateway"]);
    for (id, method, target) in [
        ("E11", "OPTIONS", "*"),
        ("E11", "GET", ""),
        ("E11", "GET", "?x=1"),
        ("E21", "GET", "start"),
        ("E03", "GET", "/a\\b"),
        ("E05", "GET", "#/start"),
    ] {
        let reply = ask(&site, method, HOST, target, &[]);
        assert!(
            (400..500).contains(&reply.status),
            "{id}: {target}: {reply:?}"
        );
    }
    // E20, E22: nobody is answered without the right, whatever it calls itself.
    let probe = ["user-agent: kube-probe/1.30"];
    let reply = site
        .wire
        .send_to(HOST, "GET", "/forward-auth/envoy/public", &probe);
    came("E22", &reply, 403);
}

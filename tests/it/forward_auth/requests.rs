//! Which request is asked about.

use serde_json::json;

use super::{GATEWAYS, came, site, stated};
use crate::wire::SECRET;

#[test]
fn each_endpoint_reads_one_family_of_headers() {
    let site = site(&["check", "gateway"]);
    let bearer = format!("authorization: Bearer {}", site.token("alice", json!({})));
    let secret = format!("x-doorward-caller: {SECRET}");
    for gateway in GATEWAYS {
        let own = stated(gateway, "GET", "site.example", "/start");
        let foreign = match gateway {
            "nginx" => "forwarded",
            _ => "original",
        };
        let send = |stated: &[String], lines: &[&str]| {
            let lines: Vec<_> = [bearer.as_str(), secret.as_str()]
                .into_iter()
                .chain(lines.iter().copied())
                .collect();
            site.send(gateway, stated, &lines)
        };
        came("whole", &send(&own, &[]), 200);
        // What says nothing about the request is no member.
        came(
            "others",
            &send(
                &own,
                &["x-forwarded-for: 1.2.3.4", "x-forwarded-proto: https"],
            ),
            200,
        );
        for missing in 0..own.len() {
            let mut some = own.clone();
            some.remove(missing);
            came("E20", &send(&some, &[]), 400);
        }
        came("E20", &send(&[], &[]), 400);
        for repeated in &own {
            came("E20", &send(&own, &[repeated]), 400);
        }
        for member in ["method", "host", "uri"] {
            let other = format!("x-{foreign}-{member}: /start");
            came("E20", &send(&own, &[&other]), 400);
            for family in ["original", "forwarded"] {
                let alike = format!("X_{family}_{member}: GET");
                came("E13", &send(&own, &[&alike]), 400);
            }
        }
        for stray in [
            "x-original-url: https://site.example/",
            "x-rewrite-url: /",
            "X_Doorward_Caller: x",
        ] {
            came("E21", &send(&own, &[stray]), 400);
        }
        came("E22", &send(&[], &["user-agent: kube-probe/1.30"]), 400);
    }
    let elsewhere = stated("nginx", "GET", "site.example", "/start");
    let reply = site.send("caddy", &elsewhere, &[&bearer, &secret]);
    came("E20", &reply, 400);
}

#[test]
fn a_request_of_two_readings_is_400() {
    let site = site(&["check", "gateway"]);
    let bearer = format!("authorization: Bearer {}", site.token("alice", json!({})));
    let rows = [
        ("E01", "GET", "site.example", "//start"),
        ("E02", "GET", "site.example", "/public/../start"),
        ("E02", "GET", "site.example", "/public/%2e%2e/start"),
        ("E02", "GET", "site.example", "/public/..%2fstart"),
        ("E02", "GET", "site.example", "/./start"),
        ("E02", "GET", "site.example", "/start/."),
        ("E03", "GET", "site.example", "/a%2Fb"),
        ("E03", "GET", "site.example", "/a%5Cb"),
        ("E03", "GET", "site.example", "/a\\b"),
        ("E03", "GET", "site.example", "/a%252Fb"),
        ("E03", "GET", "site.example", "/%00"),
        ("E03", "GET", "site.example", "/%"),
        ("E03", "GET", "site.example", "/%zz"),
        ("E03", "GET", "site.example", "/%c0%af"),
        ("E04", "GET", "site.example", "/start;x=1"),
        ("E04", "GET", "site.example", "/public;/../start"),
        ("E04", "GET", "site.example", "/..;/start"),
        ("E05", "GET", "site.example", "/start#frag"),
        ("E05", "GET", "site.example", "/public#/../start"),
        ("E08", "GET", "user@site.example", "/start"),
        ("E08", "GET", "site.example, other.example", "/start"),
        ("E08", "GET", "", "/start"),
        ("E08", "GET", "zo\u{eb}.example", "/start"),
        ("E10", "get", "site.example", "/start"),
        ("E10", "GET /x", "site.example", "/start"),
        ("E10", "", "site.example", "/start"),
        ("E11", "CONNECT", "site.example", ""),
        ("E11", "OPTIONS", "site.example", "*"),
        ("E11", "GET", "site.example", "http://site.example/start"),
        ("E16", "GET", "site.example", "/st\u{e4}rt"),
        ("E24", "POST", "site.example", "pkg.Service/Method"),
        ("E21", "GET", "site.example", "start"),
    ];
    for gateway in GATEWAYS {
        for (id, method, host, uri) in rows {
            let mut all = stated(gateway, method, host, uri);
            all.push(format!("x-doorward-caller: {SECRET}"));
            let reply = site.send(gateway, &all, &[&bearer]);
            assert_eq!(reply.status, 400, "{id}: {method} {host} {uri}: {reply:?}");
        }
    }
}

#[test]
fn what_has_one_reading_is_decided_by_it() {
    let site = site(&["check", "gateway"]);
    let bearer = format!("authorization: Bearer {}", site.token("alice", json!({})));
    let ask = |method: &str, uri: &str, lines: &[&str]| {
        let lines: Vec<_> = [bearer.as_str()]
            .into_iter()
            .chain(lines.iter().copied())
            .collect();
        site.ask("traefik", method, uri, &lines)
    };
    came("E01", &ask("GET", "/%73tart", &[]), 200);
    came("E06", &ask("POST", "/start?x=/public", &[]), 403);
    came("E06", &ask("GET", "/start%3fx", &[]), 200);
    came("E07", &ask("GET", "/START", &[]), 200);
    came("E07", &ask("GET", "/start/", &[]), 403);
    for host in [
        "Site.Example",
        "site.example.",
        "site.example:443",
        "[::1]:8080",
    ] {
        let mut all = stated("nginx", "GET", host, "/start");
        all.push(format!("x-doorward-caller: {SECRET}"));
        came("E08", &site.send("nginx", &all, &[&bearer]), 200);
    }
    came(
        "E10",
        &ask("PROPFIND", "/start", &["x-http-method-override: GET"]),
        403,
    );
    came("E10", &ask("TRACE", "/start", &[]), 403);
    came("E23", &ask("GET", "/no/such/route", &[]), 403);
    for hop in [
        "connection: x-auth-subject",
        "connection: close, X-Auth-Scopes",
    ] {
        came("E15", &ask("GET", "/start", &[hop]), 400);
    }
}

#[test]
fn headers_and_queries_are_read_where_an_action_declares_them() {
    let site = site(&["check", "gateway"]);
    let bearer = format!("authorization: Bearer {}", site.token("alice", json!({})));
    let ask = |uri: &str, lines: &[&str]| {
        let lines: Vec<_> = [bearer.as_str()]
            .into_iter()
            .chain(lines.iter().copied())
            .collect();
        site.ask("nginx", "GET", uri, &lines)
    };
    came("query", &ask("/start?draft=1", &[]), 403);
    came("query", &ask("/start?dr%61ft=1", &[]), 403);
    came("query", &ask("/start?other=1", &[]), 200);
    came("query", &ask("/start?draft=1", &["X-Team: red"]), 200);
    came(
        "E12",
        &ask("/start?draft=1", &["x-team: red", "x-team: blue"]),
        403,
    );
    came("E12", &ask("/start?draft=1", &["x-team: red,blue"]), 403);
    came("E13", &ask("/start?draft=1", &["X_Team: red"]), 403);
    came("E16", &ask("/start?draft=1", &["x-team: r\u{eb}d"]), 403);
    came("E16", &ask("/start?draft=1", &["x-team: r\u{fffd}d"]), 400);
    came("query", &ask("/start?draft=1&draft=2", &[]), 400);
    came("query", &ask("/start?draft=%ff", &[]), 400);
}

#[test]
fn too_many_headers_are_refused_before_anything_is_read() {
    let site = site(&["check", "gateway"]);
    let many: Vec<String> = (0..10_000).map(|n| format!("x-{n}: y")).collect();
    let reply = site.send("nginx", &many, &[]);
    assert_eq!(reply.status, 431, "E17");
}

//! Forward-auth over HTTP: what each gateway may state, where tokens are, what upstreams are told;
//! bad inputs each by the id of its row.

mod envoy;
mod requests;

use doorward::model::Subject;
use serde_json::{Value as Json, json};

use crate::{
    kit::{Issuer, Served, pdp},
    wire::{Reply, SECRET, Wire, caller},
};

const GATEWAYS: [&str; 3] = ["nginx", "caddy", "traefik"];
const TOLD: [&str; 7] = [
    "x-auth-subject",
    "x-auth-type",
    "x-auth-issuer",
    "x-auth-client",
    "x-auth-scopes",
    "x-auth-obligations",
    "x-auth-decision-id",
];

const SCHEMA: &str = r#"
entity User; entity Guest; entity Page;
action Read appliesTo { principal: [User, Guest], resource: [Page], context: {
  headers?: { "x-team"?: String }, query?: { draft?: String }, http: Doorward::Http,
} };
action Write appliesTo { principal: [User], resource: [Page], context: {
  token: { issuer: String, client_id?: String, scopes: Set<String>, acr?: String, amr?: Set<String>,
    auth_time?: datetime, issued_at?: datetime, expires_at: datetime },
} };
"#;
const POLICIES: &str = r#"
@id("all-read")
@obligation("watermark=on")
permit (principal is User, action == Action::"Read", resource)
unless { context has query && context.query has draft };
@id("guests-read")
permit (principal is Guest, action == Action::"Read", resource == Page::"public");
@id("red-drafts")
permit (principal is User, action == Action::"Read", resource)
when { context has headers && context.headers has "x-team" && context.headers["x-team"] == "red" };
@id("writers-write")
@challenge_scope("pages:write")
permit (principal is User, action == Action::"Write", resource)
when { context.token.scopes.contains("pages:write") };
@id("locked")
@reason("Needs a second factor.")
@step_up("acr=urn:acr:mfa max_age=300")
forbid (principal, action == Action::"Write", resource == Page::"vault");
"#;
const RULES: &str = r#"
[[principal]]
type = "User"
id = "{sub}"
[[principal]]
type = "Guest"
anonymous = true
[[route]]
method = "GET"
path = "/{page}"
action = "Read"
resource = { type = "Page", id = "{page}" }
anonymous = true
[[route]]
method = "POST"
path = "/{page}"
action = "Write"
resource = { type = "Page", id = "{page}" }
"#;

struct Site {
    wire: Wire,
    issuer: Issuer,
}

fn site(may: &[&str]) -> Site {
    let issuer = Issuer::new("corp");
    let files = [
        ("schema.cedarschema", SCHEMA),
        ("all.cedar", POLICIES),
        ("bundle.toml", RULES),
    ];
    let bundle = Served::new("known", &files);
    let pdp = pdp(&[bundle], &[&issuer], &[caller(may)]).unwrap();
    Site {
        wire: Wire::serve(pdp, None, Some("__Host-token")),
        issuer,
    }
}

impl Site {
    fn token(&self, sub: &str, claims: Json) -> String {
        match self.issuer.token(sub, claims) {
            Subject::Token(token) => token.expose().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// What `gateway` asks about a request with these further header lines.
    fn ask(&self, gateway: &str, method: &str, uri: &str, lines: &[&str]) -> Reply {
        let mut all = stated(gateway, method, "site.example", uri);
        all.push(format!("x-doorward-caller: {SECRET}"));
        self.send(gateway, &all, lines)
    }

    fn send(&self, gateway: &str, stated: &[String], lines: &[&str]) -> Reply {
        let all: Vec<&str> = stated
            .iter()
            .map(String::as_str)
            .chain(lines.iter().copied())
            .collect();
        self.wire
            .send("GET", &format!("/forward-auth/{gateway}"), &all, b"")
    }
}

/// The header lines by which a gateway states a request.
fn stated(gateway: &str, method: &str, host: &str, uri: &str) -> Vec<String> {
    let family = match gateway {
        "nginx" => "original",
        _ => "forwarded",
    };
    vec![
        format!("x-{family}-method: {method}"),
        format!("x-{family}-host: {host}"),
        format!("x-{family}-uri: {uri}"),
    ]
}

/// Every header that upstreams are told is there, and nothing of the client's in it.
#[track_caller]
fn came(id: &str, reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{id}: {reply:?}");
    for name in TOLD {
        let value = reply.header(name);
        assert!(status == 200 || value.is_empty(), "{id}: {name}: {value}");
    }
    assert!(!reply.header("doorward-decision-id").is_empty());
    if status != 200 {
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.json()["status"], status);
    }
}

#[test]
fn an_allow_tells_upstreams_who_was_let_in() {
    let site = site(&["check", "gateway"]);
    let claims = json!({ "scope": "pages:read other", "client_id": "shop" });
    let bearer = format!("authorization: Bearer {}", site.token("alice", claims));
    for gateway in GATEWAYS {
        let reply = site.ask(gateway, "GET", "/start?x=1", &[&bearer]);
        came("allow", &reply, 200);
        assert_eq!(reply.header("x-auth-subject"), "alice");
        assert_eq!(reply.header("x-auth-type"), "User");
        assert_eq!(reply.header("x-auth-issuer"), "corp");
        assert_eq!(reply.header("x-auth-client"), "shop");
        assert_eq!(reply.header("x-auth-scopes"), "pages:read other");
        assert_eq!(reply.header("x-auth-obligations"), "watermark=on");
        assert_eq!(
            reply.header("x-auth-decision-id"),
            reply.header("doorward-decision-id")
        );
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.body, "");
    }
}

#[test]
fn nobody_is_told_with_empty_headers() {
    let site = site(&["check", "gateway"]);
    // E14: a client's own identity headers are never read, and always overwritten.
    let spoofed = ["x-auth-subject: root", "x-auth-scopes: all"];
    for gateway in GATEWAYS {
        // What frameworks take for ours is not overwritten, so it is refused.
        let underscored = site.ask(gateway, "GET", "/public", &["X_Auth_Subject: root"]);
        came("E14", &underscored, 400);
        let reply = site.ask(gateway, "GET", "/public", &spoofed);
        came("E14", &reply, 200);
        for name in [
            "x-auth-subject",
            "x-auth-type",
            "x-auth-scopes",
            "x-auth-client",
        ] {
            assert_eq!(reply.header(name), "", "{name}");
        }
        came(
            "policy",
            &site.ask(gateway, "GET", "/private", &spoofed),
            403,
        );
    }
}

#[test]
fn one_credential_at_one_place() {
    let site = site(&["check", "gateway"]);
    let token = site.token("alice", json!({}));
    let (bearer, cookie) = (
        format!("authorization: Bearer {token}"),
        format!("cookie: a=1; __Host-token={token}; b=2"),
    );
    let ask = |lines: &[&str]| site.ask("caddy", "GET", "/start", lines);
    came("header", &ask(&[&bearer]), 200);
    came("cookie", &ask(&[&cookie]), 200);
    let lower = format!("authorization: bearer {token}");
    came("A02", &ask(&[&lower]), 200);
    for (id, lines) in [
        ("A03", vec![bearer.as_str(), &bearer]),
        ("A03", vec![&bearer, "authorization: Basic dTpw"]),
        ("A03", vec!["authorization: Bearer a,Bearer b"]),
        ("both", vec![&bearer, &cookie]),
        ("both", vec!["authorization: Basic dTpw", &cookie]),
        ("both", vec![&cookie, &cookie]),
    ] {
        let reply = ask(&lines);
        came(id, &reply, 400);
        assert!(
            reply.header("www-authenticate").contains("invalid_request"),
            "{id}"
        );
    }
    for (id, line, error) in [
        ("A01", "x: y", false),
        ("A02", "authorization: Bearer  a.b.c", true),
        ("A02", "authorization: Bearer\ta.b.c", true),
        ("A04", "authorization: Basic dTpw", false),
        ("A04", "authorization: DPoP a.b.c", false),
        ("A04", "authorization: Token a.b.c", false),
        ("A05", "authorization: Bearer a.b.c", true),
        ("cookie", "cookie: __Host-token=", true),
        ("cookie", "cookie: __Host-token=a.b.c", true),
        ("cookie", "cookie: token=a.b.c", false),
    ] {
        let reply = site.ask("caddy", "POST", "/start", &[line]);
        came(id, &reply, 401);
        let challenge = reply.header("www-authenticate");
        assert!(challenge.starts_with("Bearer"), "{id}: {challenge}");
        assert_eq!(challenge.contains("error="), error, "{id}: {challenge}");
        assert!(!reply.body.contains("a.b.c"));
    }
    // A bad token never becomes nobody, where nobody would be let in.
    came(
        "A05",
        &site.ask("caddy", "GET", "/public", &["authorization: Bearer a.b.c"]),
        401,
    );
    let long = format!("authorization: Bearer {}", ".".repeat(17 * 1024));
    came("A07", &ask(&[&long]), 401);
}

#[test]
fn a_deny_says_what_would_help() {
    let site = site(&["check", "gateway"]);
    let bearer = format!("authorization: Bearer {}", site.token("alice", json!({})));
    let reply = site.ask("nginx", "POST", "/start", &[&bearer]);
    came("scope", &reply, 403);
    let challenge = reply.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_scope\""),
        "{challenge}"
    );
    assert!(challenge.contains("scope=\"pages:write\""), "{challenge}");
    let claims = json!({ "scope": "pages:write" });
    let bearer = format!("authorization: Bearer {}", site.token("alice", claims));
    came(
        "scope",
        &site.ask("nginx", "POST", "/start", &[&bearer]),
        200,
    );
    let reply = site.ask("nginx", "POST", "/vault", &[&bearer]);
    came("D08", &reply, 401);
    let challenge = reply.header("www-authenticate");
    assert!(
        challenge.contains("insufficient_user_authentication"),
        "{challenge}"
    );
    assert!(
        challenge.contains("acr_values=\"urn:acr:mfa\", max_age=\"300\""),
        "{challenge}"
    );
    assert_eq!(reply.json()["detail"], "Needs a second factor.");
    assert!(
        !reply.body.contains("locked"),
        "no policy's id for end users"
    );
}

#[test]
fn an_identity_that_is_not_plain_text_travels_encoded() {
    let site = site(&["check", "gateway"]);
    let bearer = format!(
        "authorization: Bearer {}",
        site.token("zo\u{eb}\r\nx-admin: 1", json!({}))
    );
    let reply = site.ask("traefik", "GET", "/start", &[&bearer]);
    came("E16", &reply, 200);
    assert_eq!(reply.header("x-auth-subject"), "zo%C3%AB%0D%0Ax-admin: 1");
    assert!(!reply.headers.contains_key("x-admin"));
}

#[test]
fn only_gateways_are_answered() {
    let site = site(&["check", "gateway"]);
    let bearer = format!("authorization: Bearer {}", site.token("alice", json!({})));
    let own = stated("nginx", "GET", "site.example", "/start");
    let send = |lines: &[&str]| {
        let lines: Vec<_> = [bearer.as_str()]
            .into_iter()
            .chain(lines.iter().copied())
            .collect();
        site.send("nginx", &own, &lines)
    };
    let secret = format!("x-doorward-caller: {SECRET}");
    came("known", &send(&[&secret]), 200);
    came("E20", &send(&[]), 403);
    came("E20", &send(&["x-doorward-caller: wrong"]), 403);
    came("E20", &send(&["x-doorward-caller:"]), 403);
    came("E20", &send(&[&secret, &secret]), 403);
    // `Authorization` is the end user's: it never says who the gateway is.
    let as_user = format!("authorization: Bearer {SECRET}");
    came("E20", &site.send("nginx", &own, &[&as_user]), 403);

    for may in [&["check"][..], &["gateway"]] {
        let site = self::site(may);
        let bearer = format!("authorization: Bearer {}", site.token("alice", json!({})));
        came(
            "rights",
            &site.ask("nginx", "GET", "/start", &[&bearer]),
            403,
        );
    }
}

#[test]
fn a_bundle_is_named_in_the_path() {
    let site = site(&["check", "gateway"]);
    let mut all = stated("caddy", "GET", "site.example", "/start");
    all.push(format!("x-doorward-caller: {SECRET}"));
    all.push(format!(
        "authorization: Bearer {}",
        site.token("alice", json!({}))
    ));
    let lines: Vec<&str> = all.iter().map(String::as_str).collect();
    let send = |path: &str| site.wire.send("POST", path, &lines, b"");
    came("known", &send("/b/known/forward-auth/caddy"), 200);
    came("unknown", &send("/b/other/forward-auth/caddy"), 403);
    assert_eq!(send("/forward-auth/other").status, 404);
}

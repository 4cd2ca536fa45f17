//! AuthZEN over HTTP: bad inputs (each row by its id), limits, callers, metadata.

mod batch;
mod certification;

use serde_json::{Value as Json, json};

use self::certification::fixture;
use crate::{
    kit::{Issuer, Served, pdp},
    wire::{Reply, SECRET, Wire, caller},
};

const READ: &str = r#"{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},"resource":{"type":"record","id":"record-1"}}"#;

fn post(wire: &Wire, path: &str, body: impl AsRef<[u8]>) -> Reply {
    let authorization = format!("authorization: Bearer {SECRET}");
    let lines = [authorization.as_str(), "content-type: application/json"];
    wire.send("POST", path, &lines, body.as_ref())
}

fn evaluation(wire: &Wire, body: impl AsRef<[u8]>) -> Reply {
    post(wire, "/access/v1/evaluation", body)
}

fn evaluations(wire: &Wire, body: &Json) -> Reply {
    post(wire, "/access/v1/evaluations", body.to_string())
}

/// The question whether alice may read, with one part replaced.
fn with(pointer: &str, value: Json) -> String {
    let mut question: Json = serde_json::from_str(READ).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = question.pointer_mut(parent).unwrap();
    parent
        .as_object_mut()
        .unwrap()
        .insert(name.to_owned(), value);
    question.to_string()
}

fn without(pointer: &str) -> String {
    let mut question: Json = serde_json::from_str(READ).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = question.pointer_mut(parent).unwrap();
    parent.as_object_mut().unwrap().remove(name);
    question.to_string()
}

#[track_caller]
fn refused(id: &str, reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{id}: {reply:?}");
    assert_eq!(reply.header("content-type"), "application/problem+json");
    let problem = reply.json();
    assert_eq!(problem["status"], status, "{id}");
    assert_eq!(problem["decision_id"], reply.header("doorward-decision-id"));
    assert!(!reply.body.contains(SECRET), "{id}: {reply:?}");
}

#[track_caller]
fn decided(id: &str, reply: &Reply, allowed: bool) -> Json {
    assert_eq!(reply.status, 200, "{id}: {reply:?}");
    let answer = reply.json();
    assert_eq!(answer["decision"], allowed, "{id}: {answer}");
    answer["context"].clone()
}

#[test]
fn a_question_that_is_not_one_is_400() {
    let wire = fixture(&["check", "vouch"]);
    for part in ["/subject", "/action", "/resource"] {
        let wrong = [json!(null), json!("alice"), json!([]), json!({}), json!(1)];
        for wrong in wrong {
            refused("G01", &evaluation(&wire, with(part, wrong)), 400);
        }
        refused("G01", &evaluation(&wire, without(part)), 400);
    }
    let members = [
        "/subject/type",
        "/subject/id",
        "/action/name",
        "/resource/type",
        "/resource/id",
    ];
    for member in members {
        for wrong in [json!(null), json!(1), json!([]), json!({}), json!("")] {
            refused("G01", &evaluation(&wire, with(member, wrong)), 400);
        }
        refused("G01", &evaluation(&wire, without(member)), 400);
    }
    for part in ["/context", "/subject/properties", "/action/properties"] {
        for wrong in [json!("x"), json!([]), json!(1)] {
            refused("G01", &evaluation(&wire, with(part, wrong)), 400);
        }
        decided("G01", &evaluation(&wire, with(part, json!(null))), true);
    }
    let utf_8_mark = format!("\u{feff}{READ}");
    let two = format!("{READ}{READ}");
    let trailing = READ.replace("}}", "},}");
    for body in ["", "{", "[]", "\"x\"", "null", &two, &trailing, &utf_8_mark] {
        refused("G02", &evaluation(&wire, body), 400);
    }
    let twice = READ.replace("\"id\":\"alice\"", "\"id\":\"bob\",\"id\":\"alice\"");
    refused("G04", &evaluation(&wire, twice), 400);
    let deep = with("/context", json!({ "a": [[{ "b": 1 }]] }));
    let deep = deep.replace("\"b\":1", "\"b\":1,\"b\":2");
    refused("G04", &evaluation(&wire, deep), 400);
    for id in [r"\ud800", r"a\u0000b"] {
        refused("G05", &evaluation(&wire, READ.replace("alice", id)), 400);
    }
    refused("G05", &evaluation(&wire, b"{\"subject\":\"\xff\"}"), 400);
    let nested = |levels: usize| {
        let value = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        READ.replacen('{', &format!("{{\"context\":{{\"a\":{value}}},"), 1)
    };
    decided("G06", &evaluation(&wire, nested(62)), true);
    for levels in [63, 128, 20_000] {
        refused("G06", &evaluation(&wire, nested(levels)), 400);
    }
}

#[test]
fn only_json_in_utf_8_is_read() {
    let wire = fixture(&["check", "vouch"]);
    let of_type = |line: &str| {
        let authorization = format!("authorization: Bearer {SECRET}");
        let lines: Vec<&str> = [authorization.as_str()]
            .into_iter()
            .chain(line.lines())
            .collect();
        wire.send("POST", "/access/v1/evaluation", &lines, READ.as_bytes())
    };
    for good in [
        "content-type: application/json",
        "content-type: Application/JSON;charset=UTF-8",
        "content-type: application/json; charset=\"utf-8\"; v=1",
    ] {
        decided("G03", &of_type(good), true);
    }
    for bad in [
        "",
        "content-type: text/plain",
        "content-type: application/json5",
        "content-type: application/json; charset=utf-16",
        "content-type: application/json\ncontent-type: application/json",
        "content-type: application/json\ncontent-encoding: gzip",
    ] {
        refused("G03", &of_type(bad), 400);
    }
}

#[test]
fn properties_have_the_type_that_the_schema_declares() {
    let wire = fixture(&["check", "vouch"]);
    for (member, value) in [
        ("/subject/properties", json!({ "role": null, "other": 1.5 })),
        (
            "/resource/properties",
            json!({ "big": 1u64 << 63, "mixed": [1, "x", null] }),
        ),
        ("/context", json!({ "any": { "thing": [1.5] } })),
        ("/action/properties", json!({ "method": "GET" })),
    ] {
        decided("G07", &evaluation(&wire, with(member, value)), true);
    }
    for (member, value) in [
        ("/subject/properties", json!({ "role": 1.5 })),
        ("/subject/properties", json!({ "role": ["admin"] })),
        ("/resource/properties", json!({ "status": 1u64 << 63 })),
    ] {
        refused("G07", &evaluation(&wire, with(member, value)), 400);
    }
    for member in [
        "/subject/properties",
        "/resource/properties",
        "/action/properties",
    ] {
        for key in ["__entity", "__extn", "__expr"] {
            let escaped = json!({ key: { "type": "user", "id": "root" } });
            let reply = evaluation(&wire, with(member, escaped));
            // An action without properties of its own has nothing in which a key could count.
            match member {
                "/action/properties" => assert!(matches!(reply.status, 200 | 400)),
                _ => refused("G08", &reply, 400),
            }
        }
    }
    let role = json!({ "role": { "__entity": { "type": "user", "id": "root" } } });
    refused(
        "G08",
        &evaluation(&wire, with("/subject/properties", role)),
        400,
    );
}

#[test]
fn what_the_schema_does_not_know_is_false_with_an_error() {
    let wire = fixture(&["check", "vouch"]);
    for (member, value) in [
        ("/action/name", "fly"),
        ("/resource/type", "planet"),
        ("/subject/type", "robot"),
        ("/subject/type", "record"),
        ("/resource/type", "user"),
    ] {
        let context = decided("G09", &evaluation(&wire, with(member, json!(value))), false);
        assert_eq!(context["error"]["status"], 404, "{context}");
        assert!(context["error"]["message"].is_string(), "{context}");
    }
    for standard in ["now", "token", "http", "action", "caller"] {
        let context = json!({ standard: "x" });
        refused(
            "standard context",
            &evaluation(&wire, with("/context", context)),
            400,
        );
    }
}

#[test]
fn the_id_of_a_request_comes_back_or_is_refused() {
    let wire = fixture(&["check", "vouch"]);
    let ask = |line: &str, body: &str| {
        let authorization = format!("authorization: Bearer {SECRET}");
        let mut lines = vec![authorization.as_str(), "content-type: application/json"];
        lines.extend(line.lines());
        wire.send("POST", "/access/v1/evaluation", &lines, body.as_bytes())
    };
    let longest = "x".repeat(128);
    let reply = ask(&format!("x-request-id: {longest}"), READ);
    assert_eq!(
        (reply.status, reply.header("x-request-id")),
        (200, longest.as_str())
    );
    let reply = ask("X-Request-ID: r-1", "{");
    assert_eq!((reply.status, reply.header("x-request-id")), (400, "r-1"));
    assert!(!ask("", READ).headers.contains_key("x-request-id"));
    for line in [
        format!("x-request-id: {longest}x"),
        "x-request-id: caf\u{e9}".to_owned(),
        "x-request-id: a b".to_owned(),
        "x-request-id: a\nx-request-id: a".to_owned(),
    ] {
        let reply = ask(&line, READ);
        refused("G15", &reply, 400);
        assert!(!reply.headers.contains_key("x-request-id"), "{reply:?}");
    }
}

#[test]
fn metadata_comes_from_the_configuration() {
    let wire = fixture(&["check"]);
    let get = |path: &str| wire.send("GET", path, &["x-forwarded-host: evil.example"], b"");
    let expected = |base: &str| {
        json!({
            "policy_decision_point": base,
            "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
            "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
        })
    };
    let found = get("/.well-known/authzen-configuration");
    assert_eq!(found.header("content-type"), "application/json");
    assert_eq!(found.json(), expected("https://pdp.example"), "G16");
    for path in [
        "/.well-known/authzen-configuration/b/known",
        "/b/known/.well-known/authzen-configuration",
    ] {
        assert_eq!(get(path).json(), expected("https://pdp.example/b/known"));
    }
    assert_eq!(
        get("/b/other/.well-known/authzen-configuration").status,
        404
    );
}

#[test]
fn ids_are_opaque_and_values_are_not_confused() {
    let files = [
        (
            "schema.cedarschema",
            "entity user; entity record; entity tag; action read appliesTo { principal: [user], resource: [record], context: { tags?: Set<String>, level?: Long } };",
        ),
        (
            "all.cedar",
            r#"
@id("two") permit (principal, action, resource) when { context has tags && context.tags == ["a", "b"] };
@id("level") permit (principal, action, resource) when { context has level && context.level == 1 };
@id("odd") permit (principal, action, resource == record::"a\"b\\c::d\ne✓");
@id("long") permit (principal, action, resource) when { resource == record::"LONG" };
"#,
        ),
        (
            "bundle.toml",
            "[[principal]]\ntype = \"user\"\nid = \"{sub}\"",
        ),
    ];
    let long = "x".repeat(64 * 1024);
    let policies = files[1].1.replace("LONG", &long[..1000]);
    let files = [files[0], ("all.cedar", policies.as_str()), files[2]];
    let bundle = Served::new("known", &files);
    let callers = [caller(&["check", "vouch"])];
    let wire = Wire::serve(
        pdp(&[bundle], &[&Issuer::new("corp")], &callers).unwrap(),
        None,
        None,
    );
    for (context, allowed) in [
        (json!({ "tags": ["a", "b"] }), true),
        (json!({ "tags": ["a,b"] }), false),
        (json!({ "level": 1 }), true),
        (json!({ "tags": ["a", "b"] }), true),
    ] {
        decided(
            "G20",
            &evaluation(&wire, with("/context", context)),
            allowed,
        );
    }
    refused(
        "G20",
        &evaluation(&wire, with("/context", json!({ "tags": "a,b" }))),
        400,
    );
    refused(
        "G20",
        &evaluation(&wire, with("/context", json!({ "level": "1" }))),
        400,
    );
    let odd = "a\"b\\c::d\ne✓";
    for (id, allowed) in [
        (odd, true),
        ("a\"b\\c::d\ne", false),
        ("A\"b\\c::d\ne✓", false),
        (&long[..1000], true),
        (&long[..999], false),
        (&long, false),
    ] {
        decided(
            "G19",
            &evaluation(&wire, with("/resource/id", json!(id))),
            allowed,
        );
    }
    refused(
        "G05",
        &evaluation(&wire, with("/resource/id", json!("x".repeat(1 << 20)))),
        413,
    );
}

#[test]
fn callers_need_a_credential_and_the_right_to_vouch() {
    let wire = fixture(&["check", "vouch"]);
    let ask = |path: &str, line: &str| {
        let mut lines = vec!["content-type: application/json"];
        lines.extend(line.lines());
        wire.send("POST", path, &lines, READ.as_bytes())
    };
    for path in ["/access/v1/evaluation", "/access/v1/evaluations"] {
        let missing = ask(path, "");
        refused("no credential", &missing, 401);
        assert_eq!(
            missing.header("www-authenticate"),
            "Bearer realm=\"doorward\""
        );
        for wrong in [
            "Bearer wrong",
            "Basic czNjcmV0",
            "Bearer s3cret,Bearer s3cret",
        ] {
            let wrong = ask(path, &format!("authorization: {wrong}"));
            refused("unknown credential", &wrong, 401);
            assert!(wrong.header("www-authenticate").contains("invalid_token"));
        }
    }
    let batch = json!({ "evaluations": [serde_json::from_str::<Json>(READ).unwrap(), {}] });
    let wrong = wire.send(
        "POST",
        "/access/v1/evaluations",
        &[
            "content-type: application/json",
            "authorization: Bearer wrong",
        ],
        json!({ "evaluations": [batch["evaluations"][0], batch["evaluations"][0]] })
            .to_string()
            .as_bytes(),
    );
    refused("unknown credential", &wrong, 401);

    let only_check = fixture(&["check"]);
    refused("no right", &evaluation(&only_check, READ), 403);
    let known = post(&wire, "/b/known/access/v1/evaluation", READ);
    decided("by name", &known, true);
    refused(
        "by name",
        &post(&wire, "/b/other/access/v1/evaluation", READ),
        404,
    );
}

#[test]
fn reasons_for_users_go_to_all_and_for_administrators_to_those_who_may_explain() {
    let delete = r#"{"subject":{"type":"user","id":"alice"},"action":{"name":"delete","properties":{"soft":true}},"resource":{"type":"record","id":"record-1"}}"#;
    let context = decided("", &evaluation(&fixture(&["check", "vouch"]), delete), true);
    assert_eq!(
        context["reason_user"]["200"],
        "Soft deletion can be undone."
    );
    assert_eq!(context["reasons"][0]["policy_id"], "alice-deletes-softly");
    assert!(context["reasons"][0].get("place").is_none(), "{context}");
    assert!(context.get("reason_admin").is_none(), "{context}");
    assert_eq!(context["bundle"], "known");
    assert_eq!(context["bundle_digest"].as_str().unwrap().len(), 64);

    let wire = fixture(&["check", "vouch", "explain"]);
    let context = decided("", &evaluation(&wire, delete), true);
    let admin = context["reason_admin"]["200"].as_str().unwrap();
    assert!(admin.contains("records.cedar:"), "{admin}");
    let write = READ.replace("read", "write").replace("alice", "eve");
    let context = decided("", &evaluation(&wire, write), false);
    assert_eq!(context["reason_user"]["403"], "you may not do this");
    assert_eq!(context["cause"], "nothing_permits");
}

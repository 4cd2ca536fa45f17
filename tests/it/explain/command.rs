//! `doorward explain` as people and scripts run it.

use std::{fs, path::Path, process::Command};

use serde_json::Value as Json;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn explain(dir: &Path, words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .arg("explain")
        .args(words)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[track_caller]
fn check(words: &[&str], code: i32, says: &[&str]) -> String {
    let (found, text) = explain(Path::new(ROOT), words);
    assert_eq!(found, code, "{text}");
    for part in says {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    text
}

const ORDER: [&str; 6] = [
    "--action",
    "ReadOrder",
    "--resource",
    "Order::\"o-1\"",
    "--attr",
    "tenant=\"acme\"",
];

fn about<'a>(who: &[&'a str]) -> Vec<&'a str> {
    [who, &ORDER].concat()
}

#[test]
fn a_question_is_explained_from_a_directory() {
    let tenant = ["--claim", "tenant=\"acme\"", "--scope", "orders:read"];
    let dave = [&["--sub", "dave"][..], &tenant].concat();
    check(
        &about(&dave),
        2,
        &[
            "DENY  no policy permits it",
            "nearest permit `clerks-read`  orders.cedar:",
            "false: `principal` is User::\"dave\", in no Role",
            "it would be allowed if `principal` was in `Role::\"clerk\"`",
            "or if `resource.owner` was `User::\"dave\"`",
        ],
    );
    let clerk = [&dave[..], &["--claim", "roles=[\"clerk\"]"]].concat();
    let allowed = "`principal` is User::\"dave\", in Role::\"clerk\"";
    check(
        &about(&clerk),
        0,
        &["ALLOW", "permit `clerks-read`", allowed],
    );
    let http = ["--method", "GET", "--path", "/tenants/acme/orders/o-1"];
    check(&[&clerk[..], &http].concat(), 0, &["ALLOW"]);
    // What the URL says is what was asked, and no fact.
    let other = ["--method", "GET", "--path", "/tenants/globex/orders/o-1"];
    let text = check(&[&clerk[..], &other].concat(), 2, &["`tenant-isolation`"]);
    assert!(!text.contains("`resource.tenant` was"), "{text}");
    check(&about(&["--anonymous"]), 2, &["does not let a `Guest` do"]);
}

#[test]
fn a_case_is_explained_by_its_name() {
    check(&["policies", "--case", "but no other"], 2, &["DENY"]);
    check(&["policies", "--case", "and over HTTP"], 0, &["ALLOW"]);
    check(
        &["--case", "nothing like it"],
        64,
        &["no case of `policies`"],
    );
    check(&["--case", "reads"], 64, &["several cases"]);
}

#[test]
fn bad_usage_is_64_and_a_bad_bundle_3() {
    check(&ORDER, 64, &["whom is it about?"]);
    check(&["--sub", "alice"], 64, &["what is asked?"]);
    check(&about(&["--sub", "a", "--anonymous"]), 64, &[]);
    check(
        &about(&["--sub", "a", "--claim", "x=y"]),
        64,
        &["--claim x"],
    );
    check(
        &about(&["policies", "--sub", "a", "--addr", "http://h"]),
        64,
        &[],
    );
    check(&about(&["--sub", "a", "nowhere"]), 64, &["nowhere"]);
    check(&about(&["--sub", "alice"]), 1, &["REFUSED", "tenant"]);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("schema.cedarschema"), "entity;").unwrap();
    let (code, text) = explain(dir.path(), &about(&[".", "--sub", "a"]));
    assert_eq!(code, 3, "{text}");
}

#[test]
fn json_is_for_programs() {
    let text = check(&["--json", "--case", "but no other"], 2, &[]);
    let found: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(found["outcome"], "deny");
    assert_eq!(found["cause"], "nothing_permits");
    assert_eq!(found["nearest"][0]["policy_id"], "clerks-read");
    let failed = &found["nearest"][0]["requirements"][0];
    assert_eq!(failed["result"], "failed");
    assert_eq!(failed["text"], "principal in Role::\"clerk\"");
    let fact = &found["flips"][0]["facts"][0];
    assert_eq!(
        (&fact["change"], &fact["value"]),
        (&"in".into(), &"Role::\"clerk\"".into())
    );
    assert_eq!(
        found["flips"][0]["permits"],
        serde_json::json!(["clerks-read"])
    );
}

/// K05.
#[test]
fn what_others_wrote_cannot_steer_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write(
        "schema.cedarschema",
        "entity User; entity Doc = { a: String }; action go appliesTo { principal: User, resource: Doc };",
    );
    write(
        "bundle.toml",
        "[[principal]]\ntype = \"User\"\nid = \"{sub}\"",
    );
    write(
        "go.cedar",
        "@id(\"x\u{1b}[2J\") @reason(\"\u{1b}]0;\u{7}\")\npermit (principal, action, resource) when { resource.a == \"\u{1b}[31m\" };",
    );
    let sub = [
        "--sub",
        "a\u{1b}[1m",
        "--action",
        "go",
        "--resource",
        "Doc::\"d\"",
    ];
    let attr = ["--attr", "a=\"\\u001b[5m\""];
    let (code, text) = explain(dir.path(), &[&["."][..], &sub, &attr].concat());
    assert_eq!(code, 2, "{text}");
    let steers = |char: char| char.is_control() && char != '\n';
    assert!(!text.contains(steers), "{text:?}");
    assert!(text.contains("\\u{1b}[2J"), "{text}");
}

#[test]
fn the_readme_shows_what_is_printed() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let words = [
        "policies",
        "--case",
        "a manager with a password alone must log in again",
    ];
    let (_, text) = explain(Path::new(ROOT), &words);
    let told = text.split("\n  bundle").next().unwrap();
    assert!(readme.contains(told), "README.md does not show:\n{text}");
}

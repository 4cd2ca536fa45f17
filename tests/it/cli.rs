//! The program as people and scripts run it.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::program::{Program, SERVE, doorward};

const DOORWARD: &str = env!("CARGO_BIN_EXE_doorward");

#[track_caller]
fn check(output: &Output, code: i32, says: &str) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(says), "no `{says}` in: {text}");
}

#[track_caller]
fn run(dir: &Path, words: &[&str], code: i32, says: &str) {
    check(&doorward(dir).args(words).output().unwrap(), code, says);
}

fn serve(dir: &Path) -> Program {
    Program::run(doorward(dir).args(SERVE))
}

#[test]
fn the_welcome_of_a_development_server_can_be_pasted() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    let path = format!(
        "{}:{}",
        Path::new(DOORWARD).parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let welcome = server.log();
    let commands = welcome
        .lines()
        .filter(|line| line.trim().starts_with("doorward token"));
    let expected = [
        (0, "ALLOW"),
        (2, "orders:write"),
        (1, "REFUSED  invalid_token"),
    ];
    let mut pasted = 0;
    for (command, (code, says)) in commands.zip(expected) {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .current_dir(dir.path())
            .env("PATH", &path);
        check(&shell.output().unwrap(), code, says);
        pasted += 1;
    }
    assert_eq!(pasted, 3);

    assert_eq!(server.stop(), 0);
    let log = doorward::audit::lines(&dir.path().join("data/audit")).unwrap();
    assert_eq!(log.matches("\"decision_id\"").count(), 3, "{log}");
}

#[test]
fn questions_end_with_the_code_of_their_answer() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    let ask = |words: &[&str], code, says| {
        let addr = format!("http://{}", server.grpc);
        let words = [&["check", "--addr", &addr], words].concat();
        run(dir.path(), &words, code, says);
    };
    let page = [
        "--anonymous",
        "--method",
        "GET",
        "--path",
        "/pages/pricing",
        "--json",
    ];
    ask(&page, 0, "\"outcome\":\"allow\"");
    ask(
        &["--anonymous", "--method", "GET", "--path", "/nowhere"],
        1,
        "no_route",
    );
    ask(
        &["--anonymous", "--method", "GET", "--path", "/a/../b"],
        1,
        "http.path",
    );
    ask(
        &[
            "--token",
            "",
            "--action",
            "ReadOrder",
            "--resource",
            "Order::\"1\"",
        ],
        1,
        "REFUSED",
    );
    let vouched = [
        "--subject",
        "User::\"alice\"",
        "--subject-attr",
        "tenant=\"acme\"",
        "--action",
        "ReadOrder",
        "--resource",
        "Order::\"1\"",
        "--attr",
        "tenant=\"acme\"",
    ];
    ask(&vouched, 2, "DENY");
    ask(
        &["--token", "@absent", "--method", "GET", "--path", "/a"],
        1,
        "absent",
    );
}

#[test]
fn a_token_comes_from_standard_input_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    let minted = doorward(dir.path())
        .args(["token", "--sub", "alice", "--scope", "orders:read"])
        .args(["--claim", "tenant=\"acme\"", "--claim", "roles=[\"clerk\"]"])
        .output()
        .unwrap();
    check(&minted, 0, ".");
    let mut asking = doorward(dir.path())
        .args(["check", "--addr", &format!("http://{}", server.grpc)])
        .args(["--token", "-"])
        .args(["--method", "GET", "--path", "/tenants/acme/orders/o-1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    asking
        .stdin
        .take()
        .unwrap()
        .write_all(&minted.stdout)
        .unwrap();
    check(&asking.wait_with_output().unwrap(), 0, "clerks-read");
}

#[test]
fn bundles_are_judged_by_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let example = example.to_str().unwrap();
    run(dir.path(), &["validate", example], 0, "valid");
    run(dir.path(), &["test", example], 0, "ok");
    run(
        dir.path(),
        &["test", example, "--filter", "no such case"],
        64,
        "no such case",
    );
    run(dir.path(), &["validate"], 64, "`policies`");

    fs::create_dir_all(dir.path().join("policies/tests")).unwrap();
    let write = |name: &str, text: &str| {
        fs::write(dir.path().join("policies").join(name), text).unwrap();
    };
    write(
        "schema.cedarschema",
        "entity User; action Go appliesTo { principal: User, resource: User, context: {} };",
    );
    write(
        "bundle.toml",
        "name = \"t\"\n[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n",
    );
    write("go.cedar", "permit (principal, action, resource);");
    write(
        "tests/go.yaml",
        "now: 2030-01-01T09:00:00Z\nsubjects:\n  a: { issuer: corp, claims: { sub: a } }\ncases:\n  - name: nobody goes\n    subject: a\n    action: Go\n    resource: 'User::\"b\"'\n    expect: { decision: deny }\n",
    );
    run(dir.path(), &["validate"], 0, "1 cases");
    run(dir.path(), &["test"], 4, "nobody goes");
    write(
        "go.cedar",
        "permit (principal, action, resource) when { principal.x };",
    );
    run(dir.path(), &["validate"], 3, "go.cedar:1:");
    run(dir.path(), &["validate", "--json"], 3, "\"valid\":false");
    run(dir.path(), &["test"], 3, "go.cedar:1:");
}

#[test]
fn bad_usage_and_configuration_end_with_64() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &[], 64, "Usage");
    run(dir.path(), &["check"], 64, "--token");
    run(dir.path(), &["serve"], 64, "[[issuer]]");
    fs::write(dir.path().join("doorward.toml"), "colour = 1\n").unwrap();
    run(dir.path(), &["serve"], 64, "doorward.toml:1:1: ");
    run(
        dir.path(),
        &["serve", "--dev", "--grpc", "0.0.0.0:9191"],
        64,
        "this machine only",
    );
    run(dir.path(), &["schema", "prelude"], 0, "namespace Doorward");
    run(dir.path(), &["--help"], 0, "doorward serve --dev");
    let addr = ["--addr", "http://127.0.0.1:1"];
    let unreachable = [
        &["check", "--anonymous", "--method", "GET", "--path", "/"][..],
        &addr,
    ]
    .concat();
    run(dir.path(), &unreachable, 1, "doorward serve --dev");
}

#[test]
fn a_token_is_inspected_check_by_check_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let minted = doorward(dir.path())
        .args(["token", "--sub", "alice"])
        .output()
        .unwrap();
    let token = String::from_utf8(minted.stdout).unwrap();
    let token = token.trim();
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    for (token, code, says) in [
        (token, 0, "accepted"),
        (&forged, 1, "signature_invalid"),
        ("a.b", 1, "token_malformed"),
    ] {
        let output = doorward(dir.path())
            .args(["token", "inspect", token])
            .output()
            .unwrap();
        check(&output, code, says);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            !token
                .split('.')
                .any(|part| part.len() > 4 && shown.contains(part)),
            "{shown}"
        );
    }
    run(
        dir.path(),
        &["token", "inspect", "--audience", "else", token],
        1,
        "aud_mismatch",
    );
}

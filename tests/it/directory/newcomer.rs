//! The first minutes with the directory, by the commands of the README.

use std::{fs, path::Path, process::Output};

use doorward::{client::Operator, proto::v1::ListEntitiesRequest};

use crate::program::{Program, SERVE, doorward};

struct Shell {
    dir: tempfile::TempDir,
    server: Program,
}

impl Shell {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = serve(dir.path());
        Self { dir, server }
    }

    fn words(&self, words: &[&str]) -> Output {
        doorward(self.dir.path()).args(words).output().unwrap()
    }

    fn check(&self, token: &str, code: i32, says: &str) {
        let grpc = format!("http://{}", self.server.grpc);
        let attr = "tenant=\"acme\"";
        let words = [
            "check",
            "--token",
            token,
            "--action",
            "ReadOrder",
            "--resource",
            "Order::\"o-1\"",
            "--attr",
            attr,
            "--addr",
            &grpc,
        ];
        told(&self.words(&words), code, says);
    }

    fn operate(&self, words: &[&str], code: i32, says: &str) -> String {
        let admin = format!("http://{}", self.server.admin);
        let words = [words, &["--addr", &admin]].concat();
        told(&self.words(&words), code, says)
    }

    fn token(&self) -> String {
        let words = [
            "token",
            "--sub",
            "zoe",
            "--scope",
            "orders:read",
            "--claim",
            "tenant=\"acme\"",
        ];
        let printed = self.words(&words).stdout;
        String::from_utf8(printed).unwrap().trim().to_owned()
    }
}

fn serve(dir: &Path) -> Program {
    Program::run(doorward(dir).args(SERVE))
}

#[track_caller]
fn told(output: &Output, code: i32, says: &str) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(says), "no `{says}` in: {text}");
    text
}

#[test]
fn one_command_makes_a_deny_an_allow_and_another_one_a_deny() {
    let shell = Shell::new();
    let token = shell.token();
    let (zoe, night) = ("User::\"zoe\"", "Rota::\"night\"");
    shell.check(&token, 2, "DENY");
    shell.operate(&["directory", "add-parent", zoe, night], 0, "revision");
    shell.check(&token, 0, "night-shift-reads");
    shell.operate(&["directory", "list", "--in", night], 0, zoe);
    shell.operate(&["directory", "remove-parent", zoe, night], 0, "revision");
    shell.check(&token, 2, "DENY");
    shell.operate(&["directory", "get", zoe], 0, "\"parents\": []");
    shell.operate(&["directory", "delete", zoe], 0, "removed");
    shell.operate(&["directory", "get", zoe], 1, "is not stored");
    shell.operate(
        &["directory", "put", "Rota::\"night\""],
        64,
        "no fact about a `Rota`",
    );
    shell.operate(
        &["directory", "put", zoe, "--attr", "email=\"z@x\""],
        64,
        "is a fact of the token",
    );
}

#[test]
fn a_revoked_token_is_refused_and_a_later_one_is_not() {
    let shell = Shell::new();
    let token = shell.token();
    shell.check(&token, 2, "DENY");
    shell.operate(&["revoke", "--subject", "zoe"], 0, "kept until");
    shell.check(&token, 1, "REFUSED");
    shell.operate(
        &["revoke", "--issuer", "nobody", "--jti", "x"],
        64,
        "no trusted issuer",
    );
    shell.operate(
        &[
            "revoke",
            "--subject",
            "zoe",
            "--issued-before",
            "2999-01-01T00:00:00Z",
        ],
        64,
        "has come",
    );
}

#[test]
fn what_is_exported_can_be_imported_and_a_faulty_line_is_named() {
    let shell = Shell::new();
    let lines: String = (0..1_500)
        .map(|n| {
            format!("{{\"uid\":\"User::\\\"u{n:04}\\\"\",\"parents\":[\"Rota::\\\"night\\\"\"]}}\n")
        })
        .collect();
    let file = shell.dir.path().join("in.jsonl");
    fs::write(&file, &lines).unwrap();
    shell.operate(
        &["directory", "import", "in.jsonl"],
        0,
        "imported 1500 entities",
    );
    let admin = format!("http://{}", shell.server.admin);
    let exported = shell.words(&["directory", "export", "--addr", &admin]);
    let text = String::from_utf8(exported.stdout).unwrap();
    assert_eq!(text.lines().count(), 1_500);
    fs::write(&file, &text).unwrap();
    shell.operate(
        &["directory", "import", "in.jsonl"],
        0,
        "imported 1500 entities",
    );
    // I06
    let bad = text.replacen("\"parents\"", "\"parent\"", 1_300).replacen(
        "\"parent\"",
        "\"parents\"",
        1_200,
    );
    fs::write(&file, bad).unwrap();
    let why = shell.operate(
        &["directory", "import", "in.jsonl"],
        64,
        "unknown member `parent`",
    );
    assert!(
        why.contains("line 1201") && why.contains("--skip 1000"),
        "{why}"
    );
}

#[test]
fn a_backup_of_a_running_server_comes_back_as_a_new_epoch() {
    let shell = Shell::new();
    let token = shell.token();
    let (zoe, night) = ("User::\"zoe\"", "Rota::\"night\"");
    shell.operate(&["directory", "add-parent", zoe, night], 0, "revision");
    told(&shell.words(&["backup", "copy"]), 0, "1 records");
    let lost = shell.operate(&["directory", "remove-parent", zoe, night], 0, "revision");
    let lost = lost.split_once("revision ").unwrap().1.trim().to_owned();
    told(
        &shell.words(&["restore", "copy"]),
        1,
        "has a ledger already",
    );
    shell.server.signal("-TERM");
    let Shell { dir, mut server } = shell;
    let ended = tokio::runtime::Runtime::new().unwrap();
    ended
        .block_on(server.ended(std::time::Duration::from_secs(20)))
        .unwrap();
    fs::rename(dir.path().join("data"), dir.path().join("old")).unwrap();
    let shell = Shell { server, dir };
    told(&shell.words(&["restore", "copy"]), 0, "must log in again");
    // The token's signature is good still; it is the restore that takes it back.
    let key = |data: &str| fs::read(shell.dir.path().join(data).join("dev-issuer.pk8")).unwrap();
    assert_eq!(key("old"), key("data"));
    let server = serve(shell.dir.path());
    let shell = Shell { server, ..shell };
    shell.check(&token, 1, "REFUSED");
    let entity = shell.operate(&["directory", "get", zoe], 0, "Rota");
    assert!(entity.contains("night"), "{entity}");
    let url = format!("http://{}", shell.server.admin);
    let listed = ended.block_on(async {
        let request = ListEntitiesRequest {
            at_least_revision: lost,
            ..ListEntitiesRequest::default()
        };
        Operator::connect(&url).await.unwrap().list(request).await
    });
    let why = listed.unwrap_err().to_string();
    assert!(why.contains("at_least_revision"), "{why}");
}

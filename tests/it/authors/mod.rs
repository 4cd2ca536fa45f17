//! The tools of policy authors as they are run.

mod bad_input;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

const DOORWARD: &str = env!("CARGO_BIN_EXE_doorward");

/// A bundle that `doorward new` started, with these files in place of its own.
fn bundle(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let started = run(dir.path(), &["new", "policies"]);
    assert_eq!(started.status.code(), Some(0), "{started:?}");
    for (path, text) in files {
        let at = dir.path().join("policies").join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, text).unwrap();
    }
    dir
}

fn run(dir: &Path, words: &[&str]) -> Output {
    Command::new(DOORWARD)
        .args(words)
        .current_dir(dir)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(all).unwrap()
}

#[track_caller]
fn check(row: &str, dir: &TempDir, words: &[&str], code: i32, says: &str) -> String {
    let output = run(dir.path(), words);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(code), "{row} {words:?}: {told}");
    assert!(
        told.contains(says),
        "{row} {words:?}: no `{says}` in {told}"
    );
    told
}

/// A file of cases over the bundle that `doorward new` starts.
fn cases(rest: &str) -> String {
    format!("include: [fixtures.yaml]\n{rest}")
}

const READS: &str = "cases:\n  - { name: reads, subject: mia, action: ReadInvoice, resource: small, expect: { decision: allow } }\n";

#[test]
fn a_bundle_is_started_where_nothing_is() {
    let dir = bundle(&[]);
    check("new", &dir, &["new", "policies"], 64, "is there already");
    check("new", &dir, &["new", "a/b c"], 0, "doorward test 'a/b c'");
    for words in [
        &["validate", "a/b c"][..],
        &["fmt", "--check", "a/b c"],
        &["lint", "--deny", "warnings", "a/b c"],
        &[
            "test",
            "--coverage",
            "--min-coverage",
            "100",
            "--mutate",
            "a/b c",
        ],
    ] {
        check("new", &dir, words, 0, "");
    }
    let bundle = fs::read_to_string(dir.path().join("a/b c/bundle.toml")).unwrap();
    assert!(bundle.contains("name = \"b-c\""), "{bundle}");
}

#[test]
fn faults_are_told_with_their_lines_and_as_json_and_sarif() {
    let typo = "permit (principal in Role::\"member\", action == Action::\"ReadInvoice\", resource)\nwhen { resource.tennant == principal.tenant };\n";
    let dir = bundle(&[("k.cedar", typo)]);
    let told = check("a typo", &dir, &["validate"], 3, "--> policies/k.cedar:2:8");
    assert!(
        told.contains("2 | when { resource.tennant == principal.tenant };"),
        "{told}"
    );
    assert!(told.contains("^^^^^^^^^^^^^^^^"), "{told}");
    assert!(told.contains("did you mean `tenant`?"), "{told}");
    let json: serde_json::Value =
        serde_json::from_str(&check("json", &dir, &["validate", "--json"], 3, "")).unwrap();
    assert_eq!(json["faults"][0]["place"]["line"], 2);
    assert_eq!(json["faults"][0]["length"], 16);
    let sarif: serde_json::Value =
        serde_json::from_str(&check("sarif", &dir, &["validate", "--sarif"], 3, "")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "policies/k.cedar");
    assert_eq!(place["region"]["endColumn"], 24);
    check(
        "both",
        &dir,
        &["validate", "--sarif", "--json"],
        64,
        "--json",
    );
}

#[test]
fn lints_warn_or_deny() {
    let list = "@id(\"k\")\npermit (principal, action == Action::\"ReadInvoice\", resource)\nwhen { principal in [User::\"a\", User::\"b\"] };\n";
    let dir = bundle(&[("k.cedar", list)]);
    check("warns", &dir, &["lint"], 0, "warning[entity_list]");
    check(
        "denies all",
        &dir,
        &["lint", "--deny", "warnings"],
        1,
        "error[entity_list]",
    );
    check(
        "denies one",
        &dir,
        &["lint", "--deny", "entity_list"],
        1,
        "error[entity_list]",
    );
    check(
        "denies another",
        &dir,
        &["lint", "--deny", "permits_all"],
        0,
        "warning[entity_list]",
    );
    check(
        "a slip",
        &dir,
        &["lint", "--deny", "entity_lists"],
        64,
        "did you mean `entity_list`?",
    );
    check(
        "a page",
        &dir,
        &["lint", "--explain", "entity_list"],
        0,
        "# entity_list",
    );
    check("all pages", &dir, &["lint", "--list"], 0, "shadowed_policy");
    check(
        "sarif",
        &dir,
        &["lint", "--sarif"],
        0,
        "\"ruleId\":\"entity_list\"",
    );
    check(
        "json",
        &dir,
        &["lint", "--json"],
        0,
        "\"rule\":\"entity_list\"",
    );
}

#[test]
fn text_is_formatted_in_place_and_then_is_left_alone() {
    let text = "// kept\n@id(\"k\") permit(principal in Role::\"member\",action==Action::\"ReadInvoice\",resource) when{resource has amount};";
    let dir = bundle(&[("k.cedar", text)]);
    check(
        "shown",
        &dir,
        &["fmt", "--check"],
        1,
        "+when { resource has amount };",
    );
    check("done", &dir, &["fmt"], 0, "formatted  policies/k.cedar");
    check(
        "left",
        &dir,
        &["fmt", "--check"],
        0,
        "3 of 3 files as they were",
    );
    let formatted = fs::read_to_string(dir.path().join("policies/k.cedar")).unwrap();
    assert!(
        formatted.starts_with("// kept\n@id(\"k\")\npermit (\n"),
        "{formatted}"
    );
}

#[test]
fn a_planted_condition_that_no_case_tries_is_found() {
    let dir = bundle(&[]);
    let roles = dir.path().join("policies/roles.cedar");
    let planted = fs::read_to_string(&roles).unwrap().replace(
        "when { resource has amount &&",
        "when { context has token && resource has amount &&",
    );
    fs::write(&roles, planted).unwrap();
    check("passes", &dir, &["test"], 0, "ok");
    let told = check("found", &dir, &["test", "--mutate"], 4, "noticed by none");
    assert!(told.contains("- context has token\n  + true"), "{told}");
    check(
        "seen one way",
        &dir,
        &["test", "--min-coverage", "100"],
        4,
        "never false",
    );
    check(
        "bounded",
        &dir,
        &["test", "--mutate", "--max-mutants", "3"],
        0,
        "were not tried",
    );
    check("measured", &dir, &["test", "--lcov", "out.info"], 0, "ok");
    let lcov = fs::read_to_string(dir.path().join("out.info")).unwrap();
    assert!(lcov.contains("SF:policies/roles.cedar\n"), "{lcov}");
}

#[test]
fn cases_run_again_when_a_file_changes() {
    let dir = bundle(&[("tests/k.yaml", &cases(READS))]);
    let mut watching = Command::new(DOORWARD)
        .args(["test", "--watch"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut wait_for = |says: &str| {
        lines
            .by_ref()
            .map(Result::unwrap)
            .find(|it| it.contains(says))
    };
    let write = |text: String| fs::write(dir.path().join("policies/tests/k.yaml"), text).unwrap();
    assert!(wait_for("ok  ").is_some());
    write(cases(&READS.replace("allow", "deny")));
    assert!(wait_for("FAILED  reads").is_some());
    write(cases(&READS.replace("allow", "dney")));
    assert!(wait_for("did you mean `deny`?").is_some());
    write(cases(READS));
    assert!(wait_for("ok  ").is_some());
    let stop = ["-INT", &watching.id().to_string()].map(str::to_owned);
    assert!(Command::new("kill").args(stop).status().unwrap().success());
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}

#[test]
fn shells_and_manuals_know_every_command() {
    let dir = bundle(&[]);
    for (shell, says) in [
        ("bash", "_doorward()"),
        ("zsh", "#compdef doorward"),
        ("fish", "complete -c doorward"),
    ] {
        check(shell, &dir, &["completions", shell], 0, says);
    }
    check("man", &dir, &["man", "man1"], 0, "man1/doorward.1");
    let page = fs::read_to_string(dir.path().join("man1/doorward-lint.1")).unwrap();
    assert!(page.contains("\\-\\-deny"), "{page}");
}

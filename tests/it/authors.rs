//! The tools of policy authors as they are run, and the bad inputs they must withstand (rows K).

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::symlink,
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
fn k01_a_typo_or_nothing_to_run_is_no_success() {
    for (row, text, code, says) in [
        (
            "an unknown key",
            cases(&READS.replace("expect", "expects")),
            3,
            "did you mean `expect`?",
        ),
        (
            "an unknown key of the file",
            cases(&READS.replace("cases:", "case:")),
            3,
            "did you mean `cases`?",
        ),
        (
            "an unknown outcome",
            cases(&READS.replace("allow", "alow")),
            3,
            "alow",
        ),
        (
            "an unknown subject",
            cases(&READS.replace("mia", "mya")),
            3,
            "did you mean `mia`?",
        ),
        (
            "an unknown resource",
            cases(&READS.replace("small", "smal")),
            3,
            "did you mean `small`?",
        ),
        (
            "an unknown file",
            READS.replace("cases:", "include: [fixture.yaml]\ncases:"),
            3,
            "did you mean `fixtures.yaml`?",
        ),
        ("no cases", cases(""), 3, "has no cases"),
        ("an empty list", cases("cases: []\n"), 3, "has no cases"),
        ("an empty file", String::new(), 3, "tests/k.yaml"),
        (
            "one name twice",
            cases(&format!("{READS}{}", READS.replace("cases:\n", ""))),
            3,
            "another case named `reads`",
        ),
        (
            "a wrong expectation",
            cases(&READS.replace("allow", "deny")),
            4,
            "FAILED  reads",
        ),
        ("a right one", cases(READS), 0, "ok"),
    ] {
        let dir = bundle(&[("tests/k.yaml", &text)]);
        check(row, &dir, &["test"], code, says);
    }
    let dir = bundle(&[]);
    check("a filter", &dir, &["test", "--filter", "tenant"], 0, "ok");
    check(
        "a filter of nothing",
        &dir,
        &["test", "--filter", "tennant"],
        64,
        "`tennant`",
    );
    fs::remove_dir_all(dir.path().join("policies/tests")).unwrap();
    check("no tests at all", &dir, &["test"], 4, "has no cases");
    check("no bundle", &dir, &["test", "elsewhere"], 64, "`elsewhere`");
}

#[test]
fn k02_an_error_that_is_not_expected_fails_the_case() {
    let unknown = |errors: &str| {
        cases(&format!(
            "cases:\n  - {{ name: k, subject: mallory, action: ApproveInvoice, resource: {{ type: Invoice, id: i, attributes: {{ tenant: umbrella, amount: 1 }} }}, expect: {{ decision: deny{errors} }} }}\n"
        ))
    };
    let dir = bundle(&[("tests/k.yaml", &unknown(""))]);
    check("not listed", &dir, &["test"], 4, "+ suspended-tenant");
    let dir = bundle(&[("tests/k.yaml", &unknown(", errors: [suspended-tenant]"))]);
    check("listed", &dir, &["test"], 0, "ok");
    let dir = bundle(&[(
        "tests/k.yaml",
        &unknown(", errors: [suspended-tenant, other]"),
    )]);
    check("more listed", &dir, &["test"], 4, "- other");
}

#[test]
fn k03_no_input_leads_out_of_the_bundle_or_never_ends() {
    let verbs = [
        &["validate"][..],
        &["test"],
        &["lint"],
        &["fmt"],
        &["fmt", "--check"],
    ];
    let dir = bundle(&[]);
    let secret = dir.path().join("secret.cedar");
    fs::write(&secret, "permit (secret").unwrap();
    symlink(&secret, dir.path().join("policies/outside.cedar")).unwrap();
    for words in verbs {
        let told = check(
            "a link that leads out",
            &dir,
            words,
            3,
            "leads out of the bundle",
        );
        assert!(!told.contains("permit (secret"), "{told}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "permit (secret");

    let dir = bundle(&[(
        "deep.cedar",
        &format!(
            "permit (principal, action, resource) when {{ {} }};",
            "(".repeat(50_000)
        ),
    )]);
    for words in verbs {
        check("nesting without end", &dir, words, 3, "nested more than");
    }

    let dir = bundle(&[]);
    let many = dir.path().join("policies/notes");
    fs::create_dir(&many).unwrap();
    for n in 0..100_000 {
        fs::File::create(many.join(n.to_string())).unwrap();
    }
    check("100,000 files", &dir, &["test"], 0, "ok");
}

#[test]
fn k03_standard_input_is_formatted_or_refused() {
    let piped = |text: &[u8]| {
        let mut child = Command::new(DOORWARD)
            .args(["fmt", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text).unwrap();
        child.wait_with_output().unwrap()
    };
    let formatted = piped(b"permit(principal,action,resource);");
    assert_eq!(formatted.status.code(), Some(0));
    assert_eq!(text(&formatted), "permit (principal, action, resource);\n");
    for (input, code) in [
        (&b"permit("[..], 3),
        (&[0xff, 0xfe], 1),
        (&[b'('; 70_000], 3),
    ] {
        let output = piped(input);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn k04_what_is_told_of_a_case_has_no_claims_in_it() {
    let secret = "eva@example.com";
    let text = cases(&format!(
        "subjects: {{ eva: {{ claims: {{ sub: eva, tenant: acme, roles: [member], email: {secret} }}, issuer: corp }} }}\n{}",
        READS.replace("mia", "eva").replace("allow", "deny")
    ));
    let dir = bundle(&[("tests/k.yaml", &text)]);
    let told = check(
        "a failed case",
        &dir,
        &["test", "--junit", "out.xml"],
        4,
        "FAILED",
    );
    let junit = fs::read_to_string(dir.path().join("out.xml")).unwrap();
    assert!(junit.contains("<failure"), "{junit}");
    for told in [told, junit] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn k05_nothing_that_an_author_wrote_steers_a_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    let steers = |told: &str| {
        told.chars().any(|char| {
            (char.is_control() && char != '\n') || matches!(char, '\u{202a}'..='\u{202e}')
        })
    };
    let policy = |effect: &str| {
        let text = format!(
            "@id(\"{evil}x\")\n@reason(\"{evil}\")\n{effect}(principal, action == Action::\"ReadInvoice\", resource) when {{ resource has amount && resource.amount + 1 > 0 }};\n"
        );
        // The parser's guard refuses what reorders; the rest it lets through.
        text.replace('\u{202e}', "")
    };
    let evil_case = cases(&format!(
        "cases:\n  - {{ name: {}, subject: mia, action: ReadInvoice, resource: small, expect: {{ decision: deny, reasons: [{}] }} }}\n",
        serde_json::Value::from(evil),
        serde_json::Value::from(evil)
    ));
    for (row, files, words) in [
        (
            "an id",
            vec![
                ("k.cedar", policy("permit")),
                ("tests/k.yaml", evil_case.clone()),
            ],
            &["test"][..],
        ),
        (
            "coverage",
            vec![("k.cedar", policy("permit"))],
            &["test", "--coverage", "--mutate"],
        ),
        (
            "a lint",
            vec![
                ("k.cedar", policy("forbid")),
                ("tests/roles.yaml", cases(READS)),
                ("tests/tenancy.yaml", cases(READS).replace("reads", "r2")),
            ],
            &["lint"],
        ),
        (
            "a difference",
            vec![("k.cedar", policy("permit"))],
            &["fmt", "--check"],
        ),
        (
            "what is refused",
            vec![("k.cedar", format!("permit {evil}"))],
            &["validate"],
        ),
        (
            "what is misspelt",
            vec![(
                "k.cedar",
                format!("permit(principal, action, resource) when {{ resource.{evil} }};")
                    .replace('\u{202e}', ""),
            )],
            &["validate"],
        ),
        (
            "a file's name",
            vec![("k\u{1b}[2J.cedar", "permit".into())],
            &["validate"],
        ),
        (
            "a case",
            vec![(
                "tests/k.yaml",
                evil_case.replace("mia", "\"nobody \\e[2J\""),
            )],
            &["validate"],
        ),
    ] {
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let dir = bundle(&files);
        let output = run(dir.path(), words);
        let told = text(&output);
        assert!(!steers(&told), "{row}: {told:?}");
        assert!(told.len() > 20, "{row}: {told:?}");
    }
}

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

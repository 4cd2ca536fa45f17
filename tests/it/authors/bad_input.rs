//! Rows K: what authors get wrong, and what others may have put among their files.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    process::{Command, Stdio},
};

use super::{DOORWARD, READS, bundle, cases, check, run, text};

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
    check(
        "a filter",
        &dir,
        &["test", "--filter", "organisation"],
        0,
        "ok",
    );
    check(
        "a filter of nothing",
        &dir,
        &["test", "--filter", "organisatoin"],
        64,
        "`organisatoin`",
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
    let explained = check(
        "an explanation",
        &dir,
        &["explain", "--case", "reads"],
        0,
        "members-read",
    );
    for told in [told, junit, explained] {
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
            "an explanation",
            vec![
                ("k.cedar", policy("permit")),
                ("tests/k.yaml", cases(READS)),
            ],
            &["explain", "--case", "reads"],
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

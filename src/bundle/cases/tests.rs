use super::*;
use crate::{bundle::BundleFiles, policy::Fault};

const HEAD: &str = "now: 2030-01-01T09:00:00Z\nsubjects: { ann: { claims: { sub: ann } }, bob: { claims: { sub: bob } } }\nresources: { mine: 'T::\"1\"', yours: { type: T, id: '2' } }\n";

fn compiled(files: &[(&str, String)]) -> (Vec<Cases>, Vec<Fault>) {
    let files = BundleFiles::new(files.iter().map(|(path, text)| (*path, text.clone())));
    let mut faults = Vec::new();
    let cases = compile(&files, &mut faults);
    (cases, faults)
}

fn case(name: &str, rest: &str) -> String {
    format!("  - {{ name: {name}, subject: ann, {rest}, expect: {{ decision: deny }} }}\n")
}

fn question(name: &str) -> String {
    case(name, "action: Go, resource: mine")
}

#[track_caller]
fn refused(files: &[(&str, String)], at: &str, says: &str) {
    let (_, faults) = compiled(files);
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with(at), "not at {at}: {}", told[0]);
    assert!(told[0].contains(says), "no `{says}` in {}", told[0]);
}

#[track_caller]
fn check(text: &str, at: &str, says: &str) {
    refused(&[("tests/a.yaml", format!("{HEAD}{text}"))], at, says);
}

#[test]
fn a_typo_is_told_where_it_is_with_what_was_meant() {
    check("casse:\n", "tests/a.yaml:4:1", "did you mean `cases`?");
    check(
        "cases:\n  - { name: a, subjet: ann }\n",
        "tests/a.yaml:5:16",
        "did you mean `subject`?",
    );
    let named = |subject: &str, resource: &str| {
        format!(
            "cases:\n  - {{ name: a, subject: {subject}, action: Go, resource: {resource}, expect: {{ decision: deny }} }}\n"
        )
    };
    check(
        &named("anne", "mine"),
        "tests/a.yaml:5:5",
        "did you mean `ann`?",
    );
    check(
        &named("zed", "mine"),
        "tests/a.yaml:5:5",
        "there is `ann`, `bob`",
    );
    check(
        &named("ann", "mien"),
        "tests/a.yaml:5:5",
        "did you mean `mine`?",
    );
    check(&named("ann", "T::x"), "tests/a.yaml:5:5", "T::x");
    let typo = case("a", "action: Go, resource: mine").replace("deny", "dney");
    check(
        &format!("cases:\n{typo}"),
        "tests/a.yaml:5:",
        "did you mean `deny`?",
    );
    check(
        &format!("cases:\n{}{}", question("a"), question("a")),
        "tests/a.yaml:6:5",
        "another case named `a`, at tests/a.yaml:5:5",
    );
}

#[test]
fn a_file_without_cases_is_refused_unless_another_includes_it() {
    check("", "tests/a.yaml:1:1", "has no cases");
    check("cases: []\n", "tests/a.yaml:1:1", "has no cases");
    refused(&[("tests/a.yaml", String::new())], "tests/a.yaml:", "");
    let includes = format!("include: [shared.yaml]\ncases:\n{}", question("a"));
    let shared = ("tests/shared.yaml", HEAD.to_owned());
    let (cases, faults) = compiled(&[("tests/a.yaml", includes.clone()), shared.clone()]);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(cases.len(), 1, "the included file is no file of cases");
    assert_eq!(cases[0].cases[0].now.to_string(), "2030-01-01T09:00:00Z");

    let missing = includes.replace("shared", "share");
    let again = ("tests/b.yaml", format!("{HEAD}cases:\n{}", question("b")));
    refused(
        &[("tests/a.yaml", missing), again],
        "tests/a.yaml:1:11",
        "there is no file `share.yaml`",
    );
    let twice = format!(
        "include: [shared.yaml]\nsubjects: {{ ann: {{ claims: {{ sub: x }} }} }}\ncases:\n{}",
        question("a")
    );
    refused(
        &[("tests/a.yaml", twice), shared],
        "tests/a.yaml:1:11",
        "subject `ann` is defined at tests/a.yaml:2:",
    );
}

const TABLE: &str = "\
tables:
  - name: t
    actions:     Go     Stay
    resources:   mine yours
    expect:
      ann:       allow  deny
      bob:
        mine:    deny   refused
        yours:   deny   -
";

#[test]
fn a_table_is_a_case_for_each_cell() {
    let (cases, faults) = compiled(&[("tests/a.yaml", format!("{HEAD}{TABLE}"))]);
    assert!(faults.is_empty(), "{faults:?}");
    let told: Vec<String> = cases[0]
        .cases
        .iter()
        .map(|case| {
            format!(
                "{} = {:?} @{}:{}",
                case.name, case.expect.decision, case.place.line, case.place.column
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "t: ann Go mine = Allow @9:18",
            "t: ann Stay mine = Deny @9:25",
            "t: ann Go yours = Allow @9:18",
            "t: ann Stay yours = Deny @9:25",
            "t: bob Go mine = Deny @11:18",
            "t: bob Stay mine = Refused @11:25",
            "t: bob Go yours = Deny @12:18",
        ]
    );
}

#[test]
fn a_table_with_a_slip_is_refused_at_the_cell() {
    let with = |from: &str, to: &str| TABLE.replace(from, to);
    check(
        &with("refused", "refsued"),
        "tests/a.yaml:11:25",
        "did you mean `refused`?",
    );
    check(
        &with("allow  deny", "allow"),
        "tests/a.yaml:9:18",
        "1 outcomes, for 2 actions",
    );
    check(
        &with("bob:", "bbo:"),
        "tests/a.yaml:11:9",
        "did you mean `bob`?",
    );
    check(
        &with("        yours:   deny   -\n", ""),
        "tests/a.yaml:11:9",
        "nothing of `yours`",
    );
    check(
        &with("mine yours", "mine yuors"),
        "tests/a.yaml:5:5",
        "did you mean `yours`?",
    );
    check(
        &with("  expect:", "  expct:"),
        "tests/a.yaml:8:5",
        "did you mean `expect`?",
    );
    check(
        &with("yours:   deny", "theirs:   deny"),
        "tests/a.yaml:12:19",
        "there is `mine`, `yours`",
    );
    let nothing = "tables:\n  - { name: t, actions: Go, resources: mine, expect: { ann: '-' } }\n";
    check(nothing, "tests/a.yaml:5:5", "asks nothing");
}

#[test]
fn a_short_file_cannot_make_cases_without_end() {
    let many = "Go ".repeat(400);
    let rows: String = (0..400).map(|n| format!("      s{n}: deny\n")).collect();
    let text = format!(
        "tables:\n  - name: t\n    actions: {many}\n    resources: {}\n    expect:\n{rows}",
        "mine ".repeat(400)
    );
    check(
        &text,
        "tests/a.yaml:5:5",
        "64000000 cases, more than may be",
    );
}

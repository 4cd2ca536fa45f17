use super::*;
use crate::{
    bundle::{BundleFiles, CompileOptions, Snapshot},
    pap::CaseReport,
};

const SCHEMA: &str =
    "entity User; action Go, Stay appliesTo { principal: User, resource: User, context: {} };";
const MAPPING: &str = "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n";
const POLICY: &str = "@id(\"goes\") permit (principal, action == Action::\"Go\", resource);";
const CASES: &str = "\
now: 2030-01-01T09:00:00Z
subjects: { ann: { issuer: i, claims: { sub: ann } } }
cases:
  - name: \"ann <stays> \\e[31m\"
    subject: ann
    action: Go
    resource: 'User::\"b\"'
    expect: { decision: deny, reasons: [stays] }
tables:
  - name: both
    actions: Go Stay
    resources: ['User::\"b\"']
    expect: { ann: allow deny }
";

fn told(work: impl Fn(&CaseReport<'_>) -> String) -> String {
    let files = BundleFiles::new([
        ("schema.cedarschema", SCHEMA),
        ("bundle.toml", MAPPING),
        ("a.cedar", POLICY),
        ("tests/a.yaml", CASES),
    ]);
    let snapshot = Snapshot::compile(&files, &CompileOptions::default()).unwrap();
    work(&run_cases(&snapshot, None))
}

#[test]
fn a_failed_case_is_told_as_a_difference() {
    let text = told(|report| report::cases(report, Style::plain()));
    let expected = "\
FAILED  ann <stays> \\u{1b}[31m
  at          tests/a.yaml:4:5
  decision    - deny
              + allow
  reasons     - stays
              + goes
  came out    allow (permitted)
              permit `goes` at a.cedar:1

failed  1 of 3 cases
";
    assert_eq!(text, expected);
}

#[test]
fn junit_has_a_suite_for_each_file_and_no_forbidden_character() {
    let xml = told(|report| junit::report(report).unwrap());
    for part in [
        "<testsuite name=\"tests/a.yaml\" tests=\"3\"",
        "failures=\"1\"",
        "both: ann Stay User::&quot;b&quot;",
        "&lt;stays&gt;",
        "decision: - deny",
        "line=\"4\"",
    ] {
        assert!(xml.contains(part), "no {part} in {xml}");
    }
    assert!(!xml.contains('\u{1b}'), "{xml}");
}

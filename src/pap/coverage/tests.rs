use super::*;
use crate::bundle::{BundleFiles, CompileOptions};

const SCHEMA: &str = "\
entity User = { age: Long };
entity Guest, Place;
action Go, Stay appliesTo { principal: [User, Guest], resource: Place, context: {} };";
const BUNDLE: &str = "\
[[principal]]
type = \"User\"
id = \"{sub}\"
attributes = { age = \"age\" }

[[principal]]
type = \"Guest\"
anonymous = true

[[route]]
path = \"/go/{to}\"
action = \"Go\"
resource = { type = \"Place\", id = \"{to}\" }

[[route]]
path = \"/stay/{to}\"
action = \"Stay\"
resource = { type = \"Place\", id = \"{to}\" }
";
const POLICIES: &str = "\
@id(\"goes\")
permit (principal is User, action == Action::\"Go\", resource)
when { principal.age > 17 &&
  principal.age < 99 };
@id(\"stays\")
permit (principal, action == Action::\"Stay\", resource);
";
const CASES: &str = "\
now: 2030-01-01T09:00:00Z
cases:
  - name: old enough
    subject: { claims: { sub: ann, age: 18 } }
    request: { method: GET, path: /go/b }
    expect: { decision: allow }
  - name: too young
    subject: { claims: { sub: ann, age: 17 } }
    action: Go
    resource: 'Place::\"b\"'
    expect: { decision: deny }
";

fn covered(work: impl Fn(&Coverage<'_>)) {
    let files = BundleFiles::new([
        ("schema.cedarschema", SCHEMA),
        ("bundle.toml", BUNDLE),
        ("a.cedar", POLICIES),
        ("tests/a.yaml", CASES),
    ]);
    let snapshot = Snapshot::compile(&files, &CompileOptions::default());
    let snapshot = snapshot.unwrap_or_else(|faults| panic!("{faults:#?}"));
    work(&Coverage::of(&snapshot));
}

#[test]
fn what_the_cases_touch_is_counted() {
    covered(|coverage| {
        let share = |covered, all| Share { covered, all };
        assert_eq!(coverage.of_policies(), share(1, 2));
        assert_eq!(coverage.of_conditions(), share(3, 4));
        assert_eq!(coverage.of_principals(), share(1, 2));
        assert_eq!(coverage.of_routes(), share(1, 2));
        assert_eq!(coverage.total().percent(), 60);
        let goes = &coverage.policies[0];
        let told: Vec<_> = goes
            .conditions
            .iter()
            .map(|it| (it.condition.text.as_str(), it.yes, it.no, it.is_covered()))
            .collect();
        assert_eq!(
            told,
            [
                ("principal.age > 17", 1, 1, true),
                // Not reached when the first is false.
                ("principal.age < 99", 1, 0, false),
            ]
        );
        assert_eq!((goes.matched, goes.decided), (2, 1));
    });
}

#[test]
fn lcov_has_a_line_for_each_policy_and_a_branch_for_each_outcome() {
    covered(|coverage| {
        let text = lcov(coverage, std::path::Path::new("rules"));
        for line in [
            "SF:rules/a.cedar\n",
            "BRDA:3,0,0,1\nBRDA:3,0,1,1\nBRDA:4,1,0,1\nBRDA:4,1,1,0\nBRF:4\nBRH:3\n",
            "DA:1,1\nDA:3,2\nDA:4,1\nDA:5,0\nLF:4\nLH:3\nend_of_record\n",
            "SF:rules/bundle.toml\n",
            "DA:1,2\nDA:6,0\nDA:10,1\nDA:15,0\nLF:4\nLH:2\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    });
}

#[test]
fn a_hundred_percent_is_all_of_it() {
    let percent = |covered, all| Share { covered, all }.percent();
    assert_eq!(
        (percent(999, 1_000), percent(3, 3), percent(0, 0)),
        (99, 100, 100)
    );
}

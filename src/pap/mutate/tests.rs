use super::*;

const SCHEMA: &str = "\
entity Role, Room;
entity User in [Role] = { age: Long, name?: String };
action Go appliesTo { principal: User, resource: Room, context: {} };";
const MAPPING: &str = "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\nattributes = { age = \"age\", name = \"name\" }\n";
/// An awkward head: comments and brackets in strings, a list.
const POLICY: &str = "\
@id(\"goes\") // permit(
@reason(\"a, b) permit\")
permit ( // (
  principal in Role::\"a,)\\\"(\", action in [Action::\"Go\"],
  resource == Room::\"b\"
)
when { principal.age > 17 && principal has name && (principal.name == \"ann\" || principal.age > 60) }
unless { principal.age == 99 };
";

fn bundle(cases: &str) -> (BundleFiles, Snapshot) {
    let cases = format!(
        "now: 2030-01-01T09:00:00Z\nsubjects:\n  ann: {{ entity: {{ type: User, id: ann, attributes: {{ age: 18, name: ann }}, parents: ['Role::\"a,)\\\"(\"'] }} }}\ncases:\n{cases}"
    );
    let files = BundleFiles::new([
        ("schema.cedarschema".to_owned(), SCHEMA.to_owned()),
        ("bundle.toml".into(), MAPPING.into()),
        ("a.cedar".into(), POLICY.into()),
        ("tests/a.yaml".into(), cases),
    ]);
    let snapshot = Snapshot::compile(&files, &CompileOptions::default());
    let snapshot = snapshot.unwrap_or_else(|faults| panic!("{faults:#?}"));
    (files, snapshot)
}

const ALLOWED: &str = "  - { name: a, subject: ann, action: Go, resource: 'Room::\"b\"', expect: { decision: allow } }\n";

#[test]
fn each_effect_head_and_condition_is_changed_once() {
    let (files, snapshot) = bundle(ALLOWED);
    let told: Vec<String> = mutants(&files, &snapshot)
        .iter()
        .map(|it| {
            format!(
                "{} {}: {} → {}",
                it.place.line, it.change, it.before, it.after
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "3 effect: permit → forbid",
            "4 head: principal in Role::\"a,)\\\"(\" → principal",
            "4 head: action in [Action::\"Go\"] → action",
            "5 head: resource == Room::\"b\" → resource",
            "7 dropped: principal.age > 17 → true",
            "7 negated: principal.age > 17 → !(principal.age > 17)",
            "7 dropped: principal has name → true",
            "7 negated: principal has name → !(principal has name)",
            "7 dropped: principal.name == \"ann\" → true",
            "7 dropped: principal.name == \"ann\" → false",
            "7 negated: principal.name == \"ann\" → !(principal.name == \"ann\")",
            "7 dropped: principal.name == \"ann\" || principal.age > 60 → true",
            "7 dropped: principal.age > 60 → true",
            "7 dropped: principal.age > 60 → false",
            "7 negated: principal.age > 60 → !(principal.age > 60)",
            "8 dropped: principal.age == 99 → false",
            "8 negated: principal.age == 99 → !(principal.age == 99)",
        ]
    );
}

#[test]
fn a_condition_that_no_case_tries_survives() {
    let (files, snapshot) = bundle(ALLOWED);
    let report = mutate(&files, &snapshot, 1_000);
    assert_eq!(report.left_out, 0);
    // Reading `name` without `has` is not what the schema allows.
    assert!(report.refused >= 1, "{report:#?}");
    let survived: Vec<&str> = report.survived.iter().map(|it| &*it.before).collect();
    assert!(survived.contains(&"principal.age > 17"), "{survived:?}");
    assert!(!survived.contains(&"permit"), "{survived:?}");
    // There is no other action.
    assert_eq!(report.same, 1, "{report:#?}");

    let young = "  - { name: b, subject: { entity: { type: User, id: x, attributes: { age: 17, name: ann }, parents: ['Role::\"a,)\\\"(\"'] } }, action: Go, resource: 'Room::\"b\"', expect: { decision: deny } }\n";
    let (files, snapshot) = bundle(&format!("{ALLOWED}{young}"));
    let report = mutate(&files, &snapshot, 1_000);
    let survived = report.survived.iter().map(|it| &*it.before);
    assert!(!survived.collect::<Vec<_>>().contains(&"principal.age > 17"));
}

#[test]
fn no_more_are_tried_than_asked_for() {
    let (files, snapshot) = bundle(ALLOWED);
    let all = mutants(&files, &snapshot).len();
    for most in [0, 1, 5, all, all + 1] {
        let report = mutate(&files, &snapshot, most);
        let tried = report.noticed + report.refused + report.same + report.survived.len();
        assert!(
            tried <= most && tried + report.left_out == all,
            "{most}: {tried} of {all}"
        );
        assert!(most == 0 || tried >= 1);
    }
}

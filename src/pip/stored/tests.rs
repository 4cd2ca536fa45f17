//! What is known of stored entities, and hierarchies that cross from one store to the other.

use super::*;
use crate::{
    bundle::{BundleFiles, CompileOptions},
    store::{Stored, Unstored},
};

const SCHEMA: &str = "entity A in [B]; entity B in [A];
    action read appliesTo { principal: [A], resource: [A] };";
const SOURCES: &str = "[[principal]]\ntype = \"A\"\nid = \"{sub}\"
    [[entity]]\ntype = \"A\"\nsource = \"bundle\"
    [[entity]]\ntype = \"B\"\nsource = \"directory\"";

/// The bundle has `A::"n"` in `B::"n"` for each number below `depth`; the directory has what is given.
fn rules(depth: usize) -> Snapshot {
    let entities: Vec<_> = (0..depth)
        .map(|n| {
            serde_json::json!({
                "uid": { "type": "A", "id": n.to_string() }, "attrs": {},
                "parents": [{ "type": "B", "id": n.to_string() }],
            })
        })
        .collect();
    let entities = serde_json::to_string(&entities).unwrap();
    let files = BundleFiles::new([
        ("schema.cedarschema", SCHEMA),
        ("all.cedar", "permit (principal, action, resource);"),
        ("bundle.toml", SOURCES),
        ("entities.json", &entities),
    ]);
    Snapshot::compile(&files, &CompileOptions::default()).unwrap()
}

/// `B::"n"` in `A::"m"`.
fn above(n: usize, m: usize) -> Stored {
    let (key, parent) = (Key::new("B", &n.to_string()), Key::new("A", &m.to_string()));
    Stored::bare(&key, &[parent], 1)
}

#[track_caller]
fn check(depth: usize, stored: impl Iterator<Item = Stored>, ancestors: Option<usize>) {
    let snapshot = rules(depth);
    let view = DirectoryView::new(Arc::new(stored.collect()));
    let def = snapshot.schema.type_named("B").unwrap();
    let uid = def.uid_of("0").unwrap();
    match (Known::new(&snapshot, &view).get(&uid), ancestors) {
        (Ok(Some(entity)), Some(expected)) => assert_eq!(entity.ancestors().len(), expected),
        (Err(Refusal::Unavailable { detail }), None) => {
            assert!(detail.contains("no sound hierarchy"), "{detail}");
        }
        (found, _) => panic!("{found:?}"),
    }
}

#[test]
fn ancestors_are_those_of_both_stores_and_no_circle_is_gone_round_for_ever() {
    let up = |count: usize| (0..count).map(|n| above(n, n + 1));
    check(0, up(1), Some(1));
    check(3, up(3), Some(5));
    check(40, up(40), Some(79));
    check(2, [above(0, 0)].into_iter(), None);
    check(2, [above(0, 1), above(1, 0)].into_iter(), None);
    check(100, up(100), None);
}

const RULES: &str = r#"
    permit (principal in T::"t1", action, resource) when { principal.level > 1 };
    permit (principal, action, resource) when { resource has note && resource.note == "x" };
"#;
const TYPES: &str = "entity T; entity S;
    entity U in [T, S] = { level: Long, name: String, note?: String, sign: Long };
    action read appliesTo { principal: [U], resource: [U] };";
const OWNERS: &str = "[[principal]]\ntype = \"U\"\nid = \"{sub}\"
    [[entity]]\ntype = \"U\"\nsource = \"directory\"
    attributes = { note = \"request\" }\nparents = { S = \"request\" }
    [[entity]]\ntype = \"T\"\nsource = \"directory\"";

/// What is known of a user who is stored with these attributes, in these parents.
#[track_caller]
fn known(rules: &str, attributes: &str, parents: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let files = BundleFiles::new([
        ("schema.cedarschema", TYPES),
        ("all.cedar", rules),
        ("bundle.toml", OWNERS),
    ]);
    let snapshot = Snapshot::compile(&files, &CompileOptions::default()).unwrap();
    let (key, team) = (Key::new("U", "u"), Key::new("T", "t1"));
    let of = Unstored {
        key: key.borrowed(),
        attributes,
        changed: 2,
        born: 2,
        stamp: 0,
    };
    let parents = parents
        .iter()
        .map(|(type_name, id)| KeyRef { type_name, id });
    let user = Stored::new(of, parents).unwrap();
    let view = DirectoryView::new(Arc::new(
        [user, Stored::bare(&team, &[], 1)].into_iter().collect(),
    ));
    let uid = snapshot
        .schema
        .type_named("U")
        .unwrap()
        .uid_of("u")
        .unwrap();
    match Known::new(&snapshot, &view).get(&uid) {
        Ok(entity) => {
            let entity = entity.unwrap();
            let attributes = entity
                .attributes()
                .map(|(name, value)| format!("{name}={value}"));
            let above = entity.ancestors().iter().map(ToString::to_string);
            Ok(attributes.chain(above).collect())
        }
        Err(Refusal::Unavailable { detail }) => Err(detail),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn rules_know_what_they_look_at_and_refuse_what_does_not_fit_there() {
    #[track_caller]
    fn check(attributes: &str, parents: &[(&str, &str)], expected: Result<&[&str], &str>) {
        match (known(RULES, attributes, parents), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(detail), Err(expected)) => assert!(detail.contains(expected), "{detail}"),
            (found, _) => panic!("{found:?}"),
        }
    }
    let team = [("T", "t1")];
    let whole = r#"{"level": 3, "name": "n", "sign": 1}"#;
    check(whole, &team, Ok(&["level=3", "T::\"t1\""]));
    check(whole, &[], Ok(&["level=3"]));
    // No rule looks at these, so they decide nothing.
    check(
        r#"{"level": 3, "name": 7}"#,
        &team,
        Ok(&["level=3", "T::\"t1\""]),
    );
    check(
        r#"{"name": "n", "sign": 1}"#,
        &team,
        Err("it lacks `level`"),
    );
    check(r#"{"level": null}"#, &team, Err("it lacks `level`"));
    check(
        r#"{"level": "3"}"#,
        &team,
        Err("`level` must be a 64-bit integer"),
    );
    check(
        r#"{"level": 3, "note": "x"}"#,
        &team,
        Err("`note` is a fact of the request"),
    );
    // A team that is gone counts for nothing; one that cannot be is refused.
    check(whole, &[("T", "gone")], Ok(&["level=3"]));
    check(whole, &[("S", "s")], Err("is no fact of the directory"));
    check(whole, &[("Z", "z")], Err("no entity type `Z`"));
}

#[test]
fn an_entity_of_which_rules_look_at_much_is_the_same_by_another_way() {
    let evaluated = r#"permit (principal, action, resource) when { principal.name like "n*" };"#;
    let much = "permit (principal in T::\"t1\", action, resource)
        when { principal.level + principal.sign > 1 && principal.name == \"n\" };";
    let attributes = r#"{"level": 3, "name": "n", "sign": 1}"#;
    let team = [("T", "t1")];
    let found = known(evaluated, attributes, &team).unwrap();
    assert_eq!(found, ["name=\"n\"", "T::\"t1\""]);
    let found = known(much, attributes, &team).unwrap();
    assert_eq!(found, ["level=3", "name=\"n\"", "sign=1", "T::\"t1\""]);
}

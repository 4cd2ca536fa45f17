//! Hierarchies that cross from one store to the other.

use super::*;
use crate::{
    bundle::{BundleFiles, CompileOptions},
    store::Stored,
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
fn above(n: usize, m: usize) -> Arc<Stored> {
    Arc::new(Stored {
        key: Key::new("B", &n.to_string()),
        attributes: "{}".into(),
        parents: [Key::new("A", &m.to_string())].into(),
        changed: 1,
        born: 1,
        stamp: 0,
    })
}

#[track_caller]
fn check(depth: usize, stored: impl Iterator<Item = Arc<Stored>>, ancestors: Option<usize>) {
    let snapshot = rules(depth);
    let view = DirectoryView::new(Arc::new(stored.collect()));
    let def = snapshot.schema.type_named("B").unwrap();
    let uid = def.uid_of("0").unwrap();
    match (Known::new(&snapshot, &view).get(&uid), ancestors) {
        (Ok(Some(entity)), Some(expected)) => assert_eq!(entity.ancestors().count(), expected),
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

//! A template's links decide as Cedar's own links do.

use std::collections::HashMap;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicyId, PolicySet, Request, SlotId,
};
use doorward::{
    bundle::{BundleFiles, CaseQuestion, CompileOptions, Snapshot, SubjectSpec},
    model::{EntityFacts, EntityRef, Members, Outcome},
    pdp::{Rehearsal, rehearse},
};

const SCHEMA: &str =
    "entity User; entity Doc; action read, write appliesTo { principal: User, resource: Doc };";
const TEMPLATES: &str = r#"
@id("share") permit (principal == ?principal, action == Action::"read", resource == ?resource);
@id("own") permit (principal == ?principal, action, resource);
@id("lock") forbid (principal, action == Action::"write", resource in ?resource);
"#;
/// Template, id, principal, resource.
const LINKS: &[(&str, &str, Option<&str>, Option<&str>)] = &[
    ("share", "s1", Some("ann"), Some("d1")),
    ("share", "s2", Some("bob"), Some("d2")),
    ("own", "o1", Some("cho"), None),
    ("lock", "l1", None, Some("d2")),
];

#[test]
fn links_decide_as_cedar_itself_would() {
    let links: Vec<serde_json::Value> = LINKS
        .iter()
        .map(|(template, id, principal, resource)| {
            let mut link = serde_json::json!({ "template": template, "id": id });
            for (slot, of_type, eid) in [
                ("principal", "User", principal),
                ("resource", "Doc", resource),
            ] {
                if let Some(eid) = eid {
                    link[slot] = serde_json::json!({ "type": of_type, "id": eid });
                }
            }
            link
        })
        .collect();
    let files = BundleFiles::new([
        ("schema.cedarschema", SCHEMA.to_owned()),
        (
            "bundle.toml",
            "[[principal]]\ntype = \"User\"\nid = \"{sub}\"".to_owned(),
        ),
        ("templates.cedar", TEMPLATES.to_owned()),
        ("links.json", serde_json::to_string(&links).unwrap()),
    ]);
    let snapshot = Snapshot::compile(&files, &CompileOptions::default()).unwrap();
    let oracle = oracle();
    for user in ["ann", "bob", "cho", "dan"] {
        for doc in ["d1", "d2", "d3"] {
            for action in ["read", "write"] {
                let asked = format!("{user} {action} {doc}");
                assert_eq!(
                    ours(&snapshot, user, action, doc),
                    cedars(&oracle, user, action, doc),
                    "{asked}"
                );
            }
        }
    }
}

fn ours(snapshot: &Snapshot, user: &str, action: &str, doc: &str) -> (bool, Vec<String>) {
    let bare = |of_type: &str, id: &str| EntityFacts::bare(EntityRef::new(of_type, id));
    let decided = rehearse(
        snapshot,
        &Rehearsal {
            subject: &SubjectSpec::Entity(bare("User", user)),
            question: &CaseQuestion::Named {
                action: action.to_owned(),
                properties: Members::new(),
                resource: bare("Doc", doc),
            },
            entities: &[],
            context: &Members::new(),
            now: "2030-01-01T00:00:00Z".parse().unwrap(),
        },
    )
    .unwrap();
    let reasons = decided.decision.reasons.iter();
    (
        decided.decision.outcome == Outcome::Allow,
        reasons.map(|reason| reason.policy_id.to_string()).collect(),
    )
}

fn oracle() -> PolicySet {
    let mut set = PolicySet::new();
    for (n, text) in TEMPLATES.split_inclusive(';').enumerate().take(3) {
        let id = PolicyId::new(["share", "own", "lock"][n]);
        set.add_template(cedar_policy::Template::parse(Some(id), text).unwrap())
            .unwrap();
    }
    for (template, id, principal, resource) in LINKS {
        let slots: HashMap<SlotId, EntityUid> = [
            (SlotId::principal(), "User", principal),
            (SlotId::resource(), "Doc", resource),
        ]
        .into_iter()
        .filter_map(|(slot, of_type, eid)| Some((slot, uid(of_type, (*eid)?))))
        .collect();
        set.link(PolicyId::new(template), PolicyId::new(id), slots)
            .unwrap();
    }
    set
}

fn cedars(set: &PolicySet, user: &str, action: &str, doc: &str) -> (bool, Vec<String>) {
    let request = Request::new(
        uid("User", user),
        uid("Action", action),
        uid("Doc", doc),
        Context::empty(),
        None,
    );
    let response = Authorizer::new().is_authorized(&request.unwrap(), set, &Entities::empty());
    let mut reasons: Vec<String> = response
        .diagnostics()
        .reason()
        .map(ToString::to_string)
        .collect();
    reasons.sort();
    (response.decision() == Decision::Allow, reasons)
}

fn uid(of_type: &str, id: &str) -> EntityUid {
    format!("{of_type}::\"{id}\"").parse().unwrap()
}

use serde_json::{Value as Json, json};

use super::*;
use crate::{
    bundle::{BundleFiles, CompileOptions},
    model::{IssuerName, Members, Timestamp, Value},
    policy::core::{Uid, entity_value},
};

const SCHEMA: &str = "
entity Company;
entity Team in [Team, Company];
entity User in [Team] = { lead?: User };
action view appliesTo { principal: [User], resource: [Company] };
";
const RULES: &str = "
[[principal]]
type = \"User\"
id = \"{sub}\"
attributes = { lead = \"lead\" }
parents = [{ type = \"Team\", claim = \"teams\" }]
";

/// A snapshot whose team `t1` is in the team `above`.
fn snapshot(above: &str) -> Arc<Snapshot> {
    let entities = json!([
        {"uid": "Team::\"t1\"", "parents": [{"type": "Team", "id": above}]},
        {"uid": {"type": "Team", "id": above}, "parents": ["Company::\"acme\""]},
    ]);
    let files = BundleFiles::new([
        ("schema.cedarschema", SCHEMA.to_owned()),
        ("bundle.toml", RULES.to_owned()),
        (
            "all.cedar",
            "permit(principal, action, resource);".to_owned(),
        ),
        ("entities.json", entities.to_string()),
    ]);
    Arc::new(Snapshot::compile(&files, &CompileOptions::default()).unwrap())
}

fn claims(members: Json) -> Arc<Claims> {
    let Value::Record(all) = Value::from(members) else {
        unreachable!()
    };
    let text = |name: &str| all.get(name).and_then(Value::as_str).unwrap().to_owned();
    Arc::new(Claims {
        issuer: IssuerName::new("corp"),
        iss: "https://id.example.com/".to_owned(),
        sub: text("sub"),
        client_id: None,
        scopes: Vec::new(),
        acr: None,
        amr: None,
        auth_time: None,
        issued_at: None,
        expires_at: Timestamp::MAX,
        jti: None,
        actor: None,
        all: Members::clone(&all),
    })
}

fn ancestors(who: &Principal) -> Vec<String> {
    let mut names: Vec<_> = who
        .shared()
        .ancestors()
        .iter()
        .map(Uid::to_string)
        .collect();
    names.sort();
    names
}

#[test]
fn a_token_makes_one_principal_for_as_long_as_a_snapshot_is_served() {
    let live = LivePrincipals::default();
    let (old, new) = (snapshot("a"), snapshot("b"));
    let mine = claims(json!({"sub": "u1", "teams": ["t1"], "lead": "u2"}));
    let first = live
        .of(&old, &Arc::default(), "b")
        .of_claims(&old, &mine)
        .unwrap();
    let again = live
        .of(&old, &Arc::default(), "b")
        .of_claims(&old, &mine)
        .unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(
        ancestors(&first),
        ["Company::\"acme\"", "Team::\"a\"", "Team::\"t1\""],
        "indirect ones as well"
    );
    let lead = Some(entity_value("User::\"u2\"".parse().unwrap()));
    assert_eq!(first.shared().attribute("lead"), lead.as_ref());

    let equal = claims(json!({"sub": "u1", "teams": ["t1"], "lead": "u2"}));
    let other = live
        .of(&old, &Arc::default(), "b")
        .of_claims(&old, &equal)
        .unwrap();
    assert!(
        !Arc::ptr_eq(&first, &other),
        "another token, if an equal one"
    );

    let later = live
        .of(&new, &Arc::default(), "b")
        .of_claims(&new, &mine)
        .unwrap();
    assert_eq!(
        ancestors(&later),
        ["Company::\"acme\"", "Team::\"b\"", "Team::\"t1\""]
    );
}

#[test]
fn principals_of_a_snapshot_that_is_served_no_more_are_given_up() {
    let live = LivePrincipals::default();
    let (old, new) = (snapshot("a"), snapshot("b"));
    let mine = claims(json!({"sub": "u1", "teams": ["t1"]}));
    let pinned = live.of(&old, &Arc::default(), "b");
    let kept = Arc::downgrade(&pinned.of_claims(&old, &mine).unwrap());
    let gone = Arc::downgrade(&old);
    drop(old);
    assert!(gone.upgrade().is_none(), "they do not hold their snapshot");
    let next = live.of(&new, &Arc::default(), "b");
    assert!(!Arc::ptr_eq(&pinned, &next));
    drop(pinned);
    assert!(kept.upgrade().is_none());
}

#[test]
fn another_snapshot_is_never_answered_from_what_these_made() {
    let live = LivePrincipals::default();
    let (old, new) = (snapshot("a"), snapshot("b"));
    let mine = claims(json!({"sub": "u1", "teams": ["t1"]}));
    let principals = live.of(&old, &Arc::default(), "b");
    principals.of_claims(&old, &mine).unwrap();
    let made = principals.of_claims(&new, &mine).unwrap();
    assert!(ancestors(&made).contains(&"Team::\"b\"".to_owned()));
    let again = principals.of_claims(&old, &mine).unwrap();
    assert!(ancestors(&again).contains(&"Team::\"a\"".to_owned()));
}

#[test]
fn what_makes_no_principal_is_not_remembered() {
    let live = LivePrincipals::default();
    let snapshot = snapshot("a");
    let bad = claims(json!({"sub": "u1", "teams": 7}));
    let principals = live.of(&snapshot, &Arc::default(), "b");
    assert!(principals.of_claims(&snapshot, &bad).is_err());
    assert_eq!(principals.made.len(), 0);
}

#[test]
fn their_memory_is_bounded() {
    let snapshot = snapshot("a");
    let principals = Principals::new(Arc::downgrade(&snapshot), DirectoryView::default());
    let teams: Vec<String> = (0..900).map(|n| format!("t{n}")).collect();
    for n in 0..600 {
        let one = claims(json!({"sub": format!("u{n}"), "teams": teams}));
        principals.of_claims(&snapshot, &one).unwrap();
    }
    assert!(principals.made.weight() <= CAPACITY);
    assert!(principals.made.len() < 600, "some made room for others");
    assert!(principals.made.len() > 100, "and it is used");
}

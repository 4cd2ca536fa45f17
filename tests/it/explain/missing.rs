//! For random denials with one known missing fact, that fact is named first.

use doorward::{
    bundle::{BundleFiles, CaseQuestion, CompileOptions, Snapshot, SubjectSpec},
    model::{EntityFacts, Members, Outcome, Value},
    pdp::{Rehearsal, Telling, explain_rehearsal},
};
use proptest::{
    prelude::*,
    sample::subsequence,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value as Json, json};

use super::told_flips;

const CASES: u32 = 300;

const SCHEMA: &str = "
    entity Group in [Group]; entity Folder in [Folder];
    entity User in [Group] = { dept: String, level: Long, tags: Set<String>, vip?: Bool };
    entity Doc in [Folder] = { status: String, rank: Long, owner?: User, readers: Set<User> };
    action view appliesTo { principal: [User], resource: [Doc],
      context: { now: datetime, token?: Doorward::Token, ip: ipaddr, device?: { managed: Bool } } };
";

const MAPPING: &str = r#"
[[principal]]
type = "User"
id = "{sub}"
attributes = { dept = "dept", level = "level", tags = "tags", vip = "vip" }
parents = [{ type = "Group", claim = "groups" }]
[[entity]]
type = "Folder"
source = "request"
"#;

/// A condition that holds, where the fact is that makes it hold, what stands there instead when it is
/// missing, and how it is named.
struct Atom {
    text: &'static str,
    at: &'static str,
    missing: Json,
    named: &'static str,
}

fn atoms() -> Vec<Atom> {
    let atom = |text, at, missing, named| Atom {
        text,
        at,
        missing,
        named,
    };
    let nothing = || Json::Null;
    vec![
        atom(
            "principal in Group::\"g1\"",
            "/claims/groups",
            json!(["g0"]),
            "`principal` was in `Group::\"g1\"`",
        ),
        atom(
            "principal.dept == \"sales\"",
            "/claims/dept",
            json!("hr"),
            "`principal.dept` was `sales`",
        ),
        atom(
            "principal.level >= 5",
            "/claims/level",
            json!(2),
            "`principal.level` was `5`",
        ),
        atom(
            "principal.tags.contains(\"staff\")",
            "/claims/tags",
            json!(["guest"]),
            "`principal.tags` contained `staff`",
        ),
        atom(
            "(principal has vip && principal.vip)",
            "/claims/vip",
            nothing(),
            "`principal.vip` was `true`",
        ),
        atom(
            "context has token && context.token.scopes.contains(\"docs:read\")",
            "/claims/scope",
            json!("other"),
            "`context.token.scopes` contained `docs:read`",
        ),
        atom(
            "resource.status == \"open\"",
            "/resource/status",
            json!("shut"),
            "`resource.status` was `open`",
        ),
        atom(
            "resource.rank < 10",
            "/resource/rank",
            json!(10),
            "`resource.rank` was `9`",
        ),
        atom(
            "resource.readers.contains(principal)",
            "/resource/readers",
            json!(["bob"]),
            "`resource.readers` contained `User::\"alice\"`",
        ),
        atom(
            "resource has owner && resource.owner == principal",
            "/resource/owner",
            nothing(),
            "`resource.owner` was `User::\"alice\"`",
        ),
        atom(
            "resource in Folder::\"f1\"",
            "/folders",
            json!([]),
            "`resource` was in `Folder::\"f1\"`",
        ),
        atom(
            "context has device && context.device.managed",
            "/context/device",
            nothing(),
            "`context.device` was `{managed: true}`",
        ),
        atom(
            "context.ip.isInRange(ip(\"10.0.0.0/8\"))",
            "/context/ip",
            json!("192.0.2.1"),
            "`context.ip` was `ip(\"10.0.0.0/8\")`",
        ),
    ]
}

/// All facts by which every condition holds.
fn facts() -> Json {
    json!({
        "claims": { "sub": "alice", "dept": "sales", "level": 7, "tags": ["staff", "eu"],
                    "vip": true, "scope": "docs:read", "groups": ["g1"] },
        "resource": { "status": "open", "rank": 3, "owner": "alice", "readers": ["alice", "bob"] },
        "folders": ["f1"],
        "context": { "ip": "10.1.2.3", "device": { "managed": true } },
    })
}

/// Where the conditions stand: each in the permit, or as what a forbid spares.
fn rules(atoms: &[(&Atom, bool)], noise: u8) -> String {
    let joined = |in_permit: bool| {
        let texts = atoms.iter().filter(|(_, permit)| *permit == in_permit);
        let texts: Vec<String> = texts.map(|(atom, _)| format!("({})", atom.text)).collect();
        texts.join(" &&\n  ")
    };
    let mut text = match joined(true) {
        all if all.is_empty() => "@id(\"main\") permit (principal, action, resource);\n".to_owned(),
        all => {
            format!("@id(\"main\") permit (principal, action, resource) when {{\n  {all}\n}};\n")
        }
    };
    let spared = joined(false);
    if !spared.is_empty() {
        text.push_str(&format!(
            "@id(\"bar\") forbid (principal, action, resource) unless {{\n  {spared}\n}};\n"
        ));
    }
    for n in 0..noise {
        text.push_str(&format!(
            "@id(\"a{n}\") permit (principal in Group::\"x{n}\", action, resource in Folder::\"x{n}\")\n\
             when {{ principal.level > 1{n}0 && resource.rank > 2{n}0 }};\n"
        ));
    }
    text
}

fn named(rules: &str, facts: &Json) -> (Outcome, Vec<String>) {
    let files = BundleFiles::new([
        ("schema.cedarschema", SCHEMA.to_owned()),
        ("bundle.toml", MAPPING.to_owned()),
        ("all.cedar", rules.to_owned()),
    ]);
    let snapshot = Snapshot::compile(&files, &CompileOptions::default()).unwrap();
    let members = |at: &str| -> Members {
        let map = facts[at].as_object().unwrap().clone();
        map.into_iter()
            .map(|(name, it)| (name, Value::from(it)))
            .collect()
    };
    let folders = facts["folders"].as_array().unwrap().iter();
    let question = CaseQuestion::Named {
        action: "view".to_owned(),
        properties: Members::new(),
        resource: EntityFacts {
            uid: "Doc::\"d\"".parse().unwrap(),
            attributes: members("resource"),
            parents: folders
                .map(|it| format!("Folder::{it}").parse().unwrap())
                .collect(),
        },
    };
    let rehearsal = Rehearsal {
        subject: &SubjectSpec::Claims {
            claims: members("claims"),
            issuer: None,
        },
        question: &question,
        entities: &[],
        context: &members("context"),
        now: crate::kit::now(),
    };
    let found = explain_rehearsal(&snapshot, &rehearsal, Telling::ALL).unwrap();
    let flips = told_flips(&found);
    (found.decision.outcome, flips)
}

fn without(mut facts: Json, atom: &Atom) -> Json {
    *facts.pointer_mut(atom.at).unwrap() = atom.missing.clone();
    facts
}

#[test]
fn each_kind_of_missing_fact_is_named() {
    for atom in atoms() {
        for in_permit in [true, false] {
            let rules = rules(&[(&atom, in_permit)], 2);
            assert_eq!(named(&rules, &facts()).0, Outcome::Allow, "{}", atom.text);
            let (outcome, flips) = named(&rules, &without(facts(), &atom));
            assert_eq!(outcome, Outcome::Deny, "{}", atom.text);
            let first = flips.first().map(String::as_str);
            assert_eq!(first, Some(atom.named), "{} {flips:#?}", atom.text);
        }
    }
}

#[test]
fn the_one_missing_fact_is_named_first() {
    let atoms = atoms();
    let all: Vec<usize> = (0..atoms.len()).collect();
    let some = subsequence(all, 1..=6).prop_flat_map(|picked| {
        let count = picked.len();
        let permits = proptest::collection::vec(any::<bool>(), count);
        (Just(picked), permits, 0..count, 0..5u8)
    });
    let (mut asked, mut first) = (0, 0);
    let counts = std::cell::RefCell::new((&mut asked, &mut first));
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&some, |(picked, permits, broken, noise)| {
        let chosen: Vec<(&Atom, bool)> = picked
            .iter()
            .zip(&permits)
            .map(|(n, permit)| (&atoms[*n], *permit))
            .collect();
        let rules = rules(&chosen, noise);
        let (atom, _) = chosen[broken];
        let (outcome, flips) = named(&rules, &without(facts(), atom));
        prop_assert_eq!(outcome, Outcome::Deny);
        let mut counts = counts.borrow_mut();
        *counts.0 += 1;
        match flips.first() {
            Some(flip) if flip == atom.named => *counts.1 += 1,
            other => println!("{} is missing, named is {other:?} in\n{rules}", atom.text),
        }
        Ok(())
    });
    result.unwrap();
    println!("named first: {first} of {asked}");
    assert!(
        asked >= CASES && first * 100 >= asked * 99,
        "{first} of {asked}"
    );
}

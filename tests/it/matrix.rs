//! Who may do what in the example bundle, checked in as `tests/golden/matrix.txt`: a change of the
//! rules shows which cells it changes. `DOORWARD_BLESS=1` writes the table anew.

use std::{env, fmt::Write, fs, path::Path};

use doorward::{
    bundle::{BundleFiles, BundleLimits, CaseQuestion, CompileOptions, Snapshot, SubjectSpec},
    model::{EntityFacts, Members, Value},
    pdp::{Rehearsal, rehearse},
};
use serde_json::{Value as Json, json};

const NOW: &str = "2030-01-01T09:00:00Z";
const GOLDEN: &str = "tests/golden/matrix.txt";

/// Each action, a resource with what the asker states of it, and the action's own context.
fn questions() -> Vec<(&'static str, EntityFacts, Json)> {
    let acme = || "Tenant::\"acme\"".parse().unwrap();
    let tenant = || EntityFacts::bare(acme());
    let order = || EntityFacts {
        uid: "Order::\"o-1\"".parse().unwrap(),
        attributes: members(
            json!({ "tenant": "acme", "owner": "dave", "status": "paid", "total": 4200 }),
        ),
        parents: vec![acme()],
    };
    let document = || EntityFacts {
        attributes: members(json!({ "project": "atlas", "owner": "alice" })),
        ..EntityFacts::bare("Document::\"d-1\"".parse().unwrap())
    };
    let page = EntityFacts::bare("Page::\"terms\"".parse().unwrap());
    let none = || json!({});
    vec![
        ("ListOrders", tenant(), none()),
        ("ReadOrder", order(), none()),
        ("CreateOrder", tenant(), none()),
        ("UpdateOrder", order(), none()),
        ("CancelOrder", order(), none()),
        ("ShipOrder", order(), none()),
        ("RefundOrder", order(), json!({ "amount": 4200 })),
        ("ExportOrders", tenant(), none()),
        ("ReadDocument", document(), none()),
        ("EditDocument", document(), none()),
        (
            "ShareDocument",
            document(),
            json!({ "audience": "everyone" }),
        ),
        ("ReadPage", page, none()),
    ]
}

fn subjects() -> Vec<(&'static str, Option<Json>)> {
    const ALL: &str = "orders:read orders:write";
    // A second factor at 08:58:00.
    let mfa = |sub: &str, tenant: &str| {
        json!({ "sub": sub, "tenant": tenant, "scope": ALL, "roles": ["manager"],
                "acr": "urn:acr:mfa", "auth_time": 1_893_488_280 })
    };
    let user = |sub: &str, tenant: &str, scope: &str, role: &str| {
        Some(json!({ "sub": sub, "tenant": tenant, "scope": scope, "roles": [role] }))
    };
    let service =
        |name: &str, scope: &str| Some(json!({ "sub": name, "client_id": name, "scope": scope }));
    vec![
        ("nobody", None),
        ("clerk", user("alice", "acme", ALL, "clerk")),
        (
            "clerk, read scope",
            user("alice", "acme", "orders:read", "clerk"),
        ),
        ("clerk, no scope", user("alice", "acme", "", "clerk")),
        (
            "clerk, by support",
            Some(json!({ "sub": "alice", "tenant": "acme", "scope": ALL,
            "roles": ["clerk"], "act": { "sub": "support-7" } })),
        ),
        ("manager", user("bob", "acme", ALL, "manager")),
        ("manager, mfa", Some(mfa("bob", "acme"))),
        ("auditor", user("carol", "acme", "orders:read", "auditor")),
        (
            "lead and owner",
            Some(json!({ "sub": "dave", "tenant": "acme",
            "scope": "orders:read", "groups": ["eng-atlas"] })),
        ),
        ("another's manager, mfa", Some(mfa("erin", "globex"))),
        ("suspended manager, mfa", Some(mfa("peter", "initech"))),
        (
            "unknown tenant's clerk",
            user("mallory", "umbrella", ALL, "clerk"),
        ),
        ("forecast", service("forecast", "orders:read")),
        ("shipping", service("shipping", "orders:ship")),
    ]
}

#[test]
fn who_may_do_what_is_as_checked_in() {
    let snapshot = BundleFiles::read(Path::new("policies"), BundleLimits::default())
        .and_then(|files| Snapshot::compile(&files, &CompileOptions::default()))
        .unwrap();
    let questions = questions();
    for action in snapshot.schema.actions() {
        let name = action.uid.eid().escaped();
        assert!(
            action.resources.is_empty() || questions.iter().any(|(known, ..)| *known == name),
            "no row for action `{name}`: add one to `questions`"
        );
    }
    let mut found = String::new();
    for (action, resource, context) in questions {
        for (name, claims) in subjects() {
            let cell = cell(&snapshot, claims, action, &resource, &context);
            let line = format!("{action:<14} {name:<24} {cell}");
            writeln!(found, "{}", line.trim_end()).unwrap();
        }
        writeln!(found).unwrap();
    }
    compare(&found);
}

fn cell(
    snapshot: &Snapshot,
    claims: Option<Json>,
    action: &str,
    resource: &EntityFacts,
    context: &Json,
) -> String {
    let subject = match claims {
        Some(claims) => SubjectSpec::Claims {
            claims: members(claims),
            issuer: None,
        },
        None => SubjectSpec::Anonymous,
    };
    let question = CaseQuestion::Named {
        action: action.to_owned(),
        properties: Members::new(),
        resource: resource.clone(),
    };
    let rehearsal = Rehearsal {
        subject: &subject,
        question: &question,
        entities: &[],
        context: &members(context.clone()),
        now: NOW.parse().unwrap(),
    };
    match rehearse(snapshot, &rehearsal) {
        Err(refusal) => format!("refused {}", refusal.reason()),
        Ok(decided) => {
            let decision = decided.decision;
            let reasons = decision.reasons.iter().map(|it| it.policy_id.to_string());
            let errors = decision
                .errors
                .iter()
                .map(|it| format!("{} failed", it.policy_id));
            let why: Vec<String> = reasons.chain(errors).collect();
            format!("{:<7} {}", decision.outcome.as_str(), why.join(", "))
        }
    }
}

fn members(json: Json) -> Members {
    match Value::from(json) {
        Value::Record(members) => members,
        other => panic!("not an object: {other:?}"),
    }
}

fn compare(found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if env::var_os("DOORWARD_BLESS").is_some() {
        fs::write(&path, found).unwrap();
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let only_in = |these: &str, those: &str, sign: char| -> String {
        these
            .lines()
            .filter(|line| !those.lines().any(|other| other == *line))
            .map(|line| format!("\n{sign} {line}"))
            .collect()
    };
    assert!(
        golden == found,
        "{GOLDEN} differs; if it shall, run with DOORWARD_BLESS=1 and read the change{}{}",
        only_in(&golden, found, '-'),
        only_in(found, &golden, '+'),
    );
}

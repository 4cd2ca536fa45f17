//! Bundles of any size whose requests meet a known number of candidate policies.

use std::fmt::Write;

use doorward::{
    bundle::{BundleFiles, CompileOptions, Snapshot},
    model::{EntityFacts, EntityRef, Value},
};

const SCHEMA: &str = r#"
entity Team, Tenant;
entity User in [Team] = { tenant: Tenant, level: Long, dept: String };
entity Folder in [Folder, Tenant];
entity Doc in [Folder] = { tenant: Tenant, owner: User, rank: Long, status: String };
action view, edit, share appliesTo {
  principal: [User], resource: [Doc], context: { now: datetime, token?: Doorward::Token, risk: Long },
};
"#;

const MAPPING: &str = r#"
[[principal]]
type = "User"
id = "{sub}"
attributes = { tenant = "tenant", level = "level", dept = "dept" }
parents = [{ type = "Team", claim = "teams" }]
"#;

/// A bundle of `policies` policies, of which every request about team 0 and folder 0 meets
/// `candidates`; each of those compares `comparisons` attributes and one in four permits.
pub(crate) fn files(policies: usize, candidates: usize, comparisons: usize) -> BundleFiles {
    let mut text = String::new();
    let compare = [
        "principal.tenant == resource.tenant",
        "resource.rank <= principal.level",
        "context.risk < 50",
        "resource.status == \"open\"",
    ];
    for n in 0..policies {
        let near = n < candidates;
        let (team, folder) = if near {
            (0, 0)
        } else {
            (1 + n % 5_000, 1 + n / 5)
        };
        let head = format!(
            "principal in Team::\"t{team}\", action == Action::\"view\", resource in Folder::\"f{folder}\""
        );
        let holds = n % 4 == 0;
        let conditions = compare
            .iter()
            .cycle()
            .take(comparisons)
            .copied()
            .collect::<Vec<_>>()
            .join(" && ");
        let last = if holds {
            "true"
        } else {
            "resource.rank > 1000"
        };
        writeln!(
            text,
            "@id(\"p{n}\")\npermit({head}) when {{ {conditions} && {last} }};"
        )
        .unwrap();
    }
    BundleFiles::new([
        ("schema.cedarschema", SCHEMA.to_owned()),
        ("bundle.toml", MAPPING.to_owned()),
        ("all.cedar", text),
    ])
}

pub(crate) fn snapshot(policies: usize, candidates: usize, comparisons: usize) -> Snapshot {
    Snapshot::compile(
        &files(policies, candidates, comparisons),
        &CompileOptions::default(),
    )
    .unwrap()
}

/// The claims of a user of six teams.
pub(crate) fn claims(sub: &str) -> serde_json::Value {
    serde_json::json!({
        "sub": sub, "client_id": "web", "tenant": "acme", "level": 5, "dept": "sales",
        "scope": "docs:read docs:write", "teams": ["t0", "x1", "x2", "x3", "x4", "x5"],
    })
}

/// A document in folder 0.
pub(crate) fn doc(id: &str) -> EntityFacts {
    let text = |text: &str| Value::String(text.to_owned());
    EntityFacts {
        uid: EntityRef::new("Doc", id),
        attributes: [
            ("tenant".to_owned(), text("acme")),
            ("owner".to_owned(), text("alice")),
            ("rank".to_owned(), Value::Long(3)),
            ("status".to_owned(), text("open")),
        ]
        .into(),
        parents: vec![EntityRef::new("Folder", "f0")],
    }
}

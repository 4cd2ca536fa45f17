//! Bundles of any size in which every request meets a known number of candidates, and what asks them.
#![expect(dead_code, reason = "each bench uses its part")]

#[expect(clippy::indexing_slicing, reason = "a bench that panics has failed")]
#[path = "../../tests/it/oracle/dice.rs"]
pub(crate) mod dice;
pub(crate) mod kit;

use std::fmt::Write;

use doorward::{
    bundle::{BundleFiles, CompileOptions, Snapshot},
    model::{EntityFacts, EntityRef, Value},
    policy::TextLimits,
};

const SCHEMA: &str = r#"
entity Team, Tenant;
entity User in [Team] = { tenant: Tenant, level: Long, dept: String };
entity Folder in [Folder, Tenant];
entity Doc in [Folder] = {
  tenant: Tenant, owner: User, rank: Long, status: String,
  region: String, size: Long, kind: String, label: String,
};
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

/// What a bundle is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) policies: usize,
    /// Policies that a request meets: those of its team and folder.
    pub(crate) candidates: usize,
    /// Comparisons that each of them makes.
    pub(crate) comparisons: usize,
}

impl Shape {
    /// Pairs of a team and a folder; each has `candidates` policies to itself.
    pub(crate) fn groups(self) -> usize {
        (self.policies / self.candidates).max(1)
    }

    /// The first policy of four permits, and only after all of its comparisons.
    pub(crate) fn files(self) -> BundleFiles {
        let holding = [
            "principal.tenant == resource.tenant",
            "resource.rank <= principal.level",
            "context.risk < 50",
            "resource.status == \"open\"",
        ];
        let mut text = String::new();
        for n in 0..self.policies {
            let group = n / self.candidates;
            let mut compared: Vec<&str> = holding
                .iter()
                .copied()
                .cycle()
                .take(self.comparisons)
                .collect();
            if !n.is_multiple_of(4)
                && let Some(last) = compared.last_mut()
            {
                *last = "resource.rank > 1000";
            }
            writeln!(
                text,
                "@id(\"p{n}\")\npermit(principal in Team::\"t{group}\", action == Action::\"view\", \
                 resource in Folder::\"f{group}\") when {{ {} }};",
                compared.join(" && ")
            )
            .unwrap();
        }
        BundleFiles::new([
            ("schema.cedarschema", SCHEMA.to_owned()),
            ("bundle.toml", MAPPING.to_owned()),
            ("all.cedar", text),
        ])
    }

    pub(crate) fn snapshot(self) -> Snapshot {
        Snapshot::compile(&self.files(), &options()).unwrap()
    }
}

/// As the server has them, for any number of policies.
pub(crate) fn options() -> CompileOptions {
    CompileOptions {
        text: TextLimits {
            file_bytes: usize::MAX,
            policies: usize::MAX,
            ..TextLimits::default()
        },
        ..CompileOptions::default()
    }
}

/// The claims of a user of six teams, of which one has policies.
pub(crate) fn claims(group: usize) -> serde_json::Value {
    serde_json::json!({
        "tenant": "acme", "level": 5, "dept": "sales", "email": "somebody@customer.example",
        "name": "Some Body", "scope": "docs:read docs:write docs:share profile",
        "teams": [format!("t{group}"), "x1", "x2", "x3", "x4", "x5"],
    })
}

/// A document with eight attributes, in the folder of a group.
pub(crate) fn doc(id: &str, group: usize) -> EntityFacts {
    let text = |text: &str| Value::String(text.to_owned());
    let attributes = [
        ("tenant", text("acme")),
        ("owner", text("alice")),
        ("rank", Value::Long(3)),
        ("status", text("open")),
        ("region", text("eu-central-1")),
        ("size", Value::Long(48_213)),
        ("kind", text("invoice")),
        ("label", text("internal")),
    ];
    EntityFacts {
        uid: EntityRef::new("Doc", id),
        attributes: attributes
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        parents: vec![EntityRef::new("Folder", format!("f{group}"))],
    }
}

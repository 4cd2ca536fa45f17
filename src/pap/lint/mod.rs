//! What is valid and still deserves a second look.
//!
//! Each lint has a code, a page under `docs/lints/`, and an opt-out: `@allow_lint("CODE: REASON")` on
//! the policy, or on the part of the schema.

mod policies;
mod schema;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use super::publish::warnings;
use crate::{
    bundle::{BundleFiles, Snapshot},
    policy::{AllowedLint, Envs, Fault, Policy, Survey},
};

/// One lint.
#[derive(Clone, Copy, Debug)]
pub struct Lint {
    /// Its code, stable for scripts.
    pub code: &'static str,
    /// Its page: what it finds, why that matters, what to do.
    pub page: &'static str,
}

macro_rules! lints {
    ($($code:literal,)*) => {
        &[$(Lint {
            code: $code,
            page: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lints/", $code, ".md")),
        },)*]
    };
}

/// Every lint, by code.
pub const LINTS: &[Lint] = lints![
    "entity_list",
    "forbid_may_fail",
    "impossible_policy",
    "invisible_character",
    "many_candidates",
    "needless_allow_lint",
    "nothing_permits",
    "permit_without_tenant_guard",
    "permits_all",
    "read_without_has",
    "shadowed_policy",
    "unused_schema",
];

/// A policy with what the lints ask about it.
struct Looked<'s> {
    policy: &'s Policy,
    survey: Survey,
    applies: Vec<Envs<'s>>,
}

/// Looks at a valid bundle; what its author allows is left out.
pub fn lint(files: &BundleFiles, snapshot: &Snapshot) -> Vec<Fault> {
    let policies = snapshot.policies.policies().iter();
    // The links of a template are one text.
    let by_place: BTreeMap<_, _> = policies.rev().map(|it| (&it.place, it)).collect();
    let looked: Vec<Looked<'_>> = by_place
        .into_values()
        .map(|policy| Looked {
            policy,
            survey: policy.survey(&snapshot.schema),
            applies: policy.applies(&snapshot.schema),
        })
        .collect();
    let mut allowed = Allowed::default();
    let mut found: Vec<Fault> = text::lints(files);
    // Those of a policy are told below, by what they are about.
    let warned = warnings(snapshot).into_iter();
    found.extend(warned.filter(|it| it.place.is_none()));
    policies::lints(&looked, snapshot, &mut allowed, &mut found);
    schema::lints(&looked, files, snapshot, &mut found);
    for it in &looked {
        for AllowedLint { code, .. } in it.policy.allowed_lints() {
            if !allowed
                .used
                .contains(&(it.policy.id.to_string(), code.to_string()))
            {
                found.push(needless(code).placed(&it.policy.place));
            }
        }
    }
    found.sort_by(|a, b| (&a.place, a.rule).cmp(&(&b.place, b.rule)));
    found
}

/// What authors allow, and which of it something would have been told of.
#[derive(Default)]
struct Allowed {
    /// Policy and code.
    used: BTreeSet<(String, String)>,
}

impl Allowed {
    /// Whether the policy allows the lint, which applies to it.
    fn covers(&mut self, policy: &Policy, code: &'static str) -> bool {
        let allows = policy.allows_lint(code);
        if allows {
            self.used.insert((policy.id.to_string(), code.to_owned()));
        }
        allows
    }
}

fn needless(code: &str) -> Fault {
    let (message, help) = match LINTS.iter().any(|lint| lint.code == code) {
        true => (
            format!("allows `{code}`, which there is nothing of here"),
            "take the annotation away".to_owned(),
        ),
        false => {
            let known = LINTS.iter().map(|lint| lint.code);
            let near = crate::policy::closest(code, known);
            let help = near.map_or("see `doorward lint --list`".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
            (format!("allows `{code}`, which is no lint"), help)
        }
    };
    Fault::general("needless_allow_lint", message).help(help)
}

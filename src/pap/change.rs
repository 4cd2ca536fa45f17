//! What one publication changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::publish::listed;
use crate::{bundle::Snapshot, policy::Policy};

/// How a bundle differs from the one served before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Whether nothing was served before.
    #[serde(default)]
    pub first: bool,
    /// The ids of policies that were not there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub added: BTreeSet<Arc<str>>,
    /// The ids of policies that are gone.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removed: BTreeSet<Arc<str>>,
    /// The ids of policies whose text differs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub changed: BTreeSet<Arc<str>>,
    /// Whether the schema differs.
    #[serde(default)]
    pub schema: bool,
    /// The other files that differ: mapping, routes, entities, links.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub files: BTreeSet<Arc<str>>,
}

impl Change {
    /// Compares by id and text; where a policy stands in its file does not count.
    pub(super) fn between(before: Option<&Snapshot>, after: &Snapshot) -> Self {
        let Some(before) = before else {
            return Self {
                first: true,
                ..Self::default()
            };
        };
        let (old, new) = (by_id(before), by_id(after));
        let ids_not_in = |these: &ById<'_>, those: &ById<'_>| {
            let ids = these.keys().filter(|id| !those.contains_key(*id));
            ids.map(|id| Arc::clone(id)).collect()
        };
        let changed = new.iter().filter(|(id, policy)| {
            old.get(*id)
                .is_some_and(|before| before.source() != policy.source())
        });
        let files: BTreeSet<&Arc<str>> = before
            .manifest
            .keys()
            .chain(after.manifest.keys())
            .collect();
        // Policies are told by their ids.
        let differ = |file: &&Arc<str>| {
            !file.ends_with(".cedar") && before.manifest.get(*file) != after.manifest.get(*file)
        };
        let mut files: BTreeSet<Arc<str>> = files.into_iter().filter(differ).cloned().collect();
        Self {
            first: false,
            added: ids_not_in(&new, &old),
            removed: ids_not_in(&old, &new),
            changed: changed.map(|(id, _)| Arc::clone(id)).collect(),
            schema: files.remove("schema.cedarschema"),
            files,
        }
    }
}

type ById<'s> = BTreeMap<&'s Arc<str>, &'s Policy>;

fn by_id(snapshot: &Snapshot) -> ById<'_> {
    let policies = snapshot.policies.policies().iter();
    policies.map(|policy| (&policy.id, policy)).collect()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first {
            return f.write_str("the first here");
        }
        let mut parts = Vec::new();
        for (what, ids) in [
            ("added", &self.added),
            ("removed", &self.removed),
            ("changed", &self.changed),
        ] {
            if !ids.is_empty() {
                parts.push(format!("{what} {}", listed(ids)));
            }
        }
        if self.schema {
            parts.push("schema changed".into());
        }
        if !self.files.is_empty() {
            parts.push(format!("files changed {}", listed(&self.files)));
        }
        match parts.is_empty() {
            true => f.write_str("no rule changed"),
            false => f.write_str(&parts.join("; ")),
        }
    }
}

//! Random bundles, entities and requests.

use std::collections::BTreeSet;

use doorward::{
    bundle::BundleFiles,
    model::{EntityFacts, EntityRef, Value},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value as Json, json};

const SCHEMA: &str = r#"
entity Tenant = { plan: String };
entity Group in [Group, Tenant];
entity User in [Group] = { dept: String, level: Long, tenant: Tenant, manager?: User };
entity Folder in [Folder] = { owner: User };
entity Doc in [Folder] = { owner: User, rank: Long, folder?: Folder, readers: Set<User>, meta: { by?: User } };
action rw;
action view, edit in [rw] appliesTo {
  principal: [User], resource: [Doc],
  context: { now: datetime, level: Long, delegate?: User, peers?: Set<User> },
};
"#;

/// Who states the facts about a type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Owner {
    Bundle,
    Request,
    Directory,
}

#[derive(Clone, Debug)]
struct User {
    dept: u8,
    level: i8,
    tenant: u8,
    manager: Option<u8>,
    groups: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Doc {
    owner: u8,
    rank: i8,
    folder: Option<u8>,
    readers: Vec<u8>,
    by: Option<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) policies: Vec<String>,
    users: Vec<User>,
    /// Parents of each group, of greater number only.
    groups: Vec<Vec<u8>>,
    /// Parents and owner of each folder.
    folders: Vec<(Vec<u8>, u8)>,
    docs: Vec<Doc>,
    user_owner: Owner,
    doc_owner: Owner,
    folder_owner: Owner,
}

#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) principal: u8,
    pub(crate) edit: bool,
    pub(crate) resource: u8,
    pub(crate) level: i64,
    pub(crate) delegate: Option<u8>,
    pub(crate) peers: Option<Vec<u8>>,
}

fn condition() -> impl Strategy<Value = String> {
    let user = prop_oneof![
        Just("principal".to_owned()),
        Just("resource.owner".to_owned()),
        (0..9u8).prop_map(|_| "resource.owner".to_owned()),
    ];
    let leaf = prop_oneof![
        (user.clone(), -2..3i8).prop_map(|(u, n)| format!("{u}.level > {n}")),
        (user.clone(), 0..3u8).prop_map(|(u, n)| format!("{u}.dept == \"d{n}\"")),
        (user.clone(), 0..7u8).prop_map(|(u, n)| format!("{u} in Group::\"g{n}\"")),
        (user.clone(), 0..4u8).prop_map(|(u, n)| format!("{u} in Tenant::\"t{n}\"")),
        (user.clone(), 0..2u8).prop_map(|(u, n)| format!("{u}.tenant.plan == \"p{n}\"")),
        (user.clone(), 0..3i8)
            .prop_map(|(u, n)| format!("({u} has manager && {u}.manager.level > {n})")),
        (user, 0..7u8)
            .prop_map(|(u, n)| format!("({u} has manager && {u}.manager in Group::\"g{n}\")")),
        (0..5u8).prop_map(|n| format!("resource in Folder::\"f{n}\"")),
        (-2..3i8).prop_map(|n| format!("resource.rank < {n}")),
        (0..7u8)
            .prop_map(|n| format!("(context has delegate && context.delegate in Group::\"g{n}\")")),
        (0..3i8).prop_map(|n| format!("(context has delegate && context.delegate.level > {n})")),
        (0..7u8)
            .prop_map(|n| format!("(context has peers && context.peers.contains(User::\"u{n}\"))")),
        Just("(context has delegate && context.delegate has manager)".to_owned()),
        Just("resource.owner == principal".to_owned()),
        Just("resource.readers.contains(principal)".to_owned()),
        Just("principal.tenant == resource.owner.tenant".to_owned()),
        Just("(resource has folder && resource.folder.owner == principal)".to_owned()),
        Just("(resource has folder && resource.folder.owner.dept == principal.dept)".to_owned()),
        Just("(resource.meta has by && resource.meta.by.level > 0)".to_owned()),
        Just("context.level + 9223372036854775806 > 0".to_owned()),
        Just("context.now > datetime(\"2029-12-31\")".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

fn policy() -> impl Strategy<Value = String> {
    let principal = prop_oneof![
        3 => Just("principal".to_owned()),
        1 => (0..7u8).prop_map(|n| format!("principal == User::\"u{n}\"")),
        2 => (0..7u8).prop_map(|n| format!("principal in Group::\"g{n}\"")),
        1 => Just("principal is User".to_owned()),
        1 => (0..4u8).prop_map(|n| format!("principal is User in Tenant::\"t{n}\"")),
    ];
    let action = prop_oneof![
        Just("action".to_owned()),
        Just("action == Action::\"view\"".to_owned()),
        Just("action in Action::\"rw\"".to_owned()),
        Just("action in [Action::\"view\", Action::\"edit\"]".to_owned()),
    ];
    let resource = prop_oneof![
        3 => Just("resource".to_owned()),
        1 => (0..7u8).prop_map(|n| format!("resource == Doc::\"d{n}\"")),
        1 => (0..5u8).prop_map(|n| format!("resource in Folder::\"f{n}\"")),
        1 => (0..5u8).prop_map(|n| format!("resource is Doc in Folder::\"f{n}\"")),
    ];
    let effect = prop_oneof![2 => Just("permit"), 1 => Just("forbid")];
    let clauses = vec(
        (prop_oneof![Just("when"), Just("unless")], condition()),
        0..3,
    );
    (effect, principal, action, resource, clauses).prop_map(|(effect, p, a, r, clauses)| {
        let clauses: String = clauses
            .iter()
            .map(|(word, text)| format!(" {word} {{ {text} }}"))
            .collect();
        format!("{effect}({p}, {a}, {r}){clauses};")
    })
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let user = (
        0..3u8,
        -2..3i8,
        0..4u8,
        proptest::option::of(0..7u8),
        vec(0..7u8, 0..3),
    )
        .prop_map(|(dept, level, tenant, manager, groups)| User {
            dept,
            level,
            tenant,
            manager,
            groups,
        });
    let doc = (
        0..7u8,
        -2..3i8,
        proptest::option::of(0..5u8),
        vec(0..7u8, 0..3),
        proptest::option::of(0..7u8),
    )
        .prop_map(|(owner, rank, folder, readers, by)| Doc {
            owner,
            rank,
            folder,
            readers,
            by,
        });
    let owner = || prop_oneof![Just(Owner::Bundle), Just(Owner::Request)];
    (
        vec(policy(), 1..10),
        vec(user, 6),
        vec(vec(0..7u8, 0..3), 6),
        vec((vec(0..5u8, 0..2), 0..7u8), 4),
        vec(doc, 6),
        (owner(), owner(), owner()),
    )
        .prop_map(|(policies, users, groups, folders, docs, owners)| World {
            policies,
            users,
            groups,
            folders,
            docs,
            user_owner: owners.0,
            doc_owner: owners.1,
            folder_owner: owners.2,
        })
}

pub(crate) fn ask() -> impl Strategy<Value = Ask> {
    let level = prop_oneof![3 => -5..5i64, 1 => Just(i64::MAX)];
    let peers = proptest::option::of(vec(0..7u8, 0..3));
    (
        0..6u8,
        any::<bool>(),
        0..6u8,
        level,
        proptest::option::of(0..7u8),
        peers,
    )
        .prop_map(|(principal, edit, resource, level, delegate, peers)| Ask {
            principal,
            edit,
            resource,
            level,
            delegate,
            peers,
        })
}

/// One entity, in Doorward's words and in Cedar's.
pub(crate) struct Both {
    pub(crate) facts: EntityFacts,
    pub(crate) cedar: Json,
}

pub(crate) fn escape(kind: &str, id: &str) -> Json {
    json!({ "__entity": { "type": kind, "id": id } })
}

fn both(
    kind: &str,
    id: String,
    attributes: &[(&str, Json, Json)],
    parents: &[(&str, String)],
) -> Both {
    let ours = attributes
        .iter()
        .map(|(name, ours, _)| ((*name).to_owned(), Value::from(ours.clone())));
    let theirs: serde_json::Map<String, Json> = attributes
        .iter()
        .map(|(name, _, theirs)| ((*name).to_owned(), theirs.clone()))
        .collect();
    let listed: Vec<Json> = parents
        .iter()
        .map(|(kind, id)| json!({ "type": kind, "id": id }))
        .collect();
    Both {
        cedar: json!({ "uid": { "type": kind, "id": id }, "attrs": theirs, "parents": listed }),
        facts: EntityFacts {
            uid: EntityRef::new(kind, id),
            attributes: ours.collect(),
            parents: parents
                .iter()
                .map(|(kind, id)| EntityRef::new(*kind, id.clone()))
                .collect(),
        },
    }
}

impl World {
    /// The same, with what requests would state stored in the directory.
    pub(crate) fn in_directory(self) -> Self {
        let stored = |owner| match owner {
            Owner::Request => Owner::Directory,
            owner => owner,
        };
        Self {
            user_owner: stored(self.user_owner),
            doc_owner: stored(self.doc_owner),
            folder_owner: stored(self.folder_owner),
            ..self
        }
    }

    pub(crate) fn entities(&self) -> Vec<(Owner, Both)> {
        let mut all = Vec::new();
        for n in 0..3 {
            let plan = json!(format!("p{}", n % 2));
            let tenant = both(
                "Tenant",
                format!("t{n}"),
                &[("plan", plan.clone(), plan)],
                &[],
            );
            all.push((Owner::Bundle, tenant));
        }
        for (n, parents) in self.groups.iter().enumerate() {
            let greater = parents.iter().filter(|p| usize::from(**p) > n);
            let mut parents: BTreeSet<(&str, String)> =
                greater.map(|p| ("Group", format!("g{p}"))).collect();
            if n == 5 {
                parents.insert(("Tenant", "t0".to_owned()));
            }
            let parents: Vec<_> = parents.into_iter().collect();
            all.push((Owner::Bundle, both("Group", format!("g{n}"), &[], &parents)));
        }
        let reference = |kind: &str, id: String| (json!(id), escape(kind, &id));
        for (n, user) in self.users.iter().enumerate() {
            let (tenant, tenant_) = reference("Tenant", format!("t{}", user.tenant));
            let dept = json!(format!("d{}", user.dept));
            let level = json!(user.level);
            let mut attributes = vec![
                ("dept", dept.clone(), dept),
                ("level", level.clone(), level),
                ("tenant", tenant, tenant_),
            ];
            if let Some(manager) = user.manager {
                let (manager, manager_) = reference("User", format!("u{manager}"));
                attributes.push(("manager", manager, manager_));
            }
            let groups: BTreeSet<u8> = user.groups.iter().copied().collect();
            let groups: Vec<_> = groups.iter().map(|g| ("Group", format!("g{g}"))).collect();
            all.push((
                self.user_owner,
                both("User", format!("u{n}"), &attributes, &groups),
            ));
        }
        for (n, (parents, owner)) in self.folders.iter().enumerate() {
            let (owner, owner_) = reference("User", format!("u{owner}"));
            let greater: BTreeSet<u8> = parents
                .iter()
                .copied()
                .filter(|p| usize::from(*p) > n)
                .collect();
            let parents: Vec<_> = greater
                .iter()
                .map(|p| ("Folder", format!("f{p}")))
                .collect();
            all.push((
                self.folder_owner,
                both(
                    "Folder",
                    format!("f{n}"),
                    &[("owner", owner, owner_)],
                    &parents,
                ),
            ));
        }
        for (n, doc) in self.docs.iter().enumerate() {
            let (owner, owner_) = reference("User", format!("u{}", doc.owner));
            let rank = json!(doc.rank);
            let readers: Vec<_> = doc
                .readers
                .iter()
                .map(|u| reference("User", format!("u{u}")))
                .collect();
            let (readers, readers_): (Vec<_>, Vec<_>) = readers.into_iter().unzip();
            let by = doc.by.map(|by| reference("User", format!("u{by}")));
            let (meta, meta_) = match by {
                Some((by, by_)) => (json!({ "by": by }), json!({ "by": by_ })),
                None => (json!({}), json!({})),
            };
            let mut attributes = vec![
                ("owner", owner, owner_),
                ("rank", rank.clone(), rank),
                ("readers", json!(readers), json!(readers_)),
                ("meta", meta, meta_),
            ];
            let mut parents = Vec::new();
            if let Some(folder) = doc.folder {
                let (folder, folder_) = reference("Folder", format!("f{folder}"));
                parents.push(("Folder", format!("f{}", doc.folder.unwrap())));
                attributes.push(("folder", folder, folder_));
            }
            all.push((
                self.doc_owner,
                both("Doc", format!("d{n}"), &attributes, &parents),
            ));
        }
        all
    }

    pub(crate) fn files(&self, entities: &[(Owner, Both)]) -> BundleFiles {
        let source = |owner| match owner {
            Owner::Bundle => "bundle",
            Owner::Request => "request",
            Owner::Directory => "directory",
        };
        let toml = format!(
            "[[principal]]\ntype = \"User\"\nid = \"{{sub}}\"\n\
             [[entity]]\ntype = \"User\"\nsource = \"{}\"\n\
             [[entity]]\ntype = \"Doc\"\nsource = \"{}\"\n\
             [[entity]]\ntype = \"Folder\"\nsource = \"{}\"\n",
            source(self.user_owner),
            source(self.doc_owner),
            source(self.folder_owner),
        );
        // The store is written without Cedar's escapes: types come from the schema.
        let stored: Vec<Json> = entities
            .iter()
            .filter(|(owner, _)| *owner == Owner::Bundle)
            .map(|(_, both)| {
                json!({
                    "uid": both.cedar["uid"], "parents": both.cedar["parents"],
                    "attrs": strip(&both.cedar["attrs"]),
                })
            })
            .collect();
        let policies: String = self
            .policies
            .iter()
            .enumerate()
            .map(|(n, text)| format!("@id(\"p{n}\")\n{text}\n"))
            .collect();
        BundleFiles::new([
            ("schema.cedarschema", SCHEMA.to_owned()),
            ("bundle.toml", toml),
            ("entities.json", Json::from(stored).to_string()),
            ("all.cedar", policies),
        ])
    }
}

pub(crate) fn strip(value: &Json) -> Json {
    match value {
        Json::Object(map) if map.contains_key("__entity") => map["__entity"]["id"].clone(),
        Json::Object(map) => map.iter().map(|(k, v)| (k.clone(), strip(v))).collect(),
        Json::Array(items) => items.iter().map(strip).collect(),
        other => other.clone(),
    }
}

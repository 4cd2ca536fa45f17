//! The index finds exactly the policies whose heads match, and one that is broken is found out.
//!
//! Every form of head meets every other. The policies have no conditions, so those that Cedar's
//! `Authorizer` names as determining are those whose heads match.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    iter,
};

use cedar_policy::{
    Authorizer, Context, Entities, EntityUid, PolicyId, PolicySet as CedarPolicies, Request, SlotId,
};

use super::{
    super::{Entry, Index, Key, Table},
    policies,
};
use crate::policy::{Link, PolicySet, Schema, fault::Place};

const PRINCIPALS: [&str; 9] = [
    "principal",
    "principal == User::\"alice\"",
    "principal in User::\"alice\"",
    "principal in Team::\"near\"",
    "principal in Team::\"far\"",
    "principal is User",
    "principal is Bot in Team::\"near\"",
    "principal == ?principal",
    "principal in ?principal",
];
const ACTIONS: [&str; 5] = [
    "action",
    "action == Action::\"view\"",
    "action in Action::\"view\"",
    "action in Action::\"any\"",
    "action in [Action::\"view\", Action::\"edit\"]",
];
const RESOURCES: [&str; 9] = [
    "resource",
    "resource == Doc::\"one\"",
    "resource in Doc::\"one\"",
    "resource in Folder::\"near\"",
    "resource in Folder::\"far\"",
    "resource is Doc",
    "resource is Note in Folder::\"near\"",
    "resource == ?resource",
    "resource in ?resource",
];
/// What links fill in, for `==` and for `in`.
const FILLED: [(&str, &str); 2] = [
    ("User::\"alice\"", "Doc::\"one\""),
    ("Team::\"far\"", "Folder::\"far\""),
];

const STORE: &str = r#"[
  {"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": [{"type": "Team", "id": "near"}]},
  {"uid": {"type": "User", "id": "bob"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Bot", "id": "robot"}, "attrs": {}, "parents": [{"type": "Team", "id": "near"}]},
  {"uid": {"type": "Bot", "id": "stray"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Team", "id": "near"}, "attrs": {}, "parents": [{"type": "Team", "id": "far"}]},
  {"uid": {"type": "Team", "id": "far"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Doc", "id": "one"}, "attrs": {}, "parents": [{"type": "Folder", "id": "near"}]},
  {"uid": {"type": "Doc", "id": "two"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Note", "id": "n"}, "attrs": {}, "parents": [{"type": "Folder", "id": "near"}]},
  {"uid": {"type": "Folder", "id": "near"}, "attrs": {}, "parents": [{"type": "Folder", "id": "far"}]},
  {"uid": {"type": "Folder", "id": "far"}, "attrs": {}, "parents": []}
]"#;
const ASKING: [&str; 5] = [
    "User::\"alice\"",
    "User::\"bob\"",
    "User::\"unknown\"",
    "Bot::\"robot\"",
    "Bot::\"stray\"",
];
const ASKED: [&str; 4] = [
    "Doc::\"one\"",
    "Doc::\"two\"",
    "Doc::\"unknown\"",
    "Note::\"n\"",
];

/// Takes one form for another.
type Misread = fn(Key) -> Key;

/// What a request is answered with: the ids of policies.
type Ids = BTreeSet<String>;

struct Heads {
    set: PolicySet,
    schema: Schema,
    store: Entities,
    /// By id, what a policy's head is written as.
    written: HashMap<String, [&'static str; 3]>,
    /// Every request, and which policies match by Cedar's own account.
    expected: Vec<([EntityUid; 3], Ids)>,
}

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

impl Heads {
    fn all() -> Self {
        let mut texts = String::new();
        let (mut written, mut links) = (HashMap::new(), Vec::new());
        let mut cedar = CedarPolicies::new();
        let heads = PRINCIPALS.iter().flat_map(|principal| {
            let actions = ACTIONS
                .iter()
                .flat_map(move |action| iter::repeat((principal, action)).zip(&RESOURCES));
            actions.map(|((principal, action), resource)| [*principal, *action, *resource])
        });
        for (n, head) in heads.enumerate() {
            let id = format!("p{n}");
            let rule = format!("permit({});", head.join(", "));
            texts.push_str(&format!("@id(\"{id}\") {rule}\n"));
            if !rule.contains('?') {
                let policy = cedar_policy::Policy::parse(Some(PolicyId::new(&id)), &rule);
                cedar.add(policy.unwrap()).unwrap();
                written.insert(id, head);
                continue;
            }
            let template = cedar_policy::Template::parse(Some(PolicyId::new(&id)), &rule);
            cedar.add_template(template.unwrap()).unwrap();
            for (m, (principal, resource)) in FILLED.iter().enumerate() {
                let link = format!("{id}-{m}");
                let filled = |slot: &str, with: &str| rule.contains(slot).then(|| uid(with));
                let principal = filled("?principal", principal);
                let resource = filled("?resource", resource);
                let slots = [
                    (SlotId::principal(), principal.clone()),
                    (SlotId::resource(), resource.clone()),
                ];
                let slots = slots.into_iter().filter_map(|(slot, it)| Some((slot, it?)));
                let (template, new) = (PolicyId::new(&id), PolicyId::new(&link));
                cedar.link(template, new, slots.collect()).unwrap();
                links.push(Link {
                    template: id.clone(),
                    id: link.clone(),
                    principal: principal.map(|it| it.as_ref().clone()),
                    resource: resource.map(|it| it.as_ref().clone()),
                    place: Place::start(&"links.json".into()),
                });
                written.insert(link, head);
            }
        }
        let (set, schema) = policies(&texts, &links);
        let store = Entities::from_json_str(STORE, Some(schema.cedar())).unwrap();
        let authorizer = Authorizer::new();
        let asked = |ask: [EntityUid; 3]| {
            let [principal, action, resource] = ask.clone();
            let request = Request::new(principal, action, resource, Context::empty(), None);
            let answer = authorizer.is_authorized(&request.unwrap(), &cedar, &store);
            let ids = answer.diagnostics().reason().map(ToString::to_string);
            (ask, ids.collect())
        };
        let expected = ASKING.iter().flat_map(|principal| {
            let asked = ASKED
                .iter()
                .flat_map(|it| iter::repeat(it).zip(["view", "edit"]));
            asked.map(|(resource, action)| {
                let action = uid(&format!("Action::\"{action}\""));
                [uid(principal), action, uid(resource)]
            })
        });
        Self {
            expected: expected.map(asked).collect(),
            set,
            schema,
            store,
            written,
        }
    }

    fn index(&self) -> Index {
        Index::new(self.set.policies(), &self.schema)
    }

    fn id(&self, policy: u32) -> &str {
        let n = usize::try_from(policy).unwrap();
        &self.set.policies().get(n).unwrap().id
    }

    /// Whether every request finds what Cedar's own authorizer finds.
    fn holds(&self, index: &Index) -> bool {
        self.expected
            .iter()
            .all(|([principal, action, resource], ids)| {
                let party = |uid: &EntityUid| {
                    let entity = self.store.get(uid);
                    let entity =
                        entity.map(|it| crate::policy::core::Entity::of_cedars(it.as_ref()));
                    index.party(uid.as_ref(), entity.as_ref())
                };
                let found = index.matching(&party(principal), action.as_ref(), &party(resource));
                found.len() == ids.len() && found.iter().all(|(it, _)| ids.contains(self.id(*it)))
            })
    }

    /// Breaks an index by changing, or losing, what it has of each policy.
    #[track_caller]
    fn check(
        &self,
        what: &str,
        wrong: impl Fn(&str, [Key; 2], Entry) -> Option<([Key; 2], Entry)>,
    ) {
        let mut index = self.index();
        let mut done = 0;
        let tables = iter::once(&mut index.any_action).chain(index.actions.values_mut());
        for table in tables {
            let whole = std::mem::take(table);
            for (principal, resource, entries) in whole.entries() {
                for entry in entries.iter().copied() {
                    let before = ([principal, resource], entry);
                    let after = wrong(self.id(entry.policy), before.0, entry);
                    done += usize::from(after != Some(before));
                    if let Some(([principal, resource], entry)) = after {
                        Table::insert(table, principal, resource, entry);
                    }
                }
            }
        }
        assert!(done > 0, "an index that {what} is as it was");
        assert!(!self.holds(&index), "an index that {what} is not found out");
    }
}

#[test]
fn the_index_finds_what_cedar_finds_and_a_broken_one_is_found_out_for_every_form_of_head() {
    let heads = Heads::all();
    assert!(heads.expected.iter().all(|(_, ids)| !ids.is_empty()));
    assert!(heads.holds(&heads.index()));
    for form in PRINCIPALS.iter().chain(&ACTIONS).chain(&RESOURCES) {
        heads.check(&format!("loses `{form}`"), |id, keys, entry| {
            (!heads.written[id].contains(form)).then_some((keys, entry))
        });
    }
    let each = |wrong: Misread| {
        [0, 1].map(|part: usize| {
            move |_: &str, mut keys: [Key; 2], entry: Entry| {
                keys[part] = wrong(keys[part]);
                Some((keys, entry))
            }
        })
    };
    let misread: [(&str, Misread); 5] = [
        ("takes `==` for `in`", |key| match key {
            Key::Is(n) => Key::In(n),
            key => key,
        }),
        ("takes `in` for `==`", |key| match key {
            Key::In(n) => Key::Is(n),
            key => key,
        }),
        ("takes `is` for anything", |key| match key {
            Key::OfType(_) => Key::Any,
            key => key,
        }),
        ("takes `==` for anything", |key| match key {
            Key::Is(_) => Key::Any,
            key => key,
        }),
        ("takes `in` for anything", |key| match key {
            Key::In(_) => Key::Any,
            key => key,
        }),
    ];
    for (what, wrong) in misread {
        each(wrong)
            .iter()
            .for_each(|wrong| heads.check(what, wrong));
    }
    heads.check("overlooks the principal's type", |_, keys, entry| {
        let principal_type = None;
        Some((
            keys,
            Entry {
                principal_type,
                ..entry
            },
        ))
    });
    heads.check("overlooks the resource's type", |_, keys, entry| {
        let resource_type = None;
        Some((
            keys,
            Entry {
                resource_type,
                ..entry
            },
        ))
    });
}

#[test]
fn an_index_that_mixes_up_actions_or_overlooks_ancestors_is_found_out() {
    let heads = Heads::all();
    let mut any = heads.index();
    any.any_action = Table::default();
    assert!(!heads.holds(&any), "heads without an action");
    for name in ["view", "edit"] {
        let action = uid(&format!("Action::\"{name}\""));
        let mut lost = heads.index();
        assert!(lost.actions.remove(action.as_ref()).is_some());
        assert!(!heads.holds(&lost), "heads of {name}");
        let mut for_all = heads.index();
        for_all.any_action = for_all.actions[action.as_ref()].clone();
        assert!(!heads.holds(&for_all), "{name} taken for any");
    }
    let named: HashSet<_> = heads.index().names.entities.into_keys().collect();
    for name in named {
        let mut forgetful = heads.index();
        forgetful.names.entities.remove(&name);
        assert!(!heads.holds(&forgetful), "{name} is no name");
    }
    for name in heads.index().names.types.into_keys() {
        let mut forgetful = heads.index();
        forgetful.names.types.remove(&name);
        assert!(!heads.holds(&forgetful), "{name} is no type");
    }
}

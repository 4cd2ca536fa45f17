//! A bundle with its store, asked both ways.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{
    Authorizer, Context, Decision as CedarDecision, Entities, EntityUid, Policy as CedarPolicy,
    PolicyId, PolicySet, Request, SlotId, Template,
};
use doorward::{
    bundle::{BundleFiles, CaseQuestion, CompileOptions, Snapshot, SubjectSpec},
    model::{EntityFacts, Outcome, Timestamp},
    pdp::{Rehearsal, rehearse},
};
use serde_json::{Value as Json, json};

use super::{
    dice::Dice,
    policies::{Link, Policy},
    shape::{Owner, Shape},
    store::{Name, Part, Store, Val, our_members, random_members},
};

const NOW: &str = "2030-01-01T00:00:00.000Z";
const NOW_SECONDS: i64 = 1_893_456_000;

/// What came of a question: allow or deny, the policies that determined it, those that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) allows: bool,
    pub(crate) reasons: BTreeSet<String>,
    pub(crate) errors: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) principal: Name,
    pub(crate) action: usize,
    pub(crate) resource: Name,
    pub(crate) context: Vec<(String, Val)>,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) store: Store,
    pub(crate) policies: Vec<Policy>,
}

impl World {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let shape = Shape::random(dice);
        let store = Store::random(dice, &shape);
        let policies = (0..dice.between(3, 14)).map(|n| Policy::random(dice, &shape, n));
        Self {
            policies: policies.collect(),
            store,
            shape,
        }
    }

    /// The same where a directory has what the bundle would.
    pub(crate) fn in_directory(mut self) -> Self {
        self.store = self.store.in_directory(&self.shape);
        self.shape.in_directory = true;
        self
    }

    /// Someone who can ask about something that can be asked about.
    pub(crate) fn ask(&self, dice: &mut Dice) -> Option<Ask> {
        let action = dice.roll(self.shape.actions.len());
        let it = &self.shape.actions[action];
        let mut name = |types: &[usize]| Name {
            of: *dice.pick(types),
            n: dice.roll(super::store::NAMED),
        };
        let (principal, resource) = (name(&it.principals), name(&it.resources));
        // What is required of them is stated by whoever names them.
        let stated = |name: Name, owner| {
            self.shape.types[name.of].owner != owner || self.store.part(owner, name).is_some()
        };
        (stated(principal, Owner::Token) && stated(resource, Owner::Request)).then(|| Ask {
            principal,
            action,
            resource,
            context: random_members(dice, &self.shape.context),
        })
    }

    pub(crate) fn files(&self) -> BundleFiles {
        let shape = &self.shape;
        let stored: Vec<Json> = self
            .store
            .of(Owner::Bundle)
            .filter(|_| !shape.in_directory)
            .map(|it| it.stored(shape))
            .collect();
        let policies = self.policies.iter();
        let policies: String = policies
            .map(|it| format!("@id(\"{}\")\n{}\n", it.id, it.text(shape)))
            .collect();
        let mut files = vec![
            ("schema.cedarschema", shape.text()),
            ("bundle.toml", shape.rules()),
            ("entities.json", Json::from(stored).to_string()),
            ("all.cedar", policies),
        ];
        let links: Vec<Json> = self.policies.iter().flat_map(|it| self.links(it)).collect();
        if !links.is_empty() {
            files.push(("links.json", Json::from(links).to_string()));
        }
        BundleFiles::new(files)
    }

    fn links(&self, policy: &Policy) -> Vec<Json> {
        let links = policy.links.iter().enumerate().map(|(n, link)| {
            let mut json = json!({ "template": policy.id, "id": policy.link_id(n) });
            let Link {
                principal,
                resource,
            } = link;
            for (slot, name) in [("principal", principal), ("resource", resource)] {
                if let Some(name) = name {
                    json[slot] = json!(name.text(&self.shape));
                }
            }
            json
        });
        links.collect()
    }

    pub(crate) fn compile(&self) -> Snapshot {
        let options = CompileOptions {
            strict_errors: false,
            max_level: 5,
            ..CompileOptions::default()
        };
        Snapshot::compile(&self.files(), &options).unwrap_or_else(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("{}\n{self}", faults.join("\n"))
        })
    }

    /// What comes with every question.
    pub(crate) fn given(&self) -> Vec<EntityFacts> {
        let parts = self.store.given(&self.shape);
        parts.map(|part| part.facts(&self.shape)).collect()
    }

    /// Asks Doorward.
    pub(crate) fn ours(&self, snapshot: &Snapshot, stated: &[EntityFacts], ask: &Ask) -> Found {
        let shape = &self.shape;
        let subject = match self.store.part(Owner::Token, ask.principal) {
            Some(part) => part.facts(shape),
            None => EntityFacts::bare(ask.principal.reference(shape)),
        };
        let question = CaseQuestion::Named {
            action: shape.actions[ask.action].name.clone(),
            properties: BTreeMap::new(),
            resource: EntityFacts::bare(ask.resource.reference(shape)),
        };
        let rehearsal = Rehearsal {
            subject: &SubjectSpec::Entity(subject),
            question: &question,
            entities: stated,
            context: &our_members(shape, &ask.context),
            now: Timestamp::from_second(NOW_SECONDS).unwrap(),
        };
        let decided = rehearse(snapshot, &rehearsal);
        let decision = decided
            .unwrap_or_else(|refusal| panic!("{refusal}: {ask:?}\n{self}"))
            .decision;
        let reasons = decision.reasons.iter();
        let errors = decision.errors.iter();
        Found {
            allows: decision.outcome == Outcome::Allow,
            reasons: reasons.map(|it| it.policy_id.to_string()).collect(),
            errors: errors.map(|it| it.policy_id.to_string()).collect(),
        }
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (path, text) in self.files().iter() {
            writeln!(f, "--- {path}\n{text}")?;
        }
        let parts: Vec<&Part> = self
            .store
            .0
            .iter()
            .filter(|it| it.owner != Owner::Bundle)
            .collect();
        writeln!(f, "--- stated\n{parts:#?}")
    }
}

/// Cedar's own parsers and `Authorizer`, all of the policies and the whole store.
pub(crate) struct Oracle<'w> {
    world: &'w World,
    policies: PolicySet,
    stores: HashMap<Name, Entities>,
}

impl<'w> Oracle<'w> {
    pub(crate) fn new(world: &'w World) -> Self {
        let mut policies = PolicySet::new();
        for policy in &world.policies {
            let (id, text) = (PolicyId::new(&policy.id), policy.text(&world.shape));
            if !policy.is_template() {
                policies
                    .add(CedarPolicy::parse(Some(id), text).unwrap())
                    .unwrap();
                continue;
            }
            policies
                .add_template(Template::parse(Some(id.clone()), text).unwrap())
                .unwrap();
            for (n, link) in policy.links.iter().enumerate() {
                let slots = [
                    (SlotId::principal(), link.principal),
                    (SlotId::resource(), link.resource),
                ];
                let filled = slots
                    .into_iter()
                    .filter_map(|(slot, name)| Some((slot, uid_of(&world.shape, name?))));
                let link = PolicyId::new(policy.link_id(n));
                policies.link(id.clone(), link, filled.collect()).unwrap();
            }
        }
        Self {
            world,
            policies,
            stores: HashMap::new(),
        }
    }

    pub(crate) fn answer(&mut self, ask: &Ask) -> Found {
        let Self {
            world,
            policies,
            stores,
        } = self;
        let shape = &world.shape;
        let entities = stores.entry(ask.principal).or_insert_with(|| {
            let mut all = world.store.cedar(shape, ask.principal);
            all.extend(actions(shape));
            Entities::from_json_value(Json::from(all), None).unwrap()
        });
        let mut context: Vec<(String, Val)> = ask.context.clone();
        context.push(("now".to_owned(), Val::Made("datetime", NOW.to_owned())));
        let context = Val::Record(context).cedar(shape);
        let action = &shape.actions[ask.action].name;
        let request = Request::new(
            uid_of(shape, ask.principal),
            uid(&shape.action_type(), action),
            uid_of(shape, ask.resource),
            Context::from_json_value(context, None).unwrap(),
            None,
        );
        let response = Authorizer::new().is_authorized(&request.unwrap(), policies, entities);
        let diagnostics = response.diagnostics();
        let errors = diagnostics.errors().map(
            |cedar_policy::AuthorizationError::PolicyEvaluationError(it)| {
                it.policy_id().to_string()
            },
        );
        Found {
            allows: response.decision() == CedarDecision::Allow,
            reasons: diagnostics.reason().map(ToString::to_string).collect(),
            errors: errors.collect(),
        }
    }
}

/// The schema's actions as entities.
fn actions(shape: &Shape) -> Vec<Json> {
    let name = |id: &str| json!({ "type": shape.action_type(), "id": id });
    let action = |id: &str, groups: &[usize]| {
        let groups = groups.iter().map(|n| name(&format!("g{n}")));
        json!({ "uid": name(id), "attrs": {}, "parents": groups.collect::<Vec<_>>() })
    };
    let groups = shape.groups.iter().enumerate();
    let groups = groups.map(|(n, within)| action(&format!("g{n}"), within));
    let actions = shape.actions.iter().map(|it| action(&it.name, &it.groups));
    groups.chain(actions).collect()
}

fn uid_of(shape: &Shape, name: Name) -> EntityUid {
    uid(&shape.type_name(name.of), &name.id())
}

fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.parse().unwrap(), id.parse().unwrap())
}

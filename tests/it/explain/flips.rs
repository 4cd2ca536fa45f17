//! Every flip that an explanation claims is true: apply it to the facts, decide again.

use std::cell::Cell;

use doorward::{
    bundle::{CaseQuestion, CompileOptions, Snapshot, SubjectSpec},
    model::{Effect, EntityFacts, EntityRef, Members, Outcome, Timestamp, Value},
    pdp::{Explanation, Rehearsal, Telling, explain_rehearsal, rehearse},
    policy::{
        Change, Edit, Root,
        core::{CedarValue, as_entity, as_record, as_set, as_text},
    },
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value as Json, json};

use crate::oracle::worlds::{Ask, Both, Owner, World, ask, strip, world};

const NOW: &str = "2030-01-01T00:00:00Z";
const CASES: u32 = 30;

/// A world's facts as plain JSON, so that they can be edited by name.
#[derive(Clone)]
struct Facts {
    entities: Vec<(Owner, Map<String, Json>)>,
    context: Map<String, Json>,
}

impl Facts {
    fn new(entities: &[(Owner, Both)], ask: &Ask) -> Self {
        let plain = entities.iter().map(|(owner, both)| {
            let mut entity = both.cedar.as_object().unwrap().clone();
            entity.insert("attrs".into(), strip(&both.cedar["attrs"]));
            (*owner, entity)
        });
        let mut context = Map::from_iter([("level".to_owned(), json!(ask.level))]);
        if let Some(delegate) = ask.delegate {
            context.insert("delegate".into(), json!(format!("u{delegate}")));
        }
        if let Some(peers) = &ask.peers {
            let peers = peers.iter().map(|u| json!(format!("u{u}")));
            context.insert("peers".into(), peers.collect());
        }
        Self {
            entities: plain.collect(),
            context,
        }
    }

    fn apply(&mut self, change: &Change) {
        let path = &change.spot.path;
        let members = match &change.spot.root {
            Root::Context => &mut self.context,
            Root::Entity(uid) => {
                let name = json!({ "type": uid.entity_type().to_string(), "id": id(uid) });
                let mut all = self.entities.iter_mut().map(|(_, entity)| entity);
                let entity = all.find(|it| it["uid"] == name).unwrap();
                match &change.edit {
                    Edit::Join(_) | Edit::Leave(_) => entity,
                    _ => entity["attrs"].as_object_mut().unwrap(),
                }
            }
        };
        if let Edit::Join(parent) | Edit::Leave(parent) = &change.edit {
            let parent = json!({ "type": parent.entity_type().to_string(), "id": id(parent) });
            let parents = members["parents"].as_array_mut().unwrap();
            match &change.edit {
                Edit::Join(_) => parents.push(parent),
                _ => parents.retain(|it| *it != parent),
            }
            return;
        }
        let (last, outer) = path.split_last().unwrap();
        let holder = outer.iter().fold(members, |at, name| {
            at[name.as_str()].as_object_mut().unwrap()
        });
        match &change.edit {
            Edit::Set(value) => {
                holder.insert(last.to_string(), plain(value));
            }
            Edit::Unset => {
                holder.remove(last.as_str()).unwrap();
            }
            Edit::Insert(value) => {
                holder[last.as_str()]
                    .as_array_mut()
                    .unwrap()
                    .push(plain(value));
            }
            Edit::Remove(value) => {
                let value = plain(value);
                holder[last.as_str()]
                    .as_array_mut()
                    .unwrap()
                    .retain(|it| *it != value);
            }
            Edit::Join(_) | Edit::Leave(_) => unreachable!(),
        }
    }

    /// The facts as a world's files and requests have them.
    fn entities(&self) -> Vec<(Owner, Both)> {
        let both = |(owner, entity): &(Owner, Map<String, Json>)| {
            let named = |it: &Json| {
                EntityRef::new(it["type"].as_str().unwrap(), it["id"].as_str().unwrap())
            };
            let attributes = entity["attrs"].as_object().unwrap().clone();
            let facts = EntityFacts {
                uid: named(&entity["uid"]),
                attributes: members(attributes),
                parents: entity["parents"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(named)
                    .collect(),
            };
            let cedar = Json::from(entity.clone());
            (*owner, Both { facts, cedar })
        };
        self.entities.iter().map(both).collect()
    }
}

fn id(uid: &doorward::policy::core::Uid) -> String {
    let id: &str = uid.eid().as_ref();
    id.to_owned()
}

fn members(map: Map<String, Json>) -> Members {
    map.into_iter()
        .map(|(name, value)| (name, Value::from(value)))
        .collect()
}

fn plain(value: &CedarValue) -> Json {
    if let Some(uid) = as_entity(value) {
        return json!(id(uid));
    }
    if let Some(text) = as_text(value) {
        return json!(text);
    }
    if let Some(items) = as_set(value) {
        return items.into_iter().map(plain).collect();
    }
    if let Some(members) = as_record(value) {
        let members = members
            .iter()
            .map(|(name, value)| (name.to_string(), plain(value)));
        return Json::Object(members.collect());
    }
    // Integers and booleans print as JSON has them.
    let text = value.to_string();
    serde_json::from_str(&text).unwrap_or_else(|_| {
        let date = text.trim_start_matches("datetime(\"");
        json!(date.split('"').next().unwrap())
    })
}

/// What is asked of `f`, with the rules of `world` and these facts.
fn asked<T>(
    world: &World,
    facts: &Facts,
    ask: &Ask,
    f: impl FnOnce(&Snapshot, &Rehearsal<'_>) -> T,
) -> T {
    let entities = facts.entities();
    let options = CompileOptions {
        max_level: 4,
        ..CompileOptions::default()
    };
    let snapshot = Snapshot::compile(&world.files(&entities), &options).unwrap();
    let stated: Vec<EntityFacts> = entities
        .into_iter()
        .filter(|(owner, _)| *owner == Owner::Request)
        .map(|(_, both)| both.facts)
        .collect();
    let named = |kind: &str, id: String| EntityFacts::bare(EntityRef::new(kind, id));
    let question = CaseQuestion::Named {
        action: if ask.edit { "edit" } else { "view" }.to_owned(),
        properties: Members::new(),
        resource: named("Doc", format!("d{}", ask.resource)),
    };
    let rehearsal = Rehearsal {
        subject: &SubjectSpec::Entity(named("User", format!("u{}", ask.principal))),
        question: &question,
        entities: &stated,
        context: &members(facts.context.clone()),
        now: NOW.parse::<Timestamp>().unwrap(),
    };
    f(&snapshot, &rehearsal)
}

fn outcome(world: &World, facts: &Facts, ask: &Ask) -> Outcome {
    asked(world, facts, ask, |snapshot, rehearsal| {
        rehearse(snapshot, rehearsal).unwrap().decision.outcome
    })
}

fn with(facts: &Facts, changes: &[Change]) -> Facts {
    let mut facts = facts.clone();
    changes.iter().for_each(|change| facts.apply(change));
    facts
}

#[test]
fn every_flip_is_true_and_nothing_in_it_is_idle() {
    let (denied, flipped, flips, larger) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let add = |counter: &Cell<u32>| counter.set(counter.get() + 1);
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&(world(), vec(ask(), 5)), |(world, asks)| {
        for ask in &asks {
            let facts = Facts::new(&world.entities(), ask);
            let explained = asked(&world, &facts, ask, |snapshot, rehearsal| {
                let decided = rehearse(snapshot, rehearsal).unwrap().decision;
                let found = explain_rehearsal(snapshot, rehearsal, Telling::ALL).unwrap();
                assert_eq!(found.decision.cause, decided.cause);
                found
            });
            let Explanation {
                decision,
                flips: claimed,
                nearest,
                ..
            } = explained;
            if decision.outcome == Outcome::Allow {
                prop_assert!(claimed.is_empty());
                continue;
            }
            prop_assert!(nearest.iter().all(|it| it.effect == Effect::Permit));
            add(&denied);
            if !claimed.is_empty() {
                add(&flipped);
            }
            for flip in &claimed {
                // The clock is not a fact of this test's facts.
                if flip.changes.iter().any(|it| it.spot.named == "context.now") {
                    continue;
                }
                add(&flips);
                prop_assert!((1..=3).contains(&flip.changes.len()));
                let changed = with(&facts, &flip.changes);
                prop_assert_eq!(outcome(&world, &changed, ask), Outcome::Allow, "{:?}", flip);
                if flip.changes.len() > 1 {
                    add(&larger);
                }
                for n in 0..flip.changes.len() {
                    let mut fewer = flip.changes.clone();
                    fewer.remove(n);
                    let changed = with(&facts, &fewer);
                    prop_assert_eq!(outcome(&world, &changed, ask), Outcome::Deny, "{:?}", flip);
                }
            }
        }
        Ok(())
    });
    result.unwrap();
    println!(
        "{denied:?} denied, {flipped:?} with flips, {flips:?} flips, {larger:?} of several facts"
    );
    assert!(denied.get() > 40, "{denied:?} denials");
    assert!(
        flipped.get() * 4 > denied.get(),
        "flips for {flipped:?} of {denied:?}"
    );
    assert!(larger.get() > 10, "{larger:?} flips of several facts");
}

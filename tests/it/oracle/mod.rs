//! The answer equals that of Cedar's own `Authorizer` on all policies and the whole entity set.
//!
//! The oracle gets its entities, context and policies by Cedar's own parsers, so that a mistake of
//! ours in typing, ownership, slicing or evaluation shows as a difference.

pub(crate) mod worlds;

use std::{cell::Cell, collections::BTreeSet};

use cedar_policy::{
    Authorizer, Context, Decision as CedarDecision, Entities, EntityUid, Policy, PolicyId,
    PolicySet, Request,
};
use doorward::{
    bundle::{CaseQuestion, CompileOptions, Snapshot, SubjectSpec},
    model::{EntityFacts, EntityRef, Members, Outcome, Timestamp, Value},
    pdp::{Rehearsal, rehearse},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value as Json, json};

use worlds::{Ask, Both, Owner, World, ask, escape, world};

const NOW: &str = "2030-01-01T00:00:00Z";
const CASES: u32 = 200;

struct Oracle {
    policies: PolicySet,
    entities: Entities,
}

impl Oracle {
    fn new(world: &World, entities: &[(Owner, Both)]) -> Self {
        let mut policies = PolicySet::new();
        for (n, text) in world.policies.iter().enumerate() {
            policies
                .add(Policy::parse(Some(PolicyId::new(format!("p{n}"))), text).unwrap())
                .unwrap();
        }
        let mut all: Vec<Json> = entities
            .iter()
            .map(|(_, both)| both.cedar.clone())
            .collect();
        for name in ["view", "edit"] {
            all.push(json!({ "uid": { "type": "Action", "id": name }, "attrs": {}, "parents": [{ "type": "Action", "id": "rw" }] }));
        }
        Self {
            policies,
            entities: Entities::from_json_value(Json::from(all), None).unwrap(),
        }
    }

    fn answer(&self, ask: &Ask) -> (bool, BTreeSet<String>, BTreeSet<String>) {
        let uid = |kind: &str, id: String| {
            EntityUid::from_type_name_and_id(kind.parse().unwrap(), id.parse().unwrap())
        };
        let mut context = json!({
            "now": { "__extn": { "fn": "datetime", "arg": NOW } },
            "level": ask.level,
        });
        if let Some(delegate) = ask.delegate {
            context["delegate"] = escape("User", &format!("u{delegate}"));
        }
        if let Some(peers) = &ask.peers {
            context["peers"] = peers
                .iter()
                .map(|u| escape("User", &format!("u{u}")))
                .collect();
        }
        let request = Request::new(
            uid("User", format!("u{}", ask.principal)),
            uid("Action", if ask.edit { "edit" } else { "view" }.to_owned()),
            uid("Doc", format!("d{}", ask.resource)),
            Context::from_json_value(context, None).unwrap(),
            None,
        )
        .unwrap();
        let response = Authorizer::new().is_authorized(&request, &self.policies, &self.entities);
        let diagnostics = response.diagnostics();
        (
            response.decision() == CedarDecision::Allow,
            diagnostics.reason().map(ToString::to_string).collect(),
            diagnostics
                .errors()
                .map(
                    |cedar_policy::AuthorizationError::PolicyEvaluationError(e)| {
                        e.policy_id().to_string()
                    },
                )
                .collect(),
        )
    }
}

fn ours(
    snapshot: &Snapshot,
    entities: &[(Owner, Both)],
    ask: &Ask,
) -> (bool, BTreeSet<String>, BTreeSet<String>) {
    let uid = |kind: &str, n: u8, letter: &str| EntityRef::new(kind, format!("{letter}{n}"));
    let mut context: Members = [("level".to_owned(), Value::Long(ask.level))].into();
    if let Some(delegate) = ask.delegate {
        context.insert("delegate".into(), Value::String(format!("u{delegate}")));
    }
    if let Some(peers) = &ask.peers {
        let peers = peers.iter().map(|u| Value::Entity(uid("User", *u, "u")));
        context.insert("peers".into(), Value::Set(peers.collect()));
    }
    let stated: Vec<EntityFacts> = entities
        .iter()
        .filter(|(owner, _)| *owner == Owner::Request)
        .map(|(_, both)| both.facts.clone())
        .collect();
    let question = CaseQuestion::Named {
        action: if ask.edit { "edit" } else { "view" }.to_owned(),
        properties: Members::new(),
        resource: EntityFacts::bare(uid("Doc", ask.resource, "d")),
    };
    let rehearsal = Rehearsal {
        subject: &SubjectSpec::Entity(EntityFacts::bare(uid("User", ask.principal, "u"))),
        question: &question,
        entities: &stated,
        context: &context,
        now: NOW.parse::<Timestamp>().unwrap(),
    };
    let decision = rehearse(snapshot, &rehearsal).unwrap().decision;
    (
        decision.outcome == Outcome::Allow,
        decision
            .reasons
            .iter()
            .map(|reason| reason.policy_id.to_string())
            .collect(),
        decision
            .errors
            .iter()
            .map(|error| error.policy_id.to_string())
            .collect(),
    )
}

#[test]
fn the_answer_is_cedars_own_and_strict_errors_never_permit_more() {
    let options = |strict_errors| CompileOptions {
        strict_errors,
        max_level: 4,
        ..CompileOptions::default()
    };
    let (allows, denies, errors, stricter) =
        (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let add = |counter: &Cell<u32>| counter.set(counter.get() + 1);
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&(world(), vec(ask(), 12)), |(world, asks)| {
        let entities = world.entities();
        let files = world.files(&entities);
        let lenient = Snapshot::compile(&files, &options(false)).unwrap();
        let strict = Snapshot::compile(&files, &options(true)).unwrap();
        let oracle = Oracle::new(&world, &entities);
        for ask in &asks {
            let expected = oracle.answer(ask);
            let found = ours(&lenient, &entities, ask);
            prop_assert_eq!(&found, &expected, "{:?}", ask);
            let strictly = ours(&strict, &entities, ask);
            prop_assert!(
                expected.0 || !strictly.0,
                "strict errors permit more: {:?}",
                ask
            );
            add(if expected.0 { &allows } else { &denies });
            if !expected.2.is_empty() {
                add(&errors);
            }
            if strictly.0 != expected.0 {
                add(&stricter);
            }
        }
        Ok(())
    });
    outcome.unwrap();
    let total = allows.get() + denies.get();
    assert!(
        allows.get() * 5 > total && denies.get() * 5 > total,
        "allows {allows:?}, denies {denies:?}"
    );
    assert!(
        errors.get() > total / 50,
        "conditions failed in only {errors:?} of {total}"
    );
    assert!(stricter.get() > 0, "no forbid ever failed");
}

use std::sync::Arc;

use super::*;
use crate::policy::{
    ParsedPolicies, Schema, TextLimits,
    core::{self, Above, Entity, Truth},
};

const SCHEMA: &str = "entity G; entity U in [G] = { n: Long, ok: Bool, name?: String };
    action a appliesTo { principal: [U], resource: [U] };";

fn policies(text: &str) -> PolicySet {
    let file: Arc<str> = "a.cedar".into();
    let schema = Schema::parse(&"s".into(), SCHEMA, "").unwrap();
    let mut faults = Vec::new();
    let parsed = ParsedPolicies::parse([(&file, text)], TextLimits::default(), &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    parsed.validate(|_| Some(text), &schema, 3).unwrap()
}

fn policy(clauses: &str) -> PolicySet {
    policies(&format!("permit (principal, action, resource) {clauses};"))
}

fn texts(conditions: &[Condition]) -> Vec<String> {
    let text = |it: &Condition| match it.negated {
        true => format!("not {}", it.text),
        false => it.text.clone(),
    };
    conditions.iter().map(text).collect()
}

#[track_caller]
fn check(clauses: &str, conjuncts: &[&str], conditions: &[&str]) {
    let policies = policy(clauses);
    let policy = &policies.policies()[0];
    assert_eq!(texts(&policy.conjuncts()), conjuncts, "{clauses}");
    assert_eq!(texts(&policy.conditions()), conditions, "{clauses}");
}

#[test]
fn a_condition_is_quoted_as_it_was_written() {
    let both = ["principal.n > 1", "resource.ok"];
    check("when { principal.n > 1 && resource.ok }", &both, &both);
    check(
        "when { (principal.n > 1) } when { resource.ok }",
        &both,
        &both,
    );
    check(
        "when { principal is U in G::\"x\" && resource.n != 2 }",
        &["principal is U in G::\"x\"", "resource.n != 2"],
        &["principal is U in G::\"x\"", "resource.n != 2"],
    );
    check(
        "when { !resource.ok }",
        &["!resource.ok"],
        &["not resource.ok"],
    );
    check(
        "when { principal.ok } unless { resource.ok || resource.n == 1 }",
        &["principal.ok", "not resource.ok", "not resource.n == 1"],
        &["principal.ok", "not resource.ok", "not resource.n == 1"],
    );
    check(
        "unless { resource.ok && resource.n == 1 }",
        &["not resource.ok && resource.n == 1"],
        &["not resource.ok", "not resource.n == 1"],
    );
    check(
        "when { if principal.ok then resource.ok else !(resource.n == 1) }",
        &["if principal.ok then resource.ok else !(resource.n == 1)"],
        &["principal.ok", "resource.ok", "not resource.n == 1"],
    );
    check("", &[], &[]);
}

#[test]
fn places_are_those_of_the_file() {
    let text = "// one\npermit (principal, action, resource)\nwhen {\n  // é\n  principal.ok &&\n    resource.ok\n};\n@id(\"b\") permit (principal, action, resource) when { principal.n == 1 };\n";
    let policies = policies(text);
    let mut places = Vec::new();
    for policy in policies.policies() {
        for it in policy.conditions() {
            assert_eq!(text.get(it.span.clone()), Some(it.text.as_str()));
            places.push((it.text, it.place.line, it.place.column));
        }
    }
    places.sort_by_key(|(_, line, _)| *line);
    assert_eq!(
        places,
        [
            ("principal.ok".to_owned(), 5, 3),
            ("resource.ok".to_owned(), 6, 5),
            ("principal.n == 1".to_owned(), 8, 54),
        ]
    );
}

/// The principal has `ok: true` and `n: 1`; the resource is nowhere stored, so reading it fails.
#[track_caller]
fn observed(clauses: &str, expected: &[Truth], holds: Result<bool, &'static str>) {
    let policies = policy(clauses);
    let schema = Schema::parse(&"s".into(), SCHEMA, "").unwrap();
    let kind = schema.type_name("U").unwrap();
    let action = schema.action("a").unwrap();
    let [principal, resource] = ["p", "r"].map(|id| core::uid(kind, id));
    let facts = [("n", core::long(1)), ("ok", core::bool(true))];
    let facts = facts.map(|(name, value)| (name.into(), value));
    let known = Entity::new(principal.clone(), facts, Above::default());
    let entities = Entities::new([Arc::new(known), Arc::clone(&action.entity)]);
    let request = Request {
        principal,
        action: action.uid.clone(),
        resource,
        context: Default::default(),
    };
    let found = observe(&policies, request, &entities);
    assert_eq!(found[0].outcomes, expected, "{clauses}");
    assert_eq!(found[0].holds, holds, "{clauses}");
}

#[test]
fn conditions_are_observed_as_far_as_they_are_reached() {
    use Truth::{Errored, False, NotReached, True};
    let missing = "entity_missing";
    observed(
        "when { principal.ok && principal.n > 0 }",
        &[True, True],
        Ok(true),
    );
    observed(
        "when { principal.n > 1 && resource.ok }",
        &[False, NotReached],
        Ok(false),
    );
    observed(
        "when { principal.ok || resource.ok }",
        &[True, NotReached],
        Ok(true),
    );
    observed("unless { principal.n > 1 }", &[False], Ok(true));
    observed(
        "when { resource.ok && principal.ok }",
        &[Errored(missing), NotReached],
        Err(missing),
    );
    observed(
        "when { if principal.ok then principal.n == 2 else resource.ok }",
        &[True, False, NotReached],
        Ok(false),
    );
}

//! Lints of policies.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{PolicySet, ValidationMode, ValidationWarning, Validator};

use super::{Allowed, Looked};
use crate::{
    bundle::Snapshot,
    model::Effect,
    policy::{
        Fault, Policy, Schema, Site, Type,
        core::{TypeName, Uid},
    },
};

/// How many policies of an action may be looked at for every request before it is told.
const CANDIDATES: usize = 64;

pub(super) fn lints(
    looked: &[Looked<'_>],
    snapshot: &Snapshot,
    allowed: &mut Allowed,
    found: &mut Vec<Fault>,
) {
    let validator = Validator::new(snapshot.schema.cedar().clone());
    for it in looked {
        by_itself(it, allowed, found);
        impossible(it.policy, &validator, allowed, found);
        tenant_guard(it, looked, &snapshot.schema, allowed, found);
    }
    shadowed(looked, &snapshot.schema, allowed, found);
    candidates(snapshot, found);
}

fn at(code: &'static str, site: &Site, message: String) -> Fault {
    Fault::at(code, site.place.clone(), message).over(site.length)
}

/// What a policy's own conditions show.
fn by_itself(it: &Looked<'_>, allowed: &mut Allowed, found: &mut Vec<Fault>) {
    let Looked { policy, survey, .. } = it;
    let id = &policy.id;
    let forbids = policy.effect() == Effect::Forbid;
    if !forbids && policy.is_unconditional() && !allowed.covers(policy, "permits_all") {
        let message = format!("policy `{id}` permits everything to everyone");
        let help = "name who may do it, and what";
        found.push(Fault::at("permits_all", policy.place.clone(), message).help(help));
    }
    if forbids {
        for site in &survey.computes {
            if !allowed.covers(policy, "forbid_may_fail") {
                let message = format!("forbid `{id}` computes, which can overflow");
                let help = "where it does, everything that the head matches is denied";
                found.push(at("forbid_may_fail", site, message).help(help));
            }
        }
    }
    for site in &survey.follows {
        let (code, message, help) = match forbids {
            true => (
                "forbid_may_fail",
                format!("forbid `{id}` reads an attribute of an entity that may not be there"),
                "where it is not, everything that the head matches is denied; \
                 `has` would let it through instead",
            ),
            false => (
                "read_without_has",
                format!("permit `{id}` reads an attribute of an entity that may not be there"),
                "ask for it with `has` first, so that its absence is no error",
            ),
        };
        if !allowed.covers(policy, code) {
            found.push(at(code, site, message).help(help));
        }
    }
    for site in &survey.entity_lists {
        if !allowed.covers(policy, "entity_list") {
            let message = format!("policy `{id}` looks something up in a list of entities");
            let help = "make them members of a group, and ask for the group: it is found by index";
            found.push(at("entity_list", site, message).help(help));
        }
    }
}

/// A policy that matches nothing that the schema allows, as Cedar's validator finds it.
fn impossible(
    policy: &Policy,
    validator: &Validator,
    allowed: &mut Allowed,
    found: &mut Vec<Fault>,
) {
    // The text of a link has slots, which is no policy by itself.
    let Ok(parsed) = cedar_policy::Policy::parse(None, policy.source()) else {
        return;
    };
    let Ok(set) = PolicySet::from_policies([parsed]) else {
        return;
    };
    let told = validator.validate(&set, ValidationMode::Strict);
    let is_impossible =
        |it: &ValidationWarning| matches!(it, ValidationWarning::ImpossiblePolicy(_));
    if told.validation_warnings().any(is_impossible) && !allowed.covers(policy, "impossible_policy")
    {
        let id = &policy.id;
        let effect = policy.effect();
        let message =
            format!("{effect} `{id}` never applies: no request that the schema allows meets it");
        let help = "look for a condition that is always false, such as a name misspelt after `has`";
        found.push(Fault::at("impossible_policy", policy.place.clone(), message).help(help));
    }
}

/// A permit across tenants that nothing keeps within one.
fn tenant_guard(
    it: &Looked<'_>,
    all: &[Looked<'_>],
    schema: &Schema,
    allowed: &mut Allowed,
    found: &mut Vec<Fault>,
) {
    let policy = it.policy;
    if policy.effect() != Effect::Permit || it.survey.relates || policy.is_particular() {
        return;
    }
    let open = it.applies.iter().find_map(|envs| {
        let mut pairs = envs
            .principals
            .iter()
            .flat_map(|p| envs.resources.iter().map(move |r| (*p, *r)));
        let (principal, resource, tenant) = pairs.find_map(|(principal, resource)| {
            let tenant = shared_owner(principal, resource, schema)?;
            let guarded = all.iter().any(|other| {
                other.policy.effect() == Effect::Forbid
                    && other.survey.relates
                    && applies_to(other, &envs.action.uid, principal, resource)
            });
            (!guarded).then_some((principal, resource, tenant))
        })?;
        Some((&envs.action.uid, principal, resource, tenant))
    });
    let Some((action, principal, resource, tenant)) = open else {
        return;
    };
    let code = "permit_without_tenant_guard";
    if !allowed.covers(policy, code) {
        let message = format!(
            "permit `{}` lets a `{principal}` do {action} to a `{resource}` of another `{tenant}`",
            policy.id
        );
        let help = format!(
            "compare principal and resource in its conditions, or in a forbid that applies to all: \
             `forbid (principal, action, resource) unless {{ … }}` with the `{tenant}` of both"
        );
        found.push(Fault::at(code, policy.place.clone(), message).help(help));
    }
}

fn applies_to(it: &Looked<'_>, action: &Uid, principal: &TypeName, resource: &TypeName) -> bool {
    it.applies.iter().any(|envs| {
        envs.action.uid == *action
            && envs.principals.contains(&principal)
            && envs.resources.contains(&resource)
            && !it.policy.names_entities()
    })
}

/// The type of entity that both belong to: the principal by an attribute, the resource by an
/// attribute, a parent, or being it.
fn shared_owner<'s>(
    principal: &TypeName,
    resource: &'s TypeName,
    schema: &'s Schema,
) -> Option<&'s TypeName> {
    let (of, to) = (
        schema.entity_type(principal)?,
        schema.entity_type(resource)?,
    );
    let owners = of
        .attributes
        .members
        .values()
        .filter_map(|it| match &it.ty {
            Type::Entity(name) if it.required && name != principal => Some(name),
            _ => None,
        });
    let mut owners: Vec<&TypeName> = owners.collect();
    owners.sort();
    owners.into_iter().find(|owner| {
        let refers = to.attributes.members.values().any(|it| match &it.ty {
            Type::Entity(name) => name == *owner || has_attribute(name, owner, schema),
            _ => false,
        });
        *owner == resource || refers || to.ancestors.contains(*owner)
    })
}

fn has_attribute(name: &TypeName, wanted: &TypeName, schema: &Schema) -> bool {
    let def = schema.entity_type(name);
    def.is_some_and(|def| {
        let mut members = def.attributes.members.values();
        members.any(|it| it.ty == Type::Entity(wanted.clone()))
    })
}

/// Policies that another makes needless, where that is cheap to see.
fn shadowed(looked: &[Looked<'_>], schema: &Schema, allowed: &mut Allowed, found: &mut Vec<Fault>) {
    let unconditional: Vec<&Policy> = looked
        .iter()
        .map(|it| it.policy)
        .filter(|policy| policy.conditions().is_empty())
        .collect();
    let mut texts: BTreeMap<(bool, Vec<String>), Vec<&Policy>> = BTreeMap::new();
    for it in looked {
        let policy = it.policy;
        let conditions = policy.conjuncts().into_iter();
        let conditions: Vec<String> = conditions
            .map(|it| format!("{}{}", u8::from(it.negated), it.text))
            .collect();
        let same = texts
            .entry((policy.effect() == Effect::Permit, conditions.clone()))
            .or_default();
        let twin = same
            .iter()
            .copied()
            .find(|other| !conditions.is_empty() && other.head_covers(policy, schema));
        let wider = unconditional.iter().copied().find(|other| {
            // Of two that cover each other the first is kept.
            let later = (&other.place, &other.id) < (&policy.place, &policy.id);
            let overrides = other.effect() == Effect::Forbid && policy.effect() == Effect::Permit;
            other.id != policy.id
                && (overrides || other.effect() == policy.effect())
                && other.head_covers(policy, schema)
                && (overrides || later || !policy.head_covers(other, schema))
        });
        same.push(policy);
        let Some(other) = twin.or(wider) else {
            continue;
        };
        let message = match (other.effect(), policy.effect()) {
            (Effect::Forbid, Effect::Permit) => {
                format!(
                    "permit `{}` permits nothing: forbid `{}` overrides it",
                    policy.id, other.id
                )
            }
            // What it obliges to comes only where it decides as well.
            _ if policy.obligation().is_some() => continue,
            (effect, _) => format!(
                "{effect} `{}` changes no decision: `{}` matches whatever it does",
                policy.id, other.id
            ),
        };
        if !allowed.covers(policy, "shadowed_policy") {
            let help = format!(
                "take one of them away; `{}` is at {}",
                other.id, other.place
            );
            found.push(Fault::at("shadowed_policy", policy.place.clone(), message).help(help));
        }
    }
}

/// Actions for which many policies are looked at whoever asks about whatever.
fn candidates(snapshot: &Snapshot, found: &mut Vec<Fault>) {
    let mut counts: HashMap<&Uid, usize> = HashMap::new();
    for policy in snapshot.policies.policies() {
        if policy.names_entities() {
            continue;
        }
        for envs in policy.applies(&snapshot.schema) {
            *counts.entry(&envs.action.uid).or_default() += 1;
        }
    }
    let mut many: Vec<_> = counts
        .into_iter()
        .filter(|(_, n)| *n > CANDIDATES)
        .collect();
    many.sort_by_key(|(action, _)| action.to_string());
    for (action, count) in many {
        let message = format!(
            "{count} policies are looked at for every request about {action}, more than {CANDIDATES}"
        );
        let help = "name a principal, a group or a resource in their heads: \
                    then only those that can match are looked at";
        found.push(Fault::general("many_candidates", message).help(help));
    }
}

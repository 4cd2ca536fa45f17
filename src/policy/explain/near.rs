//! Which permits came nearest to holding.

use super::super::{
    core::{Conditions, Entities, Entity, Evaluator, Laid, Rule, Scope, Uid},
    evaluate::Request,
    set::{Policy, PolicySet},
};
use crate::model::Effect;

/// A permit that does not hold, and by how much.
#[derive(Clone, Debug)]
pub struct Near<'p> {
    /// The permit.
    pub policy: &'p Policy,
    /// Whether its head can match whatever the facts: it names no other principal or resource.
    pub reachable: bool,
    /// How many of its conditions fail; a head that fails counts as one.
    pub failed: usize,
    /// How many facts must change at least.
    pub facts: usize,
}

impl<'p> Near<'p> {
    /// As near as its head alone lets it come.
    fn by_head(policy: &'p Policy, gap: Gap) -> Self {
        Self {
            policy,
            reachable: gap != Gap::Identity,
            failed: usize::from(gap != Gap::Facts(0)),
            facts: match gap {
                Gap::Facts(facts) => facts,
                Gap::Identity => 0,
            },
        }
    }

    /// At best, when one of its conditions fails.
    fn failing_once_more(&self) -> Self {
        Self {
            failed: self.failed + 1,
            facts: self.facts + 1,
            ..*self
        }
    }

    fn rank(&self) -> (bool, usize, usize, &'p str) {
        (!self.reachable, self.failed, self.facts, &self.policy.id)
    }
}

/// The permits for the request's action that came nearest to holding, at most so many: those with
/// the fewest failed conditions, then with the fewest facts to change.
pub fn nearest<'p>(
    policies: &'p PolicySet,
    request: &Request,
    entities: &Entities,
    at_most: usize,
) -> Vec<Near<'p>> {
    let asked = Asked::new(request, entities);
    let permits = policies.laid();
    let permits = permits.filter(|(policy, _)| policy.effect() == Effect::Permit);
    let mut heads: Vec<(Near<'p>, Laid)> = permits
        .filter_map(|(policy, laid)| {
            Some((Near::by_head(policy, gap(&policy.rule, &asked)?), laid))
        })
        .collect();
    // Stable, and policies come in the order of their ids: by rank.
    heads.sort_by_key(|(near, _)| (!near.reachable, near.failed, near.facts));
    let conditions = Conditions::new(policies.layout(), request, entities);
    let evaluator = Evaluator::new(request.clone(), entities);
    let mut found: Vec<Near<'p>> = Vec::new();
    for (mut near, laid) in heads {
        let worst = found.last().filter(|_| found.len() >= at_most);
        let is_too_far = |near: &Near<'_>| worst.is_some_and(|worst| near.rank() > worst.rank());
        // Conditions can only make it worse, and all that follow.
        if is_too_far(&near) {
            break;
        }
        let holds = conditions.at_a_glance(laid);
        if holds == Some(false) && is_too_far(&near.failing_once_more()) {
            continue;
        }
        if holds != Some(true) {
            near.count(&evaluator, worst.map_or(usize::MAX, |worst| worst.failed));
        }
        let at = found.partition_point(|other| other.rank() < near.rank());
        found.insert(at, near);
        found.truncate(at_most);
    }
    found
}

impl Near<'_> {
    /// Counts its conditions, as long as no more than so many fail.
    fn count(&mut self, evaluator: &Evaluator<'_>, at_most: usize) {
        let rule = &self.policy.rule;
        let mut met = true;
        for part in rule.conjuncts() {
            if self.failed > at_most {
                break;
            }
            match evaluator.part_holds(rule, part) {
                Ok(true) => {}
                // What stands behind a failed condition may rely on it.
                Err(_) if !met => {}
                Ok(false) | Err(_) => {
                    met = false;
                    self.failed += 1;
                    self.facts += 1;
                }
            }
        }
    }
}

/// Whom and what a request is about, each looked up once for all policies.
struct Asked<'q> {
    principal: Party<'q>,
    action: Party<'q>,
    resource: Party<'q>,
}

struct Party<'q> {
    uid: &'q Uid,
    entity: Option<&'q Entity>,
}

impl<'q> Asked<'q> {
    fn new(request: &'q Request, entities: &'q Entities) -> Self {
        let party = |uid| Party::new(uid, entities);
        Self {
            principal: party(&request.principal),
            action: party(&request.action),
            resource: party(&request.resource),
        }
    }
}

impl<'q> Party<'q> {
    fn new(uid: &'q Uid, entities: &'q Entities) -> Self {
        Self {
            uid,
            entity: entities.get(uid),
        }
    }

    fn is_in(&self, group: &Uid) -> bool {
        let within = |entity: &Entity| entity.is_in(group);
        self.uid == group || self.entity.is_some_and(within)
    }

    fn fits(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Any => true,
            Scope::Is(named) => named == self.uid,
            Scope::In(group) => self.is_in(group),
            Scope::OfType(kind) => self.uid.entity_type() == kind,
            Scope::OfTypeIn(kind, group) => self.uid.entity_type() == kind && self.is_in(group),
        }
    }
}

/// What keeps a head from matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// So many facts.
    Facts(usize),
    /// Who is asked about, or what.
    Identity,
}

/// `None`: it is about another action, or a slot of it is not filled.
fn gap(rule: &Rule, asked: &Asked<'_>) -> Option<Gap> {
    if !rule.is_for(asked.action.uid, |group| asked.action.is_in(group)) {
        return None;
    }
    let mut facts = 0;
    for (scope, party) in [
        (rule.principal_scope()?, &asked.principal),
        (rule.resource_scope()?, &asked.resource),
    ] {
        match &scope {
            _ if party.fits(&scope) => {}
            Scope::In(_) => facts += 1,
            Scope::OfTypeIn(kind, _) if party.uid.entity_type() == kind => facts += 1,
            _ => return Some(Gap::Identity),
        }
    }
    Some(Gap::Facts(facts))
}

/// Whether a head's action matches.
pub(super) fn action_fits(rule: &Rule, action: &Uid, entities: &Entities) -> bool {
    let asked = Party::new(action, entities);
    rule.is_for(action, |group| asked.is_in(group))
}

/// Whether an entity is what a head asks for.
pub(super) fn fits(scope: &Scope, uid: &Uid, entities: &Entities) -> bool {
    Party::new(uid, entities).fits(scope)
}

//! From a policy that came out one way to facts by which it may come out the other.

use std::{cell::Cell, rc::Rc};

use super::{
    super::{
        change::{Change, Edit, add},
        core::{Entities, Evaluator, Part, Plan, Rule, Scope, Uid, Way, Ways},
        evaluate::Request,
        schema::{ActionDef, Schema},
        set::Policy,
    },
    near::fits,
    weight,
};

/// The most states that are followed up at one step.
const MAX_BREADTH: usize = 8;

/// A request with some facts changed.
#[derive(Debug)]
pub struct Supposed {
    /// The changes.
    pub changes: Vec<Change>,
    /// The question under them.
    pub request: Request,
    /// All that is needed to decide it.
    pub entities: Entities,
}

/// Looks for changes of facts. All of its work is bounded by the states that it may suppose.
pub struct Reach<'a> {
    schema: &'a Schema,
    action: &'a ActionDef,
    /// Builds the state under some changes; `None` when they are not possible, or no more may be.
    suppose: &'a dyn Fn(&[Change]) -> Option<Supposed>,
    /// The most facts that may change.
    facts: usize,
    cut: Cell<bool>,
}

type States = Vec<Rc<Supposed>>;

impl<'a> Reach<'a> {
    /// Looks for changes of at most so many `facts`.
    pub fn new(
        schema: &'a Schema,
        action: &'a ActionDef,
        suppose: &'a dyn Fn(&[Change]) -> Option<Supposed>,
        facts: usize,
    ) -> Self {
        Self {
            schema,
            action,
            suppose,
            facts,
            cut: Cell::new(false),
        }
    }

    /// Whether something was left out for being too far away.
    pub fn was_cut(&self) -> bool {
        self.cut.get()
    }

    /// States in which a policy applies.
    pub fn applies(&self, policy: &Policy, from: &Rc<Supposed>) -> States {
        let rule = &policy.rule;
        let mut states = self.head_matches(rule, from);
        for part in rule.conjuncts() {
            let next = states
                .iter()
                .flat_map(|state| self.holds(rule, part, state));
            states = narrowed(next.collect());
        }
        states
    }

    /// States in which a policy that applies, or fails to be evaluated, no longer does.
    pub fn yields(&self, policy: &Policy, from: &Rc<Supposed>) -> States {
        let rule = &policy.rule;
        let mut states = self.head_leaves(rule, from);
        for part in rule.conjuncts() {
            states.extend(self.holds(rule, part.reversed(), from));
        }
        narrowed(states)
    }

    /// States in which a part of a rule is as the rule needs it.
    fn holds(&self, rule: &Rule, part: Part<'_>, from: &Rc<Supposed>) -> States {
        let evaluator = Evaluator::new(from.request.clone(), &from.entities);
        if evaluator.part_holds(rule, part).is_ok_and(|holds| holds) {
            return vec![Rc::clone(from)];
        }
        let ways = self.ways(rule, from, &evaluator);
        let states = match ways.plan(part) {
            Plan::Change(ways) => ways
                .iter()
                .filter_map(|way| self.after(from, way))
                .collect(),
            Plan::All(parts) => self.in_turn(rule, &parts, from),
            Plan::Any(plans) => {
                let states = plans
                    .iter()
                    .flat_map(|parts| self.in_turn(rule, parts, from));
                states.collect()
            }
        };
        let came = |state: &Rc<Supposed>| {
            let evaluator = Evaluator::new(state.request.clone(), &state.entities);
            evaluator.part_holds(rule, part).is_ok_and(|holds| holds)
        };
        let states: States = states;
        narrowed(states.into_iter().filter(came).collect())
    }

    fn in_turn(&self, rule: &Rule, parts: &[Part<'_>], from: &Rc<Supposed>) -> States {
        let mut states = vec![Rc::clone(from)];
        for part in parts {
            let next = states
                .iter()
                .flat_map(|state| self.holds(rule, *part, state));
            states = narrowed(next.collect());
        }
        states
    }

    fn head_matches(&self, rule: &Rule, from: &Rc<Supposed>) -> States {
        let mut way = Way::new();
        let evaluator = Evaluator::new(from.request.clone(), &from.entities);
        let ways = self.ways(rule, from, &evaluator);
        for (named, scope, uid) in parties(rule, &from.request) {
            match scope {
                Some(scope) if fits(&scope, uid, &from.entities) => {}
                Some(Scope::In(group)) => {
                    way.push(ways.parent(uid, named, Edit::Join(group), true));
                }
                Some(Scope::OfTypeIn(kind, group)) if uid.entity_type() == &kind => {
                    way.push(ways.parent(uid, named, Edit::Join(group), true));
                }
                _ => return Vec::new(),
            }
        }
        match way.is_empty() {
            true => vec![Rc::clone(from)],
            false => self.after(from, &way).into_iter().collect(),
        }
    }

    fn head_leaves(&self, rule: &Rule, from: &Rc<Supposed>) -> States {
        let evaluator = Evaluator::new(from.request.clone(), &from.entities);
        let ways = self.ways(rule, from, &evaluator);
        let mut states = Vec::new();
        for (named, scope, uid) in parties(rule, &from.request) {
            if let Some(Scope::In(group) | Scope::OfTypeIn(_, group)) = scope {
                let way = ways.leave(uid, named, &[&group]);
                states.extend(way.and_then(|way| self.after(from, &way)));
            }
        }
        states
    }

    fn ways<'w>(
        &'w self,
        rule: &'w Rule,
        from: &'w Supposed,
        evaluator: &'w Evaluator<'w>,
    ) -> Ways<'w> {
        Ways {
            evaluator,
            rule,
            context: &from.request.context,
            entities: &from.entities,
            schema: self.schema,
            action: self.action,
        }
    }

    /// The state after more changes.
    fn after(&self, from: &Supposed, way: &Way) -> Option<Rc<Supposed>> {
        let possible = |change: &Change| change.is_possible(self.schema, self.action);
        if !way.iter().all(possible) {
            return None;
        }
        let mut changes = from.changes.clone();
        for change in way {
            changes = add(&changes, change)?;
        }
        if changes.len() > self.facts {
            self.cut.set(true);
            return None;
        }
        (self.suppose)(&changes).map(Rc::new)
    }
}

fn parties<'q>(rule: &Rule, request: &'q Request) -> [(&'static str, Option<Scope>, &'q Uid); 2] {
    [
        ("principal", rule.principal_scope(), &request.principal),
        ("resource", rule.resource_scope(), &request.resource),
    ]
}

/// The most promising states, each once.
fn narrowed(mut states: States) -> States {
    states.sort_by_key(|state| weight(state));
    let mut kept: States = Vec::new();
    for state in states {
        if !kept.iter().any(|it| it.changes == state.changes) {
            kept.push(state);
        }
    }
    kept.truncate(MAX_BREADTH);
    kept
}

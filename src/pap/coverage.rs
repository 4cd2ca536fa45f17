//! What the cases of a bundle try out: policies that decided, conditions seen both true and false,
//! routes taken, principal rules used.

mod lcov;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::{
    cases::{ask, rehearsal},
    pool::pool,
};
use crate::{
    bundle::{Case, Route, Snapshot},
    model::Effect,
    pdp::{Footprint, footprint},
    policy::{Condition, Place, Policy, core::Truth},
};
pub use lcov::lcov;

/// What was tried out, and how often.
#[derive(Debug)]
pub struct Coverage<'s> {
    /// The policies as they are written, in the order of the files; a template's links are one.
    pub policies: Vec<PolicyUse<'s>>,
    /// The principal rules: where each is, what it makes, how many cases it made a principal for.
    pub principals: Vec<(&'s Place, String, u64)>,
    /// The routes, with how many cases took each.
    pub routes: Vec<(&'s Route, u64)>,
}

/// How one policy was used.
#[derive(Debug)]
pub struct PolicyUse<'s> {
    /// The policy; of a template, its first link.
    pub policy: &'s Policy,
    /// How many cases it decided.
    pub decided: u64,
    /// How many cases its head matched.
    pub matched: u64,
    /// How its conditions came out.
    pub conditions: Vec<ConditionUse>,
}

/// How one condition came out.
#[derive(Debug)]
pub struct ConditionUse {
    /// The condition.
    pub condition: Condition,
    /// How often it was true.
    pub yes: u64,
    /// How often it was false.
    pub no: u64,
}

impl ConditionUse {
    /// Whether it was seen both ways.
    pub fn is_covered(&self) -> bool {
        self.yes > 0 && self.no > 0
    }
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many were tried out.
    pub covered: u64,
    /// How many there are.
    pub all: u64,
}

impl Share {
    fn of(each: impl Iterator<Item = bool>) -> Self {
        let mut share = Self::default();
        for covered in each {
            share.covered += u64::from(covered);
            share.all += 1;
        }
        share
    }

    fn and(self, other: Self) -> Self {
        Self {
            covered: self.covered + other.covered,
            all: self.all + other.all,
        }
    }

    /// In percent, rounded down, so that 100 is all of them.
    pub fn percent(self) -> u64 {
        match self.all {
            0 => 100,
            all => self.covered * 100 / all,
        }
    }
}

impl<'s> Coverage<'s> {
    /// Runs all cases of a bundle, and looks at what they touch.
    pub fn of(snapshot: &'s Snapshot) -> Self {
        let cases: Vec<&Case> = snapshot.cases.iter().flat_map(|it| &it.cases).collect();
        let seen = pool(|| {
            let seen = cases.par_iter().map(|case| Seen::of(snapshot, case));
            seen.reduce(Seen::default, Seen::and)
        });
        let mut policies: Vec<PolicyUse<'s>> = by_place(snapshot)
            .into_values()
            .map(|policy| seen.policy(policy))
            .collect();
        policies.sort_by(|a, b| a.policy.place.cmp(&b.policy.place));
        Self {
            policies,
            principals: snapshot
                .mapping
                .places()
                .map(|(place, made)| (place, made.to_string(), seen.at(place)))
                .collect(),
            routes: (snapshot.routes.all().iter())
                .map(|route| (route, seen.at(&route.place)))
                .collect(),
        }
    }

    /// Policies that decided a case.
    pub fn of_policies(&self) -> Share {
        Share::of(self.policies.iter().map(|it| it.decided > 0))
    }

    /// Conditions seen both true and false; each counts twice, once for each.
    pub fn of_conditions(&self) -> Share {
        let conditions = self.policies.iter().flat_map(|it| &it.conditions);
        Share::of(conditions.flat_map(|it| [it.yes > 0, it.no > 0]))
    }

    /// Principal rules that were used.
    pub fn of_principals(&self) -> Share {
        Share::of(self.principals.iter().map(|(_, _, used)| *used > 0))
    }

    /// Routes that were taken.
    pub fn of_routes(&self) -> Share {
        Share::of(self.routes.iter().map(|(_, taken)| *taken > 0))
    }

    /// All of these together.
    pub fn total(&self) -> Share {
        self.of_policies()
            .and(self.of_conditions())
            .and(self.of_principals())
            .and(self.of_routes())
    }
}

/// One policy for each statement: a template's links have its place.
fn by_place(snapshot: &Snapshot) -> BTreeMap<&Place, &Policy> {
    let policies = snapshot.policies.policies().iter();
    // The first link stands for all.
    policies.rev().map(|it| (&it.place, it)).collect()
}

/// What some cases touched.
#[derive(Default)]
struct Seen {
    /// Principal rules and routes.
    places: BTreeMap<Place, u64>,
    /// Policies by where they are written.
    policies: BTreeMap<Place, Touched>,
}

#[derive(Default)]
struct Touched {
    decided: u64,
    matched: u64,
    /// How often each condition was true and false.
    conditions: Vec<(u64, u64)>,
}

impl Seen {
    fn of(snapshot: &Snapshot, case: &Case) -> Self {
        let mut seen = Self::default();
        let Footprint {
            principal,
            route,
            observed,
        } = footprint(snapshot, &rehearsal(case));
        for place in principal.into_iter().chain(route) {
            seen.places.insert(place.clone(), 1);
        }
        for observed in observed {
            let conditions = observed.outcomes.iter().map(|truth| match truth {
                Truth::True => (1, 0),
                Truth::False => (0, 1),
                Truth::NotReached | Truth::Errored(_) => (0, 0),
            });
            let touched = Touched {
                decided: 0,
                matched: 1,
                conditions: conditions.collect(),
            };
            seen.add(observed.policy.place.clone(), touched);
        }
        let decided = ask(snapshot, case).ok().map(|it| it.decision.reasons);
        for reason in decided.into_iter().flatten() {
            if let Some(policy) = snapshot.policies.get(&reason.policy_id) {
                let decided = Touched {
                    decided: 1,
                    ..Touched::default()
                };
                seen.add(policy.place.clone(), decided);
            }
        }
        seen
    }

    fn add(&mut self, place: Place, more: Touched) {
        let touched = self.policies.entry(place).or_default();
        touched.decided += more.decided;
        touched.matched += more.matched;
        let longer = touched.conditions.len().max(more.conditions.len());
        touched.conditions.resize(longer, (0, 0));
        for (sum, more) in touched.conditions.iter_mut().zip(more.conditions) {
            sum.0 += more.0;
            sum.1 += more.1;
        }
    }

    fn and(mut self, other: Self) -> Self {
        for (place, touched) in other.policies {
            self.add(place, touched);
        }
        for (place, times) in other.places {
            *self.places.entry(place).or_default() += times;
        }
        self
    }

    fn at(&self, place: &Place) -> u64 {
        self.places.get(place).copied().unwrap_or(0)
    }

    fn policy<'s>(&self, policy: &'s Policy) -> PolicyUse<'s> {
        let touched = self.policies.get(&policy.place);
        let outcomes = touched.map_or(&[][..], |it| &it.conditions);
        let conditions = policy.conditions().into_iter().enumerate();
        PolicyUse {
            policy,
            decided: touched.map_or(0, |it| it.decided),
            matched: touched.map_or(0, |it| it.matched),
            conditions: conditions
                .map(|(n, condition)| {
                    let (yes, no) = outcomes.get(n).copied().unwrap_or((0, 0));
                    ConditionUse { condition, yes, no }
                })
                .collect(),
        }
    }
}

impl PolicyUse<'_> {
    /// What it is, for people.
    pub fn name(&self) -> (Effect, &Arc<str>) {
        (self.policy.effect(), &self.policy.id)
    }
}

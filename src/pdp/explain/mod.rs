//! Why a question came out as it did, and which facts would have to be otherwise.
//!
//! **Invariant:** pure, as [`decide`] is. What it says would be allowed was decided by the same
//! function as any question; an [`Explanation`] is no [`super::Answer`], and nothing makes one of it.

mod asked;
mod rate;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::decide::{conclude, decide};
use crate::{
    bundle::Snapshot,
    model::{Cause, Decision, Effect, Outcome, Refusal, Timestamp},
    pip::{Asked, Known, Principal, Supposing},
    policy::{
        Change, Finding, Findings, Near, Policy, Reach, Supposed, core::Uid, nearest, weight,
    },
};
pub use asked::Explained;
pub(super) use asked::Explaining;
use rate::Rate;

/// The most permits that are told about.
const PERMITS: usize = 3;
/// The most permits that are tried for them.
const TRIED: usize = 8;
/// The most facts of one flip.
const FACTS: usize = 3;
/// The most flips for one permit.
const FLIPS: usize = 3;
/// The most states that are built and decided for one explanation.
const STATES: usize = 2_000;

/// How much an explanation may tell, and for how long it may be worked on.
#[derive(Clone, Copy)]
pub struct Telling<'a> {
    /// Whether the values that decided are shown.
    pub values: bool,
    /// Turns true when there is no time left; what was found until then is told.
    pub stop: &'a dyn Fn() -> bool,
}

impl Telling<'_> {
    /// Everything, however long it takes.
    pub const ALL: Telling<'static> = Telling {
        values: true,
        stop: &|| false,
    };
}

/// Why a question came out as it did.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// Whom the question is about, as the policies know them.
    pub principal: Uid,
    /// What they want to do.
    pub action: Uid,
    /// To what.
    pub resource: Uid,
    /// Whether the schema lets such a principal do this at all; if not, no policy was asked.
    pub applicable: bool,
    /// The policies that determined the decision, and those that could not be evaluated.
    pub determining: Vec<Finding>,
    /// Of a denial that no permit stands against: the permits that came nearest.
    pub nearest: Vec<Finding>,
    /// Sets of facts under which it would be allowed, the smallest first.
    pub flips: Vec<Flip>,
    /// Whether there may be more permits or flips than are told.
    pub truncated: bool,
    /// Whether values are shown.
    pub values: bool,
}

/// Changes of facts under which a denied question is allowed.
#[derive(Clone, Debug)]
pub struct Flip {
    /// What would have to change, together.
    pub changes: Vec<Change>,
    /// The decision under them.
    pub decision: Decision,
}

/// Explains what [`decide`] answers to the same arguments.
///
/// # Errors
/// The [`Refusal`] of [`decide`].
pub fn explain<'w>(
    known: impl Into<Known<'w>>,
    who: &'w Principal,
    asked: Asked<'_>,
    now: Timestamp,
    telling: Telling<'_>,
) -> Result<Explanation, Refusal> {
    let known: Known<'w> = known.into();
    let snapshot = known.snapshot();
    let decided = decide(known, who, asked, now)?;
    let supposing = Supposing::new(known, who, asked, now)?;
    let search = Search {
        snapshot,
        who,
        now,
        supposing: &supposing,
        left: Cell::new(STATES),
        stop: telling.stop,
        over: Cell::new(false),
    };
    let unchanged = search.suppose(&[]).map(Rc::new);
    let start = unchanged.ok_or_else(|| Refusal::Unavailable {
        detail: "the question could not be looked at again".to_owned(),
    })?;
    let findings = Findings::new(start.request.clone(), &start.entities, telling.values);
    let decision = decided.decision;
    let applicable = supposing
        .action()
        .principals
        .contains(who.uid().entity_type());
    let reasons = decision.reasons.iter().map(|it| &it.policy_id);
    let errors = decision.errors.iter().map(|it| &it.policy_id);
    let determining = reasons
        .chain(errors)
        .filter_map(|id| snapshot.policies.get(id));
    let determining = determining.map(|policy| findings.of(policy)).collect();
    let mut explanation = Explanation {
        principal: who.uid().clone(),
        action: decided.action,
        resource: decided.resource,
        applicable,
        determining,
        nearest: Vec::new(),
        flips: Vec::new(),
        truncated: false,
        values: telling.values,
        decision,
    };
    // Without the same decision for the same facts nothing that follows would be true.
    let same = search
        .decide(&start)
        .is_some_and(|again| again.cause == explanation.decision.cause);
    if explanation.decision.outcome == Outcome::Deny && applicable && same {
        search.denied(&start, &findings, &mut explanation);
    }
    Ok(explanation)
}

struct Search<'a, 's> {
    snapshot: &'s Snapshot,
    who: &'a Principal,
    now: Timestamp,
    supposing: &'a Supposing<'s>,
    left: Cell<usize>,
    stop: &'a dyn Fn() -> bool,
    over: Cell<bool>,
}

type State = Rc<Supposed>;

impl Search<'_, '_> {
    fn denied(&self, start: &State, findings: &Findings<'_>, explanation: &mut Explanation) {
        let suppose = |changes: &[Change]| self.suppose(changes);
        let action = self.supposing.action();
        let reach = Reach::new(&self.snapshot.schema, action, &suppose, FACTS);
        let policies = &self.snapshot.policies;
        let mut near = nearest(policies, &start.request, &start.entities, TRIED);
        // One that is about someone or something else tells little, where another does not.
        if near.iter().any(|it| it.reachable) {
            near.retain(|it| it.reachable);
        }
        // A permit that holds already needs no more than that no forbid does.
        let permitted = near.first().is_some_and(|it| it.failed == 0);
        let mut found: Vec<(Near<'_>, Vec<Flip>)> = Vec::new();
        if permitted {
            near.truncate(1);
        }
        for near in near {
            let from = match permitted {
                true => vec![Rc::clone(start)],
                false => reach.applies(near.policy, start),
            };
            let flips = self.flips(from, &reach);
            found.push((near, flips));
        }
        let changed = |flips: &[Flip]| flips.iter().map(|it| it.changes.len()).min();
        found.sort_by_key(|(near, flips)| {
            let facts = changed(flips).unwrap_or(usize::MAX);
            (!near.reachable, near.failed, facts, near.policy.id.clone())
        });
        explanation.truncated = self.over.get() || reach.was_cut() || found.len() > PERMITS;
        found.truncate(PERMITS);
        for (near, flips) in found {
            if !permitted {
                explanation.nearest.push(findings.of(near.policy));
            }
            for flip in flips {
                if !explanation.flips.iter().any(|it| same_changes(it, &flip)) {
                    explanation.flips.push(flip);
                }
            }
        }
        explanation.flips.sort_by_key(|flip| flip.changes.len());
    }

    /// Follows states until they are allowed, the nearest first.
    fn flips(&self, from: Vec<State>, reach: &Reach<'_>) -> Vec<Flip> {
        let seen: RefCell<Vec<Vec<Change>>> = RefCell::default();
        let mut open: Vec<State> = Vec::new();
        let mut flips: Vec<Flip> = Vec::new();
        let push = |open: &mut Vec<State>, state: State| {
            let mut seen = seen.borrow_mut();
            if !seen.contains(&state.changes) {
                seen.push(state.changes.clone());
                let at = open.partition_point(|it| weight(it) >= weight(&state));
                open.insert(at, state);
            }
        };
        from.into_iter().for_each(|state| push(&mut open, state));
        while let Some(state) = open.pop() {
            let size = state.changes.len();
            let done = flips.first().is_some_and(|flip| flip.changes.len() < size);
            if done || flips.len() >= FLIPS {
                break;
            }
            let Some(decision) = self.decide(&state) else {
                break;
            };
            if decision.outcome == Outcome::Allow {
                let flip = self.smallest(&state, decision);
                if !flip.changes.is_empty() && !flips.iter().any(|it| same_changes(it, &flip)) {
                    flips.push(flip);
                }
                continue;
            }
            if let Some(forbid) = self.in_the_way(&decision) {
                for next in reach.yields(forbid, &state) {
                    push(&mut open, next);
                }
            }
        }
        flips.sort_by_key(|flip| flip.changes.len());
        let least = flips.first().map_or(0, |flip| flip.changes.len());
        flips.retain(|flip| flip.changes.len() == least);
        flips
    }

    /// The first forbid that denies.
    fn in_the_way(&self, decision: &Decision) -> Option<&Policy> {
        let id = match decision.cause {
            Cause::Forbidden => &decision.reasons.first()?.policy_id,
            Cause::ForbidErrored => {
                let mut errors = decision.errors.iter();
                &errors.find(|it| it.effect == Effect::Forbid)?.policy_id
            }
            Cause::Permitted | Cause::NothingPermits => return None,
        };
        self.snapshot.policies.get(id)
    }

    /// Leaves out changes that it does without.
    fn smallest(&self, state: &State, decision: Decision) -> Flip {
        let mut flip = Flip {
            changes: state.changes.clone(),
            decision,
        };
        let mut n = 0;
        while n < flip.changes.len() && flip.changes.len() > 1 {
            let mut fewer = flip.changes.clone();
            fewer.remove(n);
            let decided = self.suppose(&fewer).and_then(|state| self.decide(&state));
            match decided.filter(|it| it.outcome == Outcome::Allow) {
                Some(decision) => {
                    flip = Flip {
                        changes: fewer,
                        decision,
                    };
                }
                None => n += 1,
            }
        }
        flip
    }

    fn suppose(&self, changes: &[Change]) -> Option<Supposed> {
        self.spend()?;
        self.supposing.with(changes)
    }

    /// What is decided under changed facts; `None` when no more may be.
    fn decide(&self, state: &Supposed) -> Option<Decision> {
        self.spend()?;
        let action = self.supposing.action();
        let request = &state.request;
        let (snapshot, entities) = (self.snapshot, &state.entities);
        Some(conclude(
            snapshot, self.who, action, request, entities, self.now,
        ))
    }

    fn spend(&self) -> Option<()> {
        let left = self.left.get().checked_sub(1).filter(|_| !(self.stop)());
        match left {
            Some(left) => self.left.set(left),
            None => self.over.set(true),
        }
        left.map(|_| ())
    }
}

fn same_changes(a: &Flip, b: &Flip) -> bool {
    a.changes.len() == b.changes.len() && a.changes.iter().all(|it| b.changes.contains(it))
}

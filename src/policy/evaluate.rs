//! Policies × request × entities → what follows, with reasons.

use std::{collections::BTreeMap, sync::Arc};

use smol_str::SmolStr;

use super::{
    core::{CedarValue, Conditions, Entities, RuleError, Uid},
    index::{Gist, Party},
    set::{Policy, PolicySet},
};
use crate::model::{
    Cause, Challenge, Decision, Effect, EvaluationFault, Obligation, Outcome, SignedDuration,
};

/// A question in Cedar's terms.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who.
    pub principal: Uid,
    /// Does what.
    pub action: Uid,
    /// To what.
    pub resource: Uid,
    /// Under which circumstances.
    pub context: BTreeMap<SmolStr, CedarValue>,
}

/// What follows from the policies.
#[derive(Debug)]
pub struct Evaluation {
    /// The decision; its `cacheable_for` is zero, which the caller may raise.
    pub decision: Decision,
    /// Whether a policy whose head matched may depend on the time.
    pub reads_now: bool,
}

/// Evaluates the policies whose heads match.
///
/// Equal to Cedar's `Authorizer` in decision, determining policies and errors, except that with
/// `strict_errors` a forbid that cannot be evaluated denies: Cedar would skip it, which fails open.
pub fn evaluate(
    policies: &PolicySet,
    request: Request,
    entities: &Entities,
    strict_errors: bool,
) -> Evaluation {
    let mut found = Found::default();
    found.add_all(policies, &request, entities, None, &|| false);
    found.conclude(strict_errors)
}

/// The same, unless `expired` says between two policies that there is no time left. `principal` is what
/// the principal's entity is to `policies`, where that was found out before.
pub fn evaluate_within(
    policies: &PolicySet,
    request: &Request,
    entities: &Entities,
    principal: Option<&Party>,
    strict_errors: bool,
    expired: Expired<'_>,
) -> Option<Evaluation> {
    let mut found = Found::default();
    let whole = found.add_all(policies, request, entities, principal, expired);
    whole.then(|| found.conclude(strict_errors))
}

/// Tells whether there is no time left.
pub type Expired<'a> = &'a dyn Fn() -> bool;

/// Policies evaluated between two looks at the time: a few microseconds.
const BETWEEN_LOOKS: usize = 16;

/// What is known after some of the policies.
#[derive(Default)]
struct Found<'p> {
    permits: Vec<&'p Policy>,
    forbids: Vec<&'p Policy>,
    /// Permits whose conditions do not hold, and that say how to come nearer.
    near: Vec<&'p Policy>,
    errors: Vec<(&'p Policy, RuleError)>,
    reads_now: bool,
}

impl<'p> Found<'p> {
    /// Adds every policy whose head matches; `false` when time was over before the last.
    fn add_all(
        &mut self,
        policies: &'p PolicySet,
        request: &Request,
        entities: &Entities,
        principal: Option<&Party>,
        expired: Expired<'_>,
    ) -> bool {
        let party = |uid| policies.party(uid, entities.get(uid));
        let found_out;
        let principal = match principal {
            Some(known) => known,
            None => {
                found_out = party(&request.principal);
                &found_out
            }
        };
        let matching = policies.matching(principal, &request.action, &party(&request.resource));
        let conditions = Conditions::new(policies.layout(), request, entities);
        for (n, (policy, gist)) in matching.enumerate() {
            if n > 0 && n.is_multiple_of(BETWEEN_LOOKS) && expired() {
                return false;
            }
            self.add(policy, gist, &conditions);
        }
        true
    }

    /// Adds one policy, whose own place in memory is looked at only when it matters.
    fn add(&mut self, policy: &'p Policy, gist: Gist, conditions: &Conditions<'_>) {
        self.reads_now |= gist.reads_now;
        match (conditions.hold(&policy.rule, gist.laid), gist.effect) {
            (Ok(true), Effect::Permit) => self.permits.push(policy),
            (Ok(true), Effect::Forbid) => self.forbids.push(policy),
            (Ok(false), Effect::Permit) if gist.challenges => self.near.push(policy),
            (Ok(false), Effect::Permit | Effect::Forbid) => {}
            (Err(error), _) => self.errors.push((policy, error)),
        }
    }

    fn conclude(self, strict_errors: bool) -> Evaluation {
        let forbid_errored = self
            .errors
            .iter()
            .any(|(policy, _)| policy.effect() == Effect::Forbid);
        let (cause, determining): (Cause, &[&Policy]) = if !self.forbids.is_empty() {
            (Cause::Forbidden, &self.forbids)
        } else if strict_errors && forbid_errored {
            (Cause::ForbidErrored, &[])
        } else if !self.permits.is_empty() {
            (Cause::Permitted, &self.permits)
        } else {
            (Cause::NothingPermits, &[])
        };
        let outcome = match cause {
            Cause::Permitted => Outcome::Allow,
            Cause::Forbidden | Cause::ForbidErrored | Cause::NothingPermits => Outcome::Deny,
        };
        let challenge = match cause {
            Cause::Forbidden => first_challenge(&self.forbids),
            Cause::NothingPermits => first_challenge(&self.near),
            Cause::Permitted | Cause::ForbidErrored => None,
        };
        let decision = Decision {
            outcome,
            cause,
            reasons: determining
                .iter()
                .map(|policy| Arc::clone(&policy.reason))
                .collect(),
            obligations: match outcome {
                Outcome::Allow => determining
                    .iter()
                    .filter_map(|policy| obligation(policy))
                    .collect(),
                Outcome::Deny => Vec::new(),
            },
            errors: self
                .errors
                .into_iter()
                .map(|(policy, error)| fault(policy, error))
                .collect(),
            challenge,
            cacheable_for: SignedDuration::ZERO,
        };
        Evaluation {
            decision,
            reads_now: self.reads_now,
        }
    }
}

fn first_challenge(policies: &[&Policy]) -> Option<Challenge> {
    policies
        .iter()
        .find_map(|policy| policy.challenge().cloned())
}

fn obligation(policy: &Policy) -> Option<Obligation> {
    Some(Obligation {
        policy_id: Arc::clone(&policy.id),
        text: policy.annotations.obligation.clone()?,
    })
}

fn fault(policy: &Policy, error: RuleError) -> EvaluationFault {
    EvaluationFault {
        policy_id: Arc::clone(&policy.id),
        effect: policy.effect(),
        code: error.code,
        message: error.message,
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc};

    use super::*;
    use crate::policy::{ParsedPolicies, Schema, TextLimits};

    /// Evaluates so many permits; `looks` is how often time may be asked for before it is over.
    #[track_caller]
    fn check(permits: usize, looks: usize, expected: (Option<usize>, usize)) {
        let text = "entity User, Doc; action view appliesTo { principal: User, resource: Doc };";
        let schema = Schema::parse(&"schema".into(), text, "").unwrap();
        let text = "permit(principal, action, resource);".repeat(permits);
        let file: Arc<str> = "all.cedar".into();
        let files = [(&file, text.as_str())];
        let parsed = ParsedPolicies::parse(files, TextLimits::default(), &mut Vec::new());
        let policies = parsed.validate(|_| Some(&*text), &schema, 3).unwrap();
        let uid = |text: &str| {
            let uid: cedar_policy::EntityUid = text.parse().unwrap();
            uid.as_ref().clone()
        };
        let request = Request {
            principal: uid("User::\"alice\""),
            action: uid("Action::\"view\""),
            resource: uid("Doc::\"one\""),
            context: BTreeMap::new(),
        };
        let looked = Cell::new(0);
        let expired = || {
            looked.set(looked.get() + 1);
            looked.get() > looks
        };
        let entities = Entities::default();
        let found = evaluate_within(&policies, &request, &entities, None, true, &expired);
        let reasons = found.map(|it| it.decision.reasons.len());
        assert_eq!((reasons, looked.get()), expected);
    }

    #[test]
    fn time_is_looked_at_between_policies_and_when_it_is_over_there_is_no_decision() {
        check(BETWEEN_LOOKS, 0, (Some(BETWEEN_LOOKS), 0));
        check(BETWEEN_LOOKS + 1, 0, (None, 1));
        check(BETWEEN_LOOKS + 1, 1, (Some(BETWEEN_LOOKS + 1), 1));
        check(10 * BETWEEN_LOOKS, 4, (None, 5));
        check(10 * BETWEEN_LOOKS, 9, (Some(10 * BETWEEN_LOOKS), 9));
    }
}

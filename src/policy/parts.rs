//! The conditions of policies, in their authors' own words, and how they come out for a request.

use std::ops::Range;

use super::{
    core::{Entities, Evaluator, Part, Truth},
    evaluate::Request,
    fault::Place,
    set::{Policy, PolicySet},
};

/// An expression within a policy's conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The author's own text.
    pub text: String,
    /// Where it begins.
    pub place: Place,
    /// Where it is in its file, in bytes.
    pub span: Range<usize>,
    /// Whether the policy needs it to be false, as what stands in `unless`.
    pub negated: bool,
}

/// How the conditions of a policy whose head matched came out.
#[derive(Debug)]
pub struct Observed<'p> {
    /// The policy.
    pub policy: &'p Policy,
    /// How each of [`Policy::conditions`] came out.
    pub outcomes: Vec<Truth>,
    /// Whether all of them together hold; else the kind of failure.
    pub holds: Result<bool, &'static str>,
}

impl Policy {
    /// What must all come out for the policy to apply, once its head matches: the operands of `&&`
    /// at the top of its `when`, those of `||` at the top of its `unless`.
    pub fn conjuncts(&self) -> Vec<Condition> {
        self.told(self.rule.conjuncts())
    }

    /// Every condition that is true or false by itself: what `&&`, `||`, `!` and `if` join.
    pub fn conditions(&self) -> Vec<Condition> {
        self.told(self.rule.conditions())
    }

    /// The place of a byte of [`super::core::Rule::text`].
    pub(super) fn place_of(&self, at: usize) -> Place {
        let Some((text, own)) = self.rule.text() else {
            return self.place.clone();
        };
        let before = text.get(own.start..at).unwrap_or_default();
        let (lines, column) = match before.rsplit_once('\n') {
            Some((above, same_line)) => (
                above.matches('\n').count() + 1,
                same_line.chars().count() + 1,
            ),
            None => (0, self.place.column + before.chars().count()),
        };
        Place {
            file: self.place.file.clone(),
            line: self.place.line + lines,
            column,
        }
    }

    fn told(&self, parts: Vec<Part<'_>>) -> Vec<Condition> {
        let base = self.base;
        let told = parts.into_iter().map(|part| {
            let span = part.span();
            Condition {
                text: part.text().to_owned(),
                place: self.place_of(span.start),
                span: base + span.start..base + span.end,
                negated: part.negated,
            }
        });
        told.collect()
    }
}

/// Evaluates the policies whose heads match, condition by condition, as a decision does: what comes
/// after a false operand of `&&` is not reached.
pub fn observe<'p>(
    policies: &'p PolicySet,
    request: Request,
    entities: &Entities,
) -> Vec<Observed<'p>> {
    let Request {
        principal,
        action,
        resource,
        ..
    } = &request;
    let party = |uid| policies.party(uid, entities.get(uid));
    let matching = policies.matching(&party(principal), action, &party(resource));
    let evaluator = Evaluator::new(request, entities);
    let observed = matching.map(|(policy, _)| Observed {
        policy,
        outcomes: evaluator.outcomes(&policy.rule),
        holds: evaluator
            .conditions_hold(&policy.rule)
            .map_err(|error| error.code),
    });
    observed.collect()
}

#[cfg(test)]
mod tests;

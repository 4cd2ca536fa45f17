//! Why a decision came out as it did: what each policy asked for, what it saw, and what would have
//! to be otherwise.
//!
//! **Invariant:** nothing here decides. What a change leads to is found out by deciding again.

mod near;
mod reach;
mod words;

use std::{ops::Range, sync::Arc};

use super::{
    core::{Entities, Evaluator, HeadPart, Part, Scope, Seen, Truth, Uid, ancestors_like},
    evaluate::Request,
    fault::Place,
    set::Policy,
};
use crate::model::Effect;

pub use near::{Near, nearest};
pub use reach::{Reach, Supposed};
pub use words::{FactKind, told, weight};

/// The most text of one value that is shown, in bytes.
const MAX_VALUE: usize = 200;

/// What became of one policy.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The policy.
    pub policy_id: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// Where it begins.
    pub place: Place,
    /// Its author's text, annotations included.
    pub source: String,
    /// What fills its slots, as `?principal = User::"alice"`.
    pub slots: Vec<String>,
    /// `@reason`: text for the end user.
    pub reason: Option<Arc<str>>,
    /// `@advice`: what the end user can do.
    pub advice: Option<Arc<str>>,
    /// How it came out.
    pub came: Came,
    /// What it asks for: its head, then its conditions, in the order of the text.
    pub asks: Vec<Ask>,
}

/// How a policy came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// All that it asks for holds.
    Applies,
    /// Something does not hold.
    Fails,
    /// It could not be evaluated; the kind of failure and the failure in words.
    Errored(&'static str, String),
}

/// One thing that a policy asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The author's own text.
    pub text: String,
    /// Where it begins.
    pub place: Place,
    /// Where it is in [`Finding::source`], in bytes.
    pub span: Range<usize>,
    /// Whether it is of the head.
    pub head: bool,
    /// Whether the policy needs it to be false, as what stands in `unless`.
    pub negated: bool,
    /// Whether it is as the policy needs it.
    pub met: Truth,
    /// What it looked at.
    pub saw: Vec<Saw>,
    /// Of one that is made of several: where each is in [`Finding::source`], and how it came out.
    pub parts: Vec<(Range<usize>, Truth)>,
}

/// Something that was looked at.
#[derive(Clone, Debug)]
pub struct Saw {
    /// What the policy's author calls it.
    pub path: String,
    /// What it was.
    pub value: Shown,
}

/// A value, for who may see it.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// Not for this reader.
    Hidden,
    /// There was nothing.
    Absent,
    /// In Cedar's notation, cut when long.
    Value(String),
}

impl std::fmt::Debug for Shown {
    /// Values are facts about someone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hidden => "Hidden",
            Self::Absent => "Absent",
            Self::Value(_) => "Value(***)",
        })
    }
}

/// Tells what became of policies under one request. Values are shown only where `values` says so.
pub struct Findings<'e> {
    evaluator: Evaluator<'e>,
    request: Request,
    entities: &'e Entities,
    values: bool,
}

impl<'e> Findings<'e> {
    /// Looks at what is known of a request.
    pub fn new(request: Request, entities: &'e Entities, values: bool) -> Self {
        Self {
            evaluator: Evaluator::new(request.clone(), entities),
            request,
            entities,
            values,
        }
    }

    /// What became of one policy.
    pub fn of(&self, policy: &Policy) -> Finding {
        let rule = &policy.rule;
        let (text, own) = rule.text().unwrap_or_default();
        let mut asks: Vec<Ask> = rule
            .head_parts()
            .iter()
            .map(|it| self.head(policy, it))
            .collect();
        let head_fits = asks.iter().all(|ask| ask.met == Truth::True);
        let mut met = true;
        for part in rule.conjuncts() {
            let mut ask = self.condition(policy, part);
            // What stands behind a failed condition may rely on it.
            if !met && matches!(ask.met, Truth::Errored(_)) {
                ask.met = Truth::NotReached;
            }
            met &= ask.met == Truth::True;
            asks.push(ask);
        }
        let came = match self.evaluator.conditions_hold(rule) {
            Ok(true) if head_fits => Came::Applies,
            Err(error) if head_fits => Came::Errored(
                error.code,
                match self.values {
                    true => error.message,
                    false => String::new(),
                },
            ),
            _ => Came::Fails,
        };
        Finding {
            policy_id: Arc::clone(&policy.id),
            effect: policy.effect(),
            place: policy.place.clone(),
            source: text.get(own).unwrap_or_default().to_owned(),
            slots: rule.slots_told(),
            reason: policy.annotations.reason.clone(),
            advice: policy.annotations.advice.clone(),
            came,
            asks,
        }
    }

    fn head(&self, policy: &Policy, part: &HeadPart) -> Ask {
        let Request {
            principal,
            action,
            resource,
            ..
        } = &self.request;
        let rule = &policy.rule;
        let (uid, scope) = match part.of {
            "principal" => (principal, rule.principal_scope()),
            "resource" => (resource, rule.resource_scope()),
            _ => (action, None),
        };
        let met = match (part.of, &scope) {
            ("action", _) => near::action_fits(rule, action, self.entities),
            (_, Some(scope)) => near::fits(scope, uid, self.entities),
            (_, None) => false,
        };
        let groups: Vec<&Uid> = match &scope {
            Some(Scope::In(group) | Scope::OfTypeIn(_, group)) => vec![group],
            _ => Vec::new(),
        };
        let within = (!groups.is_empty()).then(|| ancestors_like(self.entities, uid, &groups));
        let seen = Seen {
            path: part.of.to_owned(),
            value: Some(super::core::entity_value(uid.clone())),
            within,
        };
        let (text, own) = rule.text().unwrap_or_default();
        Ask {
            text: one_line(text.get(part.span.clone()).unwrap_or_default()),
            place: policy.place_of(part.span.start),
            span: within_source(&own, &part.span),
            head: true,
            negated: false,
            met: truth(met),
            saw: vec![self.saw(seen, &groups, false)],
            parts: Vec::new(),
        }
    }

    fn condition(&self, policy: &Policy, part: Part<'_>) -> Ask {
        let rule = &policy.rule;
        let (_, own) = rule.text().unwrap_or_default();
        let conditions = part.conditions();
        let parts = match conditions.as_slice() {
            [_] => Vec::new(),
            _ => {
                let outcomes = self.evaluator.outcomes_within(rule, part);
                let spans = conditions.iter().map(|it| within_source(&own, &it.span()));
                spans.zip(outcomes).collect()
            }
        };
        let met = match self.evaluator.part_holds(rule, part) {
            Ok(holds) => truth(holds),
            Err(error) => Truth::Errored(error.code),
        };
        let errored = matches!(met, Truth::Errored(_));
        let seen = self.evaluator.seen(rule, part, self.entities);
        let span = part.span();
        Ask {
            text: one_line(part.text()),
            place: policy.place_of(span.start),
            span: within_source(&own, &span),
            head: false,
            negated: part.negated,
            met,
            saw: seen
                .into_iter()
                .map(|seen| self.saw(seen, &[], errored))
                .collect(),
            parts,
        }
    }

    fn saw(&self, seen: Seen, groups: &[&Uid], errored: bool) -> Saw {
        let value = match (self.values, seen.value) {
            (false, _) => Shown::Hidden,
            (true, None) => Shown::Absent,
            (true, Some(value)) => {
                let mut text = shown_value(&super::core::notation(&value));
                if let Some(within) = &seen.within {
                    text.push_str(&in_words(within, groups));
                }
                let missing = errored
                    && super::core::as_entity(&value)
                        .is_some_and(|uid| self.entities.get(uid).is_none());
                if missing {
                    text.push_str(", of which nothing is known");
                }
                Shown::Value(text)
            }
        };
        Saw {
            path: seen.path,
            value,
        }
    }
}

fn in_words(within: &[Uid], groups: &[&Uid]) -> String {
    let kind = groups.first().map(|group| group.entity_type().to_string());
    match (within, kind) {
        ([], Some(kind)) => format!(", in no {kind}"),
        ([], None) => ", in none of them".to_owned(),
        (all, _) => {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            format!(", in {}", all.join(", "))
        }
    }
}

fn truth(holds: bool) -> Truth {
    match holds {
        true => Truth::True,
        false => Truth::False,
    }
}

fn within_source(own: &Range<usize>, span: &Range<usize>) -> Range<usize> {
    span.start.saturating_sub(own.start)..span.end.saturating_sub(own.start)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A value's text, cut when long.
fn shown_value(text: &str) -> String {
    match text.get(..text.floor_char_boundary(MAX_VALUE)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

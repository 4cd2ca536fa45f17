//! Deciding what nobody asked: cases, golden matrices, explanations.

use std::collections::BTreeMap;

use super::{
    decide::{Decided, decide},
    explain::{Explanation, Telling, explain},
};
use crate::{
    authn::suppose,
    bundle::{CaseQuestion, Snapshot, SubjectSpec},
    model::{
        CanonicalRequest, EntityFacts, HttpAsk, Members, NamedQuestion, Question, Refusal,
        Timestamp,
    },
    pip::{Asked, Principal},
};

/// The name of the issuer of supposed claims that name none.
const SUPPOSED_ISSUER: &str = "dev";

/// A question that nobody asked, about a subject who presented nothing.
///
/// What comes of it is a [`Decided`], which no face can send: claims without a token stay here.
#[derive(Clone, Debug)]
pub struct Rehearsal<'a> {
    /// The supposed subject.
    pub subject: &'a SubjectSpec,
    /// The question.
    pub question: &'a CaseQuestion,
    /// Facts stated with it.
    pub entities: &'a [EntityFacts],
    /// Context stated with it.
    pub context: &'a Members,
    /// When.
    pub now: Timestamp,
}

/// Decides a supposed question exactly as a real one would be.
///
/// # Errors
/// The [`Refusal`] that the real one would meet.
pub fn rehearse(snapshot: &Snapshot, rehearsal: &Rehearsal<'_>) -> Result<Decided, Refusal> {
    let question = question(rehearsal.question)?;
    let who = rehearsal.who(snapshot)?;
    decide(snapshot, &who, rehearsal.asked(&question), rehearsal.now)
}

/// Explains what [`rehearse`] says of the same question.
///
/// # Errors
/// The [`Refusal`] of [`rehearse`].
pub fn explain_rehearsal(
    snapshot: &Snapshot,
    rehearsal: &Rehearsal<'_>,
    telling: Telling<'_>,
) -> Result<Explanation, Refusal> {
    let question = question(rehearsal.question)?;
    let who = rehearsal.who(snapshot)?;
    let asked = rehearsal.asked(&question);
    explain(snapshot, &who, asked, rehearsal.now, telling)
}

impl<'a> Rehearsal<'a> {
    fn who(&self, snapshot: &Snapshot) -> Result<Principal, Refusal> {
        match self.subject {
            SubjectSpec::Claims { claims, issuer } => {
                let issuer = issuer.as_deref().unwrap_or(SUPPOSED_ISSUER);
                let claims = suppose(issuer, claims.clone(), self.now);
                Principal::of_claims(snapshot, claims.map_err(Refusal::Unauthenticated)?)
            }
            SubjectSpec::Entity(facts) => Principal::vouched(snapshot, facts),
            SubjectSpec::Anonymous => Principal::anonymous(snapshot),
        }
    }

    fn asked(&self, question: &'a Question) -> Asked<'a> {
        Asked {
            question,
            entities: self.entities,
            context: self.context,
            caller: None,
            peer: None,
        }
    }
}

fn question(question: &CaseQuestion) -> Result<Question, Refusal> {
    match question {
        CaseQuestion::Named {
            action,
            properties,
            resource,
        } => Ok(Question::Named(NamedQuestion {
            action: action.clone(),
            properties: properties.clone(),
            resource: resource.clone(),
        })),
        CaseQuestion::Http {
            method,
            host,
            path,
            headers,
        } => {
            let request = CanonicalRequest::parse(method, host, path).map_err(|fault| {
                Refusal::malformed(
                    format!("http.{}", fault.part),
                    "not_canonical",
                    fault.message,
                )
            })?;
            let headers = headers
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
            Ok(Question::Http(HttpAsk {
                request,
                headers: headers.collect::<BTreeMap<_, _>>(),
            }))
        }
    }
}

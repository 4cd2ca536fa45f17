//! Deciding what nobody asked: cases, golden matrices, explanations.

use std::collections::BTreeMap;

use super::decide::{Decided, decide};
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
    let now = rehearsal.now;
    let question = question(rehearsal.question)?;
    let who = match rehearsal.subject {
        SubjectSpec::Claims { claims, issuer } => {
            let issuer = issuer.as_deref().unwrap_or(SUPPOSED_ISSUER);
            let claims = suppose(issuer, claims.clone(), now).map_err(Refusal::Unauthenticated)?;
            Principal::of_claims(snapshot, claims)?
        }
        SubjectSpec::Entity(facts) => Principal::vouched(snapshot, facts)?,
        SubjectSpec::Anonymous => Principal::anonymous(snapshot)?,
    };
    let asked = Asked {
        question: &question,
        entities: rehearsal.entities,
        context: rehearsal.context,
        caller: None,
        peer: None,
    };
    decide(snapshot, &who, asked, now)
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

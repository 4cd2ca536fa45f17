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
    pip::{Asked, Known, Principal, gather, suppose_directory},
    policy::{Observed, Place, observe},
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
    /// Facts stated with it, by the request or in the directory: each is its owner's.
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
    let (directory, entities) = suppose_directory(snapshot, rehearsal.entities);
    let known = Known::new(snapshot, &directory);
    let who = subject(known, rehearsal)?;
    let asked = asked(rehearsal, &question, &entities);
    decide(known, &who, asked, rehearsal.now)
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
    let (directory, entities) = suppose_directory(snapshot, rehearsal.entities);
    let known = Known::new(snapshot, &directory);
    let who = subject(known, rehearsal)?;
    let asked = asked(rehearsal, &question, &entities);
    explain(known, &who, asked, rehearsal.now, telling)
}

/// What a rehearsal comes across on its way to a decision.
#[derive(Debug, Default)]
pub struct Footprint<'s> {
    /// Where the principal rule is written that made its principal.
    pub principal: Option<&'s Place>,
    /// Where the route is written that it took.
    pub route: Option<&'s Place>,
    /// How the conditions came out of each policy whose head matched.
    pub observed: Vec<Observed<'s>>,
}

/// Goes the way of [`rehearse`], and tells what is on it rather than what comes of it.
pub fn footprint<'s>(snapshot: &'s Snapshot, rehearsal: &Rehearsal<'_>) -> Footprint<'s> {
    let mut found = Footprint {
        principal: principal_place(snapshot, rehearsal),
        ..Footprint::default()
    };
    let (directory, entities) = suppose_directory(snapshot, rehearsal.entities);
    let known = Known::new(snapshot, &directory);
    let (Ok(question), Ok(who)) = (question(rehearsal.question), subject(known, rehearsal)) else {
        return found;
    };
    if let Question::Http(http) = &question
        && let Ok(Some(matched)) = snapshot.routes.find(&http.request)
    {
        found.route = Some(&matched.route.place);
    }
    let asked = asked(rehearsal, &question, &entities);
    let gathered = gather(known, &who, asked, rehearsal.now);
    if let Ok(gathered) = gathered
        && (gathered.resolved.action.principals).contains(who.uid().entity_type())
    {
        found.observed = observe(&snapshot.policies, gathered.request, &gathered.entities);
    }
    found
}

fn principal_place<'s>(snapshot: &'s Snapshot, rehearsal: &Rehearsal<'_>) -> Option<&'s Place> {
    match rehearsal.subject {
        SubjectSpec::Claims { claims, issuer } => {
            let issuer = issuer.as_deref().unwrap_or(SUPPOSED_ISSUER);
            let claims = suppose(issuer, claims.clone(), rehearsal.now).ok()?;
            snapshot.mapping.rule_for(&claims).map(|rule| &rule.place)
        }
        SubjectSpec::Entity(_) => None,
        SubjectSpec::Anonymous => snapshot.mapping.anonymous_place().map(|(place, _)| place),
    }
}

fn subject(known: Known<'_>, rehearsal: &Rehearsal<'_>) -> Result<Principal, Refusal> {
    match rehearsal.subject {
        SubjectSpec::Claims { claims, issuer } => {
            let issuer = issuer.as_deref().unwrap_or(SUPPOSED_ISSUER);
            let claims =
                suppose(issuer, claims.clone(), rehearsal.now).map_err(Refusal::Unauthenticated)?;
            Principal::of_claims(known, claims)
        }
        SubjectSpec::Entity(facts) => Principal::vouched(known, facts),
        SubjectSpec::Anonymous => Principal::anonymous(known),
    }
}

fn asked<'a>(
    rehearsal: &Rehearsal<'a>,
    question: &'a Question,
    entities: &'a [EntityFacts],
) -> Asked<'a> {
    Asked {
        question,
        entities,
        context: rehearsal.context,
        caller: None,
        peer: None,
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
            let request = CanonicalRequest::parse(method, host, path)?;
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

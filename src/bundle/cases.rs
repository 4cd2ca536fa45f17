//! `tests/*.yaml`: what the rules must answer.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use crate::{
    model::{EntityFacts, EntityRef, Members, Timestamp, Value},
    policy::{Fault, Place},
};

/// One file of cases.
#[derive(Clone, Debug)]
pub struct Cases {
    /// The file.
    pub file: Arc<str>,
    /// Its cases, in order.
    pub cases: Vec<Case>,
}

/// One case: a question and the answer it must have.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, unique within the bundle.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// The time it is asked.
    pub now: Timestamp,
    /// Who asks.
    pub subject: SubjectSpec,
    /// What is asked.
    pub question: CaseQuestion,
    /// Facts stated with the request.
    pub entities: Vec<EntityFacts>,
    /// Context stated with the request.
    pub context: Members,
    /// What must come of it.
    pub expect: Expectation,
}

/// A question as a case states it.
#[derive(Clone, Debug)]
pub enum CaseQuestion {
    /// An action on a resource.
    Named {
        /// The action.
        action: String,
        /// What is stated about the action, which policies read as `context.action`.
        properties: Members,
        /// The resource with facts.
        resource: EntityFacts,
    },
    /// An HTTP request, not yet canonical.
    Http {
        /// The method.
        method: String,
        /// The host, or empty.
        host: String,
        /// The request target.
        path: String,
        /// Headers by lower-case name.
        headers: BTreeMap<String, String>,
    },
}

/// A subject that a case supposes.
#[derive(Clone, Debug)]
pub enum SubjectSpec {
    /// The holder of a token with these claims.
    Claims {
        /// The claims.
        claims: Members,
        /// The issuer's name; the case's only one when `None`.
        issuer: Option<String>,
    },
    /// An entity that the caller vouches for.
    Entity(EntityFacts),
    /// Nobody.
    Anonymous,
}

/// What must come of a case; what is `None` is not looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The outcome.
    pub decision: ExpectedOutcome,
    /// Why.
    pub cause: Option<String>,
    /// The ids of exactly the policies that determined it.
    pub reasons: Option<Vec<String>>,
    /// The ids of exactly the policies that failed.
    #[serde(default)]
    pub errors: Vec<String>,
    /// Exactly the obligations.
    pub obligations: Option<Vec<String>>,
    /// The kind of refusal, or its precise reason.
    pub refusal: Option<String>,
    /// The scopes or authentication demanded.
    pub challenge: Option<String>,
}

/// The outcome that a case expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectedOutcome {
    /// Allow.
    Allow,
    /// Deny.
    Deny,
    /// No decision.
    Refused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    now: Option<String>,
    #[serde(default)]
    subjects: BTreeMap<String, RawSubject>,
    cases: Vec<serde_saphyr::Spanned<RawCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    now: Option<String>,
    subject: RawSubjectRef,
    action: Option<RawAction>,
    resource: Option<RawEntityRef>,
    request: Option<RawRequest>,
    #[serde(default)]
    entities: Vec<RawEntity>,
    #[serde(default)]
    context: serde_json::Map<String, serde_json::Value>,
    expect: Expectation,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a subject's name, `anonymous`, or `claims`, or `entity`"
)]
enum RawSubjectRef {
    Name(String),
    Inline(Box<RawSubject>),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an action's name, or a table with `name` and `properties`"
)]
enum RawAction {
    Name(String),
    With(RawActionWith),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawActionWith {
    name: String,
    properties: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSubject {
    claims: Option<serde_json::Map<String, serde_json::Value>>,
    issuer: Option<String>,
    entity: Option<RawEntityRef>,
}

#[derive(Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "`Type::\"id\"`, or `type`, `id`, `attributes` and `parents`"
)]
enum RawEntityRef {
    Uid(String),
    Facts(RawEntity),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntity {
    #[serde(rename = "type")]
    type_name: String,
    id: String,
    #[serde(default)]
    attributes: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    parents: Vec<RawUid>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "`Type::\"id\"`, or `type` and `id`")]
enum RawUid {
    Text(String),
    Parts(RawUidParts),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUidParts {
    #[serde(rename = "type")]
    type_name: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    method: String,
    #[serde(default)]
    host: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

impl Cases {
    /// Reads one file of cases.
    ///
    /// # Errors
    /// Every fault that can be told.
    pub(super) fn parse(file: &Arc<str>, text: &str) -> Result<Self, Vec<Fault>> {
        let raw: RawFile =
            serde_saphyr::from_str(text).map_err(|error| vec![yaml_fault(file, &error)])?;
        if raw.cases.is_empty() {
            return Err(vec![Fault::in_file("no_cases", file, "has no cases")]);
        }
        let mut cases = Vec::with_capacity(raw.cases.len());
        let mut faults = Vec::new();
        for case in raw.cases {
            let place = place_of(file, case.referenced);
            match Case::read(case.value, place.clone(), raw.now.as_deref(), &raw.subjects) {
                Ok(case) => cases.push(case),
                Err(message) => faults.push(Fault::at("case", place, message)),
            }
        }
        match faults.is_empty() {
            true => Ok(Self {
                file: Arc::clone(file),
                cases,
            }),
            false => Err(faults),
        }
    }
}

impl Case {
    fn read(
        raw: RawCase,
        place: Place,
        file_now: Option<&str>,
        subjects: &BTreeMap<String, RawSubject>,
    ) -> Result<Self, String> {
        let now = raw
            .now
            .as_deref()
            .or(file_now)
            .ok_or("needs `now`, here or at the top of the file")?;
        let now = now
            .parse()
            .map_err(|_| format!("`now: {now}` is not an RFC 3339 date and time"))?;
        let subject = match raw.subject {
            RawSubjectRef::Inline(subject) => subject_spec(*subject)?,
            RawSubjectRef::Name(name) => match subjects.get(&name) {
                Some(subject) => subject_spec(subject.clone())?,
                None if name == "anonymous" => SubjectSpec::Anonymous,
                None => return Err(format!("there is no subject `{name}` in this file")),
            },
        };
        let question = match (raw.action, raw.resource, raw.request) {
            (Some(action), Some(resource), None) => {
                let (action, properties) = match action {
                    RawAction::Name(name) => (name, Members::new()),
                    RawAction::With(with) => (with.name, members(with.properties)),
                };
                CaseQuestion::Named {
                    action,
                    properties,
                    resource: entity_facts(resource)?,
                }
            }
            (None, None, Some(request)) => CaseQuestion::Http {
                method: request.method,
                host: request.host,
                path: request.path,
                headers: request.headers,
            },
            _ => return Err("needs either `action` and `resource`, or `request`".into()),
        };
        let entities = raw
            .entities
            .into_iter()
            .map(|entity| entity_facts(RawEntityRef::Facts(entity)));
        if raw.expect.decision != ExpectedOutcome::Refused && raw.expect.refusal.is_some() {
            return Err("expects a refusal's name, but not `decision: refused`".into());
        }
        Ok(Self {
            name: raw.name,
            place,
            now,
            subject,
            question,
            entities: entities.collect::<Result<_, _>>()?,
            context: members(raw.context),
            expect: raw.expect,
        })
    }
}

fn subject_spec(raw: RawSubject) -> Result<SubjectSpec, String> {
    match (raw.claims, raw.entity) {
        (Some(claims), None) => Ok(SubjectSpec::Claims {
            claims: members(claims),
            issuer: raw.issuer,
        }),
        (None, Some(entity)) if raw.issuer.is_none() => {
            Ok(SubjectSpec::Entity(entity_facts(entity)?))
        }
        _ => Err("a subject has either `claims` (and `issuer`) or `entity`".into()),
    }
}

fn entity_facts(raw: RawEntityRef) -> Result<EntityFacts, String> {
    match raw {
        RawEntityRef::Uid(text) => Ok(EntityFacts::bare(entity_ref(&text)?)),
        RawEntityRef::Facts(raw) => Ok(EntityFacts {
            uid: EntityRef::new(raw.type_name, raw.id),
            attributes: members(raw.attributes),
            parents: raw
                .parents
                .into_iter()
                .map(|parent| match parent {
                    RawUid::Text(text) => entity_ref(&text),
                    RawUid::Parts(parts) => Ok(EntityRef::new(parts.type_name, parts.id)),
                })
                .collect::<Result<_, _>>()?,
        }),
    }
}

fn entity_ref(text: &str) -> Result<EntityRef, String> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}

fn members(map: serde_json::Map<String, serde_json::Value>) -> Members {
    map.into_iter()
        .map(|(name, value)| (name, Value::from(value)))
        .collect()
}

fn place_of(file: &Arc<str>, location: serde_saphyr::Location) -> Place {
    Place {
        file: Arc::clone(file),
        line: usize::try_from(location.line()).unwrap_or(1),
        column: usize::try_from(location.column()).unwrap_or(1),
    }
}

fn yaml_fault(file: &Arc<str>, error: &serde_saphyr::Error) -> Fault {
    let place = match error.location() {
        Some(location) => place_of(file, location),
        None => Place::start(file),
    };
    Fault::at("yaml", place, error.without_snippet().to_string())
}

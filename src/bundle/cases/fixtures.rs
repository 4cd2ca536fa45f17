//! What a file of cases names once and uses often: subjects and resources, its own and included ones.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    SubjectSpec,
    raw::{Json, RawEntity, RawEntityRef, RawFile, RawSubject, RawSubjectRef, RawUid},
    read::Source,
};
use crate::{
    model::{EntityFacts, EntityRef, Members, Timestamp, Value},
    policy::{Fault, Place, closest},
};

/// The name of the subject who presents nothing.
const ANONYMOUS: &str = "anonymous";

/// Something wrong with one case, before its place is known.
pub(super) struct Problem {
    message: String,
    help: Option<String>,
}

impl Problem {
    pub(super) fn at(self, rule: &'static str, place: Place) -> Fault {
        let fault = Fault::at(rule, place, self.message);
        match self.help {
            Some(help) => fault.help(help),
            None => fault,
        }
    }

    /// A name that is none of those there are.
    pub(super) fn unknown<'n>(
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) -> Self {
        let help = match closest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
                match known.is_empty() {
                    true => format!("there is no {what} yet"),
                    false => format!("there is {}", known.join(", ")),
                }
            }
        };
        Self {
            message: format!("there is no {what} `{name}`"),
            help: Some(help),
        }
    }
}

impl<S: Into<String>> From<S> for Problem {
    fn from(message: S) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }
}

/// Named subjects and resources.
#[derive(Clone, Default)]
pub(super) struct Fixtures {
    pub(super) now: Option<Timestamp>,
    subjects: BTreeMap<String, (Place, Arc<SubjectSpec>)>,
    resources: BTreeMap<String, (Place, EntityFacts)>,
}

impl Fixtures {
    /// Those that one file defines itself.
    pub(super) fn of(raw: &mut RawFile, source: &Source<'_>, faults: &mut Vec<Fault>) -> Self {
        let mut fixtures = Self::default();
        if let Some(now) = &raw.now {
            match timestamp(&now.value) {
                Ok(now) => fixtures.now = Some(now),
                Err(why) => faults.push(why.at("case", source.place(now.referenced))),
            }
        }
        for (name, subject) in std::mem::take(&mut raw.subjects) {
            let place = source.place(subject.referenced);
            let read = match name == ANONYMOUS {
                true => Err("`anonymous` is whoever presents nothing: choose another name".into()),
                false => subject_spec(subject.value),
            };
            match read {
                Ok(spec) => {
                    fixtures.subjects.insert(name, (place, Arc::new(spec)));
                }
                Err(why) => faults.push(why.at("case", place)),
            }
        }
        for (name, resource) in std::mem::take(&mut raw.resources) {
            let place = source.place(resource.referenced);
            let read = match is_uid(&name) {
                true => Err("a resource's name has no `::`".into()),
                false => Self::default().resource(resource.value),
            };
            match read {
                Ok(facts) => {
                    fixtures.resources.insert(name, (place, facts));
                }
                Err(why) => faults.push(why.at("case", place)),
            }
        }
        fixtures
    }

    /// Adds those of an included file; a name has one meaning.
    pub(super) fn include(&mut self, other: &Self, at: &Place, faults: &mut Vec<Fault>) {
        self.now = self.now.or(other.now);
        let mut taken = |what: &str, name: &str, first: &Place, second: &Place| {
            let message = format!("{what} `{name}` is defined at {first} and at {second}");
            faults.push(Fault::at("case", at.clone(), message).help("keep one of them"));
        };
        for (name, subject) in &other.subjects {
            match self.subjects.get(name) {
                Some((first, _)) => taken("subject", name, first, &subject.0),
                None => drop(self.subjects.insert(name.clone(), subject.clone())),
            }
        }
        for (name, resource) in &other.resources {
            match self.resources.get(name) {
                Some((first, _)) => taken("resource", name, first, &resource.0),
                None => drop(self.resources.insert(name.clone(), resource.clone())),
            }
        }
    }

    /// A subject by its name.
    pub(super) fn subject(&self, name: &str) -> Result<Arc<SubjectSpec>, Problem> {
        match self.subjects.get(name) {
            Some((_, subject)) => Ok(Arc::clone(subject)),
            None if name == ANONYMOUS => Ok(Arc::new(SubjectSpec::Anonymous)),
            None => {
                let known = self.subjects.keys().map(String::as_str).chain([ANONYMOUS]);
                Err(Problem::unknown("subject", name, known))
            }
        }
    }

    /// A subject that a case names or states.
    pub(super) fn subject_of(&self, raw: RawSubjectRef) -> Result<Arc<SubjectSpec>, Problem> {
        match raw {
            RawSubjectRef::Inline(subject) => Ok(Arc::new(subject_spec(*subject)?)),
            RawSubjectRef::Name(name) => self.subject(&name),
        }
    }

    /// A resource that a case names or states.
    pub(super) fn resource(&self, raw: RawEntityRef) -> Result<EntityFacts, Problem> {
        match raw {
            RawEntityRef::Facts(raw) => entity_facts(raw),
            RawEntityRef::Name(text) if is_uid(&text) => Ok(EntityFacts::bare(entity_ref(&text)?)),
            RawEntityRef::Name(name) => match self.resources.get(&name) {
                Some((_, facts)) => Ok(facts.clone()),
                None => {
                    let mut problem = Problem::unknown(
                        "resource",
                        &name,
                        self.resources.keys().map(String::as_str),
                    );
                    if self.resources.is_empty() {
                        problem.help =
                            Some("name it under `resources`, or write `Type::\"id\"`".into());
                    }
                    Err(problem)
                }
            },
        }
    }
}

fn is_uid(text: &str) -> bool {
    text.contains("::")
}

pub(super) fn timestamp(text: &str) -> Result<Timestamp, Problem> {
    text.parse()
        .map_err(|_| format!("`now: {text}` is not an RFC 3339 date and time").into())
}

fn subject_spec(raw: RawSubject) -> Result<SubjectSpec, Problem> {
    match (raw.claims, raw.entity) {
        (Some(claims), None) => Ok(SubjectSpec::Claims {
            claims: members(claims),
            issuer: raw.issuer,
        }),
        (None, Some(entity)) if raw.issuer.is_none() => Ok(SubjectSpec::Entity(match entity {
            RawEntityRef::Name(text) => EntityFacts::bare(entity_ref(&text)?),
            RawEntityRef::Facts(raw) => entity_facts(raw)?,
        })),
        _ => Err("a subject has either `claims` (and `issuer`) or `entity`".into()),
    }
}

pub(super) fn entity_facts(raw: RawEntity) -> Result<EntityFacts, Problem> {
    Ok(EntityFacts {
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
    })
}

fn entity_ref(text: &str) -> Result<EntityRef, Problem> {
    text.parse()
        .map_err(|error| format!("`{text}`: {error}").into())
}

pub(super) fn members(map: Json) -> Members {
    map.into_iter()
        .map(|(name, value)| (name, Value::from(value)))
        .collect()
}

//! The facts of a question as records keep them, and the same question again.

use std::sync::Arc;

use super::{
    Known, Principal,
    facts::{Stated, entity_name},
};
use crate::{
    bundle::Snapshot,
    model::{
        AskedFacts, AskedQuestion, CanonicalRequest, Claims, EntityFacts, EntityRef, HttpAsk,
        IssuerName, Members, NamedQuestion, Question, Refusal, SubjectFacts, TokenFacts, Value,
        percent_decode,
    },
    policy::{
        ActionDef, RecordType, Type,
        core::{self, Uid},
        typed_members,
    },
};

/// What came with a question, to be kept.
#[derive(Debug)]
pub struct Told {
    /// The question.
    pub question: Question,
    /// Facts about entities.
    pub entities: Vec<EntityFacts>,
    /// Context members.
    pub context: Members,
    /// Whom the client's certificate names, by the word of a gateway.
    pub peer: Option<String>,
    /// The action and the resource that it came to, if it came to any.
    pub resolved: Option<(Uid, Uid)>,
}

impl Told {
    /// How much memory it takes, in bytes, roughly.
    pub fn weight(&self) -> usize {
        let resource = match &self.question {
            Question::Named(named) => weight_of(&named.properties) + entity_weight(&named.resource),
            Question::Http(http) => {
                let headers = http.headers.iter();
                headers
                    .map(|(name, value)| ITEM + name.len() + value.len())
                    .sum()
            }
        };
        let entities: usize = self.entities.iter().map(entity_weight).sum();
        ITEM + resource + entities + weight_of(&self.context)
    }

    /// What of it is kept: of headers and parameters, those that the action declares.
    pub fn facts(self, snapshot: Option<&Snapshot>) -> AskedFacts {
        let (action, resource) = match &self.resolved {
            Some((action, resource)) => (
                Some(core::notation_of_uid(action)),
                Some(core::stated_uid(resource)),
            ),
            None => (None, None),
        };
        let found = snapshot
            .zip(self.resolved.as_ref())
            .and_then(|(snapshot, (action, _))| {
                let id: &str = action.eid().as_ref();
                let named = snapshot.schema.action(id);
                named.filter(|it| it.uid == *action).or_else(|| {
                    let actions = snapshot.schema.actions();
                    actions.iter().find(|it| it.uid == *action)
                })
            });
        let (asked, stated, question) = match self.question {
            Question::Named(named) => {
                let NamedQuestion {
                    action,
                    properties,
                    resource,
                } = named;
                let uid = resource.uid.clone();
                let question = AskedQuestion::Named {
                    action: action.clone(),
                    properties,
                    resource,
                };
                (action, Some(uid), question)
            }
            Question::Http(http) => (http.request.method().to_owned(), None, kept(http, found)),
        };
        AskedFacts {
            action: action.unwrap_or(asked),
            resource: resource.or(stated),
            question,
            entities: self.entities,
            context: self.context,
            peer: self.peer,
        }
    }
}

/// A name or a small value with its place in a map, in bytes.
const ITEM: usize = 96;

fn entity_weight(facts: &EntityFacts) -> usize {
    ITEM * (1 + facts.parents.len()) + weight_of(&facts.attributes)
}

fn weight_of(members: &Members) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Set(values) => ITEM + values.iter().map(of).sum::<usize>(),
            Value::Record(members) => weight_of(members),
            Value::String(text) => ITEM + text.len(),
            _ => ITEM,
        }
    }
    members.values().map(|value| ITEM + of(value)).sum()
}

/// An HTTP question with no more than the action reads of it.
fn kept(http: HttpAsk, action: Option<&ActionDef>) -> AskedQuestion {
    let declared = |member: &str| match action?.context.members.get(member).map(|it| &it.ty) {
        Some(Type::Record(declared)) => Some(Arc::clone(declared)),
        _ => None,
    };
    let is_declared = |of: &Option<Arc<RecordType>>, name: &str| {
        let names =
            |it: &Arc<RecordType>| it.members.keys().any(|it| it.eq_ignore_ascii_case(name));
        of.as_ref().is_some_and(names)
    };
    let (headers, query) = (declared("headers"), declared("query"));
    let mut target = http.request.path().to_owned();
    let pairs = http.request.query().unwrap_or_default().split('&');
    let pairs = pairs.filter(|pair| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        percent_decode(&name.replace('+', " ")).is_ok_and(|name| is_declared(&query, &name))
    });
    for (n, pair) in pairs.enumerate() {
        target.push(if n == 0 { '?' } else { '&' });
        target.push_str(pair);
    }
    let sent = http.headers.into_iter();
    AskedQuestion::Http {
        method: http.request.method().to_owned(),
        host: http.request.host().to_owned(),
        target,
        headers: sent
            .filter(|(name, _)| is_declared(&headers, name))
            .collect(),
    }
}

/// The question that was kept, to be asked again.
///
/// # Errors
/// [`Refusal::Malformed`] when it never was one.
pub fn asked_again(facts: &AskedFacts) -> Result<Question, Refusal> {
    match &facts.question {
        AskedQuestion::Named {
            action,
            properties,
            resource,
        } => Ok(Question::Named(NamedQuestion {
            action: action.clone(),
            properties: properties.clone(),
            resource: resource.clone(),
        })),
        AskedQuestion::Http {
            method,
            host,
            target,
            headers,
        } => {
            let request = CanonicalRequest::parse(method, host, target)?;
            Ok(Question::Http(HttpAsk {
                request,
                headers: headers.clone(),
            }))
        }
    }
}

impl Principal {
    /// What is kept of the subject, whose token has this fingerprint. Records of one principal share it.
    pub fn facts(&self, fingerprint: Option<&str>) -> Arc<SubjectFacts> {
        let kept = self.kept();
        let kept = kept.get_or_init(|| Arc::new(self.subject_facts(fingerprint)));
        match kept.fingerprint.as_deref() == fingerprint {
            true => Arc::clone(kept),
            false => Arc::new(self.subject_facts(fingerprint)),
        }
    }

    fn subject_facts(&self, fingerprint: Option<&str>) -> SubjectFacts {
        let stated = self.stated();
        let mut parents: Vec<EntityRef> = stated.parents().iter().map(core::stated_uid).collect();
        parents.sort();
        let claims = self.claims();
        SubjectFacts {
            entity: EntityFacts {
                uid: self.name().clone(),
                attributes: stated
                    .attributes()
                    .map(|(name, value)| (name.to_string(), core::stated(value)))
                    .collect(),
                parents,
            },
            anonymous: self.is_anonymous(),
            token: claims.map(|claims| token_facts(claims)),
            fingerprint: fingerprint.map(str::to_owned),
            token_id: claims.and_then(|claims| claims.jti.clone()),
        }
    }

    /// The subject of a record, as it was found to be then.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when the bundle's schema has no such entity.
    pub fn recorded(known: Known<'_>, facts: &SubjectFacts) -> Result<Self, Refusal> {
        let snapshot = known.snapshot();
        let EntityFacts {
            uid,
            attributes,
            parents,
        } = &facts.entity;
        let (def, uid) = entity_name(snapshot, uid, &"subject")?;
        let attributes = typed_members(attributes, &def.attributes, &snapshot.schema)
            .map_err(|fault| Refusal::Malformed(vec![fault.violation("subject")]))?;
        let parents = parents
            .iter()
            .map(|parent| entity_name(snapshot, parent, &"subject.parents"))
            .map(|named| named.map(|(_, uid)| uid))
            .collect::<Result<_, _>>()?;
        let stated = Stated {
            uid,
            attributes,
            parents,
        };
        let claims = facts.token.as_ref().map(|token| Arc::new(claims_of(token)));
        Self::new(known, stated, claims, facts.anonymous)
    }
}

fn token_facts(claims: &Claims) -> TokenFacts {
    TokenFacts {
        issuer: claims.issuer.to_string(),
        client_id: claims.client_id.clone(),
        scopes: claims.scopes.clone(),
        acr: claims.acr.clone(),
        amr: claims.amr.clone(),
        auth_time: claims.auth_time,
        issued_at: claims.issued_at,
        expires_at: claims.expires_at,
        actor: claims
            .actor
            .as_ref()
            .map(|actor| (actor.subject.clone(), actor.issuer.clone())),
    }
}

/// Claims as far as the context tells of them; all others were mapped, and are attributes now.
fn claims_of(token: &TokenFacts) -> Claims {
    Claims {
        issuer: IssuerName::new(token.issuer.as_str()),
        iss: String::new(),
        sub: String::new(),
        client_id: token.client_id.clone(),
        scopes: token.scopes.clone(),
        acr: token.acr.clone(),
        amr: token.amr.clone(),
        auth_time: token.auth_time,
        issued_at: token.issued_at,
        expires_at: token.expires_at,
        jti: None,
        actor: token.actor(),
        all: Members::new(),
    }
}

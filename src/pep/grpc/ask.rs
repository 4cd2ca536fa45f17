//! From the wire to an `AccessRequest`.

use std::{collections::BTreeMap, fmt};

use tonic::{Request, metadata::MetadataMap};

use crate::{
    model::{
        AccessRequest, AccessToken, BundleName, CallerCredential, CanonicalRequest, EntityFacts,
        EntityRef, Face, GatewayFacts, HttpAsk, Members, NamedQuestion, Question, Refusal, Subject,
        Value, Violation,
    },
    pep::{bearer, peer},
    proto::v1::{self as wire, check_request, value::Kind},
};

/// The greatest nesting of sets and records.
const MAX_DEPTH: usize = 32;
/// The most values in one request, members and items together.
const MAX_VALUES: usize = 4096;
/// The most entities in one request.
const MAX_ENTITIES: usize = 256;
/// The most parents stated in one request.
const MAX_PARENTS: usize = 1024;
/// The most headers of one HTTP question.
const MAX_HEADERS: usize = 128;
/// The longest `request_id`, in bytes.
const MAX_REQUEST_ID: usize = 256;
/// Faults told at once; a request with more is not worth reading on.
const MAX_FAULTS: usize = 12;

/// The caller's credential: what its connection proves, and the bearer in the call's metadata.
///
/// # Errors
/// [`Refusal::CallerUnknown`] for a bearer that is none.
pub(super) fn credential<T>(request: &Request<T>) -> Result<CallerCredential, Refusal> {
    let bearer = bearer::caller(authorization(request.metadata()).as_deref())?;
    Ok(peer::of(request).credential(bearer))
}

/// Reads an entity with what is stated about it; faults begin with `field`.
///
/// # Errors
/// As of [`to_access_request`].
pub(super) fn to_entity(
    entity: Option<wire::Entity>,
    field: &'static str,
) -> Result<EntityFacts, Refusal> {
    let mut reader = Reader::default();
    let entity = reader.entity(&At::Field(field), entity)?;
    match entity {
        Some(entity) if reader.faults.is_empty() => Ok(entity),
        _ => Err(Refusal::Malformed(reader.faults)),
    }
}

/// Reads the name of an entity; faults begin with `field`.
///
/// # Errors
/// [`Refusal::Malformed`].
pub(super) fn to_uid(
    uid: Option<wire::EntityUid>,
    field: &'static str,
) -> Result<EntityRef, Refusal> {
    let mut reader = Reader::default();
    match reader.uid(&At::Field(field), uid) {
        Some(uid) if reader.faults.is_empty() => Ok(uid),
        _ => Err(Refusal::Malformed(reader.faults)),
    }
}

/// Reads one question of a caller.
///
/// # Errors
/// [`Refusal::Malformed`] with every fault found, [`Refusal::TooLarge`] over a limit.
pub(super) fn to_access_request(
    request: wire::CheckRequest,
    credential: CallerCredential,
) -> Result<AccessRequest, Refusal> {
    let wire::CheckRequest {
        bundle,
        subject,
        question,
        entities,
        context,
        at_least_revision,
        request_id,
    } = request;
    if entities.len() > MAX_ENTITIES {
        return Err(too_large("entities", MAX_ENTITIES));
    }
    let mut reader = Reader::default();
    let subject = reader.subject(subject)?;
    let question = reader.question(question)?;
    let mut stated = Vec::with_capacity(entities.len());
    for (n, entity) in entities.into_iter().enumerate() {
        stated.extend(reader.entity(&At::Item(&At::Field("entities"), n), Some(entity))?);
    }
    let context = reader.members(&At::Field("context"), context, MAX_DEPTH)?;
    let request_id = reader.request_id(request_id);
    match (subject, question) {
        (Some(subject), Some(question)) if reader.faults.is_empty() => Ok(AccessRequest {
            face: Face::Grpc,
            credential,
            bundle: non_empty(bundle).map(BundleName::new),
            subject,
            question,
            entities: stated,
            context,
            at_least_revision: non_empty(at_least_revision),
            request_id,
            gateway: GatewayFacts::default(),
        }),
        _ => Err(Refusal::Malformed(reader.faults)),
    }
}

/// All values of the call's `authorization`, joined by commas as HTTP joins them; what is not text
/// becomes U+FFFD, which no bearer holds.
fn authorization(metadata: &MetadataMap) -> Option<String> {
    let values = metadata.get_all("authorization").iter();
    let texts: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_encoded_bytes()))
        .collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Where a fault is; text only when there is one.
enum At<'a> {
    Field(&'static str),
    Member(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Member(of, name) => write!(f, "{of}.{name}"),
            Self::Item(of, n) => write!(f, "{of}[{n}]"),
        }
    }
}

/// Collects faults and counts what is bounded. Its errors are limits; a faulty part reads as
/// nothing.
#[derive(Default)]
struct Reader {
    faults: Vec<Violation>,
    values: usize,
    parents: usize,
}

impl Reader {
    fn fault(&mut self, at: &At<'_>, code: &'static str, message: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Violation {
                field: at.to_string(),
                code,
                message: message.into(),
            });
        }
    }

    fn subject(&mut self, it: Option<check_request::Subject>) -> Result<Option<Subject>, Refusal> {
        let at = At::Field("subject");
        Ok(match it {
            Some(check_request::Subject::AccessToken(token)) => {
                let prefix = token.get(.."bearer ".len());
                if prefix.is_some_and(|it| it.eq_ignore_ascii_case("bearer ")) {
                    let at = At::Field("access_token");
                    self.fault(
                        &at,
                        "bearer_prefix",
                        "starts with `Bearer`: send the token alone",
                    );
                }
                Some(Subject::Token(AccessToken::new(token)))
            }
            Some(check_request::Subject::Entity(entity)) => self
                .entity(&At::Field("entity"), Some(entity))?
                .map(Subject::Entity),
            Some(check_request::Subject::Anonymous(wire::Anonymous {})) => Some(Subject::Anonymous),
            None => {
                let message = "is required: set `access_token`, `entity` or `anonymous`";
                self.fault(&at, "missing", message);
                None
            }
        })
    }

    fn question(
        &mut self,
        it: Option<check_request::Question>,
    ) -> Result<Option<Question>, Refusal> {
        match it {
            Some(check_request::Question::Named(named)) => self.named(named),
            Some(check_request::Question::Http(http)) => self.http(http),
            None => {
                let message = "is required: set `named` or `http`";
                self.fault(&At::Field("question"), "missing", message);
                Ok(None)
            }
        }
    }

    fn named(&mut self, it: wire::NamedQuestion) -> Result<Option<Question>, Refusal> {
        let at = At::Field("named");
        let action = it.action;
        if action.is_empty() {
            self.fault(&At::Member(&at, "action"), "missing", "is required");
        }
        let resource = self.entity(&At::Member(&at, "resource"), it.resource)?;
        Ok(resource.map(|resource| {
            Question::Named(NamedQuestion {
                action,
                properties: Members::new(),
                resource,
            })
        }))
    }

    fn http(&mut self, it: wire::HttpQuestion) -> Result<Option<Question>, Refusal> {
        let at = At::Field("http");
        if it.headers.len() > MAX_HEADERS {
            return Err(too_large("http.headers", MAX_HEADERS));
        }
        let mut headers = BTreeMap::new();
        for (name, value) in it.headers {
            let lower = name.to_ascii_lowercase();
            if headers.insert(lower, value).is_some() {
                let headers = At::Member(&at, "headers");
                let message = "is there twice, in different letter case";
                self.fault(&At::Member(&headers, &name), "duplicate", message);
            }
        }
        match CanonicalRequest::parse(&it.method, &it.host, &it.path) {
            Ok(request) => Ok(Some(Question::Http(HttpAsk { request, headers }))),
            Err(why) => {
                self.fault(&At::Member(&at, why.part), "not_canonical", why.message);
                Ok(None)
            }
        }
    }

    fn entity(
        &mut self,
        at: &At<'_>,
        it: Option<wire::Entity>,
    ) -> Result<Option<EntityFacts>, Refusal> {
        let Some(it) = it else {
            self.fault(at, "missing", "is required");
            return Ok(None);
        };
        let uid = self.uid(&At::Member(at, "uid"), it.uid);
        let attributes = self.members(&At::Member(at, "attributes"), it.attributes, MAX_DEPTH)?;
        self.parents += it.parents.len();
        if self.parents > MAX_PARENTS {
            return Err(too_large("parents", MAX_PARENTS));
        }
        let mut parents = Vec::with_capacity(it.parents.len());
        for (n, parent) in it.parents.into_iter().enumerate() {
            let list = At::Member(at, "parents");
            parents.extend(self.uid(&At::Item(&list, n), Some(parent)));
        }
        Ok(uid.map(|uid| EntityFacts {
            uid,
            attributes,
            parents,
        }))
    }

    fn uid(&mut self, at: &At<'_>, it: Option<wire::EntityUid>) -> Option<EntityRef> {
        let Some(wire::EntityUid { r#type, id }) = it else {
            self.fault(at, "missing", "is required");
            return None;
        };
        for (name, text) in [("type", &r#type), ("id", &id)] {
            if text.is_empty() {
                self.fault(&At::Member(at, name), "empty", "must not be empty");
            }
        }
        Some(EntityRef::new(r#type, id))
    }

    fn members(
        &mut self,
        at: &At<'_>,
        it: BTreeMap<String, wire::Value>,
        depth: usize,
    ) -> Result<Members, Refusal> {
        // A map takes over a list of known length, which is in order already, in one go.
        let mut members = Vec::with_capacity(it.len());
        for (name, value) in it {
            let value = self.value(&At::Member(at, &name), value, depth)?;
            members.push((name, value));
        }
        Ok(members.into_iter().collect())
    }

    /// Reads a value with `depth` levels of nesting left.
    fn value(&mut self, at: &At<'_>, it: wire::Value, depth: usize) -> Result<Value, Refusal> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(too_large("values", MAX_VALUES));
        }
        let inner = || {
            depth
                .checked_sub(1)
                .ok_or(too_large("nesting of values", MAX_DEPTH))
        };
        Ok(match it.kind {
            Some(Kind::Bool(value)) => Value::Bool(value),
            Some(Kind::Int64(value)) => Value::Long(value),
            Some(Kind::String(text)) => Value::String(text),
            Some(Kind::Entity(uid)) => match self.uid(at, Some(uid)) {
                Some(uid) => Value::Entity(uid),
                None => Value::Null,
            },
            Some(Kind::Ip(text)) => Value::Ip(text),
            Some(Kind::Decimal(text)) => Value::Decimal(text),
            Some(Kind::Datetime(text)) => Value::Datetime(text),
            Some(Kind::Duration(text)) => Value::Duration(text),
            Some(Kind::Set(set)) => {
                let depth = inner()?;
                let mut values = Vec::with_capacity(set.values.len());
                for (n, item) in set.values.into_iter().enumerate() {
                    values.push(self.value(&At::Item(at, n), item, depth)?);
                }
                Value::Set(values)
            }
            Some(Kind::Record(record)) => {
                let depth = inner()?;
                Value::Record(self.members(at, record.members, depth)?)
            }
            None => {
                let message = "has no kind: set one, or leave the member out";
                self.fault(at, "missing", message);
                Value::Null
            }
        })
    }

    fn request_id(&mut self, it: String) -> Option<String> {
        let visible = |b: u8| b.is_ascii_graphic() || b == b' ';
        if it.len() > MAX_REQUEST_ID || !it.bytes().all(visible) {
            let message = format!("must be at most {MAX_REQUEST_ID} printable ASCII characters");
            self.fault(&At::Field("request_id"), "not_printable", message);
        }
        non_empty(it)
    }
}

fn too_large(what: &'static str, limit: usize) -> Refusal {
    Refusal::TooLarge { what, limit }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

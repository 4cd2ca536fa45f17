//! From AuthZEN's information model (§5) to an `AccessRequest`.

use axum::http::request::Parts;

use crate::{
    model::{
        AccessRequest, BundleName, CallerCredential, EntityFacts, EntityRef, Face, GatewayFacts,
        Members, NamedQuestion, Question, Refusal, Subject, Value, Violation,
    },
    pep::{
        bearer,
        http::{self, joined},
    },
};

/// Who asks, for all questions of a request.
#[derive(Debug)]
pub(super) struct Asker {
    credential: CallerCredential,
    bundle: Option<BundleName>,
    request_id: Option<String>,
}

impl Asker {
    /// Reads who asks from the head of a request.
    ///
    /// # Errors
    /// [`Refusal::CallerUnknown`] for a credential that is none.
    pub(super) fn read(
        parts: &Parts,
        bundle: Option<BundleName>,
        request_id: Option<&str>,
    ) -> Result<Self, Refusal> {
        let authorization = joined(&parts.headers, "authorization");
        let secret = bearer::caller(authorization.as_deref())?;
        Ok(Self {
            credential: http::credential(parts, secret),
            bundle,
            request_id: request_id.map(str::to_owned),
        })
    }

    /// Whether it presented a credential.
    pub(super) fn has_credential(&self) -> bool {
        self.credential.bearer.is_some()
    }

    /// One question; what `item` does not say, `defaults` do.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] with everything that is wrong.
    pub(super) fn ask(&self, defaults: &Members, item: &Value) -> Result<AccessRequest, Refusal> {
        let Value::Record(item) = item else {
            let message = format!("must be an object, not {}", item.kind());
            return Err(Refusal::malformed("evaluations", "wrong_type", message));
        };
        let mut reader = Reader {
            defaults,
            item,
            faults: Vec::new(),
        };
        let subject = reader.entity("subject");
        let action = reader.action();
        let resource = reader.entity("resource");
        let context = reader.object("context");
        match (subject, action, resource) {
            (Some(subject), Some((action, properties)), Some(resource))
                if reader.faults.is_empty() =>
            {
                Ok(AccessRequest {
                    face: Face::Authzen,
                    credential: self.credential.clone(),
                    bundle: self.bundle.clone(),
                    subject: Subject::Entity(subject),
                    question: Question::Named(NamedQuestion {
                        action,
                        properties,
                        resource,
                    }),
                    entities: Vec::new(),
                    context: context.cloned().unwrap_or_default(),
                    at_least_revision: None,
                    gateway: GatewayFacts::default(),
                    request_id: self.request_id.clone(),
                })
            }
            _ => Err(Refusal::Malformed(reader.faults)),
        }
    }
}

/// Collects faults; a faulty part reads as nothing.
struct Reader<'a> {
    defaults: &'a Members,
    item: &'a Members,
    faults: Vec<Violation>,
}

impl<'a> Reader<'a> {
    fn fault(&mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.faults.push(Violation {
            field: field.into(),
            code,
            message: message.into(),
        });
    }

    /// The object that the item has, else the one of the defaults: the whole of it (§7.1.1).
    fn object(&mut self, name: &'static str) -> Option<&'a Members> {
        let said = match self.item.get(name) {
            Some(Value::Null) | None => self.defaults.get(name),
            said => said,
        };
        match said {
            Some(Value::Record(members)) => Some(members),
            Some(Value::Null) | None => None,
            Some(other) => {
                let message = format!("must be an object, not {}", other.kind());
                self.fault(name, "wrong_type", message);
                None
            }
        }
    }

    fn required(&mut self, name: &'static str) -> Option<&'a Members> {
        let before = self.faults.len();
        let object = self.object(name);
        if object.is_none() && self.faults.len() == before {
            self.fault(name, "missing", "is required");
        }
        object
    }

    fn entity(&mut self, name: &'static str) -> Option<EntityFacts> {
        let own = self.required(name)?;
        // The certification inherits a missing `type` or `id` from the default; properties never.
        let default = self.defaults.get(name).and_then(Value::as_record);
        let member = |member: &str| own.get(member).or_else(|| default?.get(member));
        let (type_name, id) = (member("type"), member("id"));
        let type_name = self.text(name, "type", type_name);
        let id = self.text(name, "id", id);
        let attributes = self.properties(name, own);
        Some(EntityFacts {
            uid: EntityRef::new(type_name?, id?),
            attributes,
            parents: Vec::new(),
        })
    }

    fn action(&mut self) -> Option<(String, Members)> {
        let own = self.required("action")?;
        let name = self.text("action", "name", own.get("name"));
        let properties = self.properties("action", own);
        Some((name?, properties))
    }

    fn text(&mut self, of: &str, member: &str, value: Option<&Value>) -> Option<String> {
        let (code, message) = match value {
            Some(Value::String(text)) if text.is_empty() => ("empty", "must not be empty".into()),
            Some(Value::String(text)) if text.contains('\0') => {
                ("not_text", "has a null character".into())
            }
            Some(Value::String(text)) => return Some(text.clone()),
            Some(Value::Null) | None => ("missing", "is required".into()),
            Some(other) => (
                "wrong_type",
                format!("must be a string, not {}", other.kind()),
            ),
        };
        self.fault(format!("{of}.{member}"), code, message);
        None
    }

    fn properties(&mut self, of: &str, own: &Members) -> Members {
        match own.get("properties") {
            Some(Value::Record(members)) => members.clone(),
            Some(Value::Null) | None => Members::new(),
            Some(other) => {
                let message = format!("must be an object, not {}", other.kind());
                self.fault(format!("{of}.properties"), "wrong_type", message);
                Members::new()
            }
        }
    }
}

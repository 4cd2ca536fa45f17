//! The question on the command line.

use std::io::Read as _;

use clap::ArgGroup;

use crate::{
    bundle::CaseQuestion,
    cli::Failure,
    client::to_members,
    model::{EntityFacts, EntityRef, JsonLimits, Members, Value, parse_json},
    proto::v1::{
        Anonymous, CheckRequest, Entity, HttpQuestion, NamedQuestion,
        check_request::{Question, Subject},
    },
};

/// What the server accepts at most, so nothing is sent in vain.
const LIMITS: JsonLimits = JsonLimits {
    depth: 32,
    values: 4096,
};

/// A whole question.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("who").required(true)))]
#[command(group(ArgGroup::new("what").required(true)))]
pub(super) struct Asked {
    #[command(flatten)]
    flags: Flags,
}

/// What a question may be made of.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    /// The access token of the subject: the token, - for standard input, or @FILE
    #[arg(long, value_name = "TOKEN|-|@FILE", group = "who")]
    pub(in crate::cli) token: Option<String>,
    /// A subject you answer for (the server must grant you the right `vouch`)
    #[arg(long, value_name = "ENTITY", group = "who")]
    subject: Option<EntityRef>,
    /// A fact about that subject, its value as JSON (text in quotes); repeatable
    #[arg(long = "subject-attr", value_name = "NAME=JSON", value_parser = pair, requires = "subject")]
    subject_attributes: Vec<(String, String)>,
    /// A parent of that subject, as Type::"id"; repeatable
    #[arg(long = "subject-parent", value_name = "ENTITY", requires = "subject")]
    subject_parents: Vec<EntityRef>,
    /// Nobody in particular
    #[arg(long, group = "who")]
    anonymous: bool,
    /// What the subject wants to do, as the schema calls it
    #[arg(long, value_name = "ACTION", group = "what", requires = "resource")]
    action: Option<String>,
    /// With which resource, as Type::"id"
    #[arg(long, value_name = "ENTITY", requires = "action")]
    resource: Option<EntityRef>,
    /// A fact about the resource, its value as JSON (text in quotes); repeatable
    #[arg(long = "attr", value_name = "NAME=JSON", value_parser = pair, requires = "resource")]
    attributes: Vec<(String, String)>,
    /// A parent of the resource, as Type::"id"; repeatable
    #[arg(long = "parent", value_name = "ENTITY", requires = "resource")]
    parents: Vec<EntityRef>,
    /// Instead: the path of an HTTP request, mapped by the bundle's routes
    #[arg(long, value_name = "PATH", group = "what", requires = "method")]
    path: Option<String>,
    /// Its method
    #[arg(long, value_name = "METHOD", requires = "path")]
    method: Option<String>,
    /// Its host
    #[arg(
        long,
        value_name = "HOST",
        requires = "path",
        default_value = "",
        hide_default_value = true
    )]
    host: String,
    /// Facts about the request that the action declares, as a JSON object
    #[arg(long, value_name = "JSON")]
    context: Option<String>,
    /// The bundle to ask [default: the server's]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    bundle: String,
}

/// A question with all that is stated about it.
pub(in crate::cli) struct Stated {
    pub(in crate::cli) subject: Whom,
    pub(in crate::cli) question: CaseQuestion,
    pub(in crate::cli) context: Members,
    bundle: String,
}

/// Whom a question is about.
pub(in crate::cli) enum Whom {
    Token(String),
    Entity(EntityFacts),
    Anonymous,
}

impl Asked {
    /// The request to send.
    pub(super) fn into_request(self) -> Result<CheckRequest, Failure> {
        self.flags.stated()?.into_request()
    }
}

impl Flags {
    /// Whether nothing says whom the question is about.
    pub(in crate::cli) fn lacks_subject(&self) -> bool {
        self.token.is_none() && self.subject.is_none() && !self.anonymous
    }

    /// Whether nothing says what is asked.
    pub(in crate::cli) fn lacks_question(&self) -> bool {
        self.action.is_none() && self.path.is_none()
    }

    /// Reads what the flags say; whom they do not name is nobody.
    pub(in crate::cli) fn stated(self) -> Result<Stated, Failure> {
        let subject = match (&self.token, self.subject) {
            (Some(token), _) => Whom::Token(secret(token)?),
            (None, Some(subject)) => {
                let stated = ("--subject-attr", self.subject_attributes);
                Whom::Entity(entity(subject, stated, self.subject_parents)?)
            }
            (None, None) => Whom::Anonymous,
        };
        let question = match (self.action, self.resource, self.path) {
            (Some(action), Some(resource), _) => CaseQuestion::Named {
                action,
                properties: Members::new(),
                resource: entity(resource, ("--attr", self.attributes), self.parents)?,
            },
            (_, _, path) => CaseQuestion::Http {
                method: self.method.unwrap_or_default(),
                host: self.host,
                path: path.unwrap_or_default(),
                headers: Default::default(),
            },
        };
        Ok(Stated {
            subject,
            question,
            context: read_context(self.context.as_deref())?,
            bundle: self.bundle,
        })
    }
}

impl Stated {
    /// The request to send.
    pub(in crate::cli) fn into_request(self) -> Result<CheckRequest, Failure> {
        let subject = match self.subject {
            Whom::Token(token) => Subject::AccessToken(token),
            Whom::Entity(facts) => Subject::Entity(sent(facts)?),
            Whom::Anonymous => Subject::Anonymous(Anonymous {}),
        };
        let question = match self.question {
            CaseQuestion::Named {
                action, resource, ..
            } => Question::Named(NamedQuestion {
                action,
                resource: Some(sent(resource)?),
            }),
            CaseQuestion::Http {
                method, host, path, ..
            } => Question::Http(HttpQuestion {
                method,
                host,
                path,
                headers: Default::default(),
            }),
        };
        Ok(CheckRequest {
            bundle: self.bundle,
            subject: Some(subject),
            question: Some(question),
            context: to_members(self.context).map_err(Failure::usage)?,
            ..CheckRequest::default()
        })
    }
}

fn sent(facts: EntityFacts) -> Result<Entity, Failure> {
    Ok(Entity {
        attributes: to_members(facts.attributes).map_err(Failure::usage)?,
        parents: facts.parents.into_iter().map(Into::into).collect(),
        ..facts.uid.into()
    })
}

/// An entity with what the flag `stated.0` says about it.
fn entity(
    uid: EntityRef,
    stated: (&str, Vec<(String, String)>),
    parents: Vec<EntityRef>,
) -> Result<EntityFacts, Failure> {
    let (flag, stated) = stated;
    let mut attributes = Members::new();
    for (name, json) in stated {
        let value = read_json(&format!("{flag} {name}"), &json)?;
        attributes.insert(name, value);
    }
    Ok(EntityFacts {
        uid,
        attributes,
        parents,
    })
}

/// Reads `NAME=VALUE`.
pub(in crate::cli) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=JSON, as in tenant='\"acme\"'".to_owned()),
    }
}

/// Reads a secret given as itself, from standard input (`-`) or from a file (`@FILE`).
pub(in crate::cli) fn secret(given: &str) -> Result<String, Failure> {
    let read = match (given, given.strip_prefix('@')) {
        ("-", _) => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map(|_| text)
                .map_err(|why| Failure::failed(format!("cannot read standard input: {why}")))?
        }
        (_, Some(file)) => std::fs::read_to_string(file)
            .map_err(|why| Failure::failed(format!("cannot read `{file}`: {why}")))?,
        (text, None) => text.to_owned(),
    };
    Ok(read.trim().to_owned())
}

fn read_context(json: Option<&str>) -> Result<Members, Failure> {
    match json.map(|json| read_json("--context", json)).transpose()? {
        None => Ok(Members::new()),
        Some(Value::Record(members)) => Ok(members),
        Some(other) => Err(Failure::usage(format!(
            "--context is {}: expected a JSON object, as in '{{\"amount\": 100}}'",
            other.kind()
        ))),
    }
}

pub(in crate::cli) fn read_json(what: &str, json: &str) -> Result<Value, Failure> {
    parse_json(json.as_bytes(), LIMITS).map_err(|why| {
        Failure::usage(format!(
            "{what}: `{json}` is {why}; text needs its own quotes, as in '\"{json}\"'"
        ))
    })
}

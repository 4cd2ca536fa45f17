//! The context of a question: what the caller may state, and what Doorward alone supplies.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::{Asked, Principal};
use crate::{
    bundle::Snapshot,
    model::{
        Claims, HttpAsk, NamedQuestion, Question, Refusal, Timestamp, Violation, percent_decode,
    },
    policy::{
        ActionDef, Member, RecordType, Standard, Type,
        core::{self, CedarValue, Uid},
        missing_members, typed_members,
    },
};

type Context = BTreeMap<SmolStr, CedarValue>;

/// Builds the context that the action declares; with the entities that it refers to, which are those
/// that its asker named.
pub(super) fn build(
    snapshot: &Snapshot,
    action: &ActionDef,
    who: &Principal,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<(Context, Vec<Uid>), Refusal> {
    for name in asked.context.keys() {
        if Standard::named(name).is_some() {
            let message = "is supplied by Doorward alone";
            return Err(Refusal::malformed(
                format!("context.{name}"),
                "context_reserved",
                message,
            ));
        }
    }
    let stated = typed_members(asked.context, &action.context, &snapshot.schema)
        .map_err(|fault| Refusal::Malformed(vec![fault.violation("context")]))?;
    let mut named = Vec::new();
    let mut refer =
        |value: &CedarValue| core::references(value, &mut |uid| named.push(uid.clone()));
    stated.iter().for_each(|(_, value)| refer(value));
    let mut context: Context = stated.into_iter().collect();
    let undeclared = match asked.question {
        Question::Named(named) if !action.context.members.contains_key("action") => {
            named.properties.keys().next()
        }
        _ => None,
    };
    if let Some(name) = undeclared {
        let field = format!("action.properties.{name}");
        let message = "is not declared: the action's context has no member `action`";
        return Err(Refusal::malformed(field, "unknown_member", message));
    }
    for (name, member) in &action.context.members {
        let standard = Standard::named(name);
        let value = match standard {
            Some(standard) => supply(snapshot, standard, member, who, asked, now)?,
            None => None,
        };
        match value {
            Some(value) => {
                if standard == Some(Standard::Action) {
                    refer(&value);
                }
                context.insert(name.clone(), value);
            }
            None if standard.is_some() && member.required => {
                let message = "is required by the action, and not available for this request";
                return Err(Refusal::malformed(
                    format!("context.{name}"),
                    "context_missing",
                    message,
                ));
            }
            None => {}
        }
    }
    let missing = missing_members(context.keys(), &action.context).next();
    match missing {
        None => Ok((context, named)),
        Some(name) => Err(Refusal::Malformed(vec![Violation {
            field: format!("context.{name}"),
            code: "missing_member",
            message: format!("is required by action `{}`", action.uid),
        }])),
    }
}

fn supply(
    snapshot: &Snapshot,
    standard: Standard,
    member: &Member,
    who: &Principal,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Option<CedarValue>, Refusal> {
    Ok(match (standard, asked.question, &member.ty) {
        (Standard::Now, ..) => core::datetime(now),
        (Standard::Token, ..) => who.token(),
        (Standard::Actor, ..) => who.actor(),
        (Standard::Caller, ..) => asked
            .caller
            .map(|caller| record([("name", core::string(caller.as_str()))])),
        (Standard::Peer, ..) => asked
            .peer
            .map(|principal| record([("principal", core::string(principal))])),
        (Standard::Http, Question::Http(http), _) => Some(record([
            ("method", core::string(http.request.method())),
            ("host", core::string(http.request.host())),
            ("path", core::string(http.request.path())),
        ])),
        (Standard::Headers, Question::Http(http), Type::Record(declared)) => {
            headers(http, declared)?
        }
        (Standard::Query, Question::Http(http), Type::Record(declared)) => query(http, declared)?,
        (Standard::Action, Question::Named(named), Type::Record(declared)) => {
            action(snapshot, named, declared)?
        }
        (Standard::Http | Standard::Headers | Standard::Query | Standard::Action, ..) => None,
    })
}

/// What is stated about the action; nothing when what it requires is not all there.
fn action(
    snapshot: &Snapshot,
    named: &NamedQuestion,
    declared: &RecordType,
) -> Result<Option<CedarValue>, Refusal> {
    let members = typed_members(&named.properties, declared, &snapshot.schema)
        .map_err(|fault| Refusal::Malformed(vec![fault.violation("action.properties")]))?;
    let missing = missing_members(members.iter().map(|(name, _)| name), declared).next();
    Ok(match missing {
        None => Some(core::record(members.into_iter().collect())),
        Some(_) => None,
    })
}

/// What `context.token` says of these claims.
pub(super) fn token(claims: &Claims) -> Option<CedarValue> {
    let texts = |texts: &[String]| core::set(texts.iter().map(|text| core::string(text)).collect());
    let mut token = vec![
        ("issuer", core::string(claims.issuer.as_str())),
        ("scopes", texts(&claims.scopes)),
        ("expires_at", core::datetime(claims.expires_at)?),
    ];
    token.extend(
        claims
            .client_id
            .as_ref()
            .map(|id| ("client_id", core::string(id))),
    );
    token.extend(claims.acr.as_ref().map(|acr| ("acr", core::string(acr))));
    token.extend(claims.amr.as_ref().map(|amr| ("amr", texts(amr))));
    token.extend(
        claims
            .auth_time
            .and_then(core::datetime)
            .map(|time| ("auth_time", time)),
    );
    token.extend(
        claims
            .issued_at
            .and_then(core::datetime)
            .map(|time| ("issued_at", time)),
    );
    Some(record(token))
}

/// What `context.actor` says of these claims.
pub(super) fn actor(claims: &Claims) -> Option<CedarValue> {
    let actor = claims.actor.as_ref()?;
    let subject = ("subject", core::string(&actor.subject));
    let issuer = actor
        .issuer
        .as_ref()
        .map(|issuer| ("issuer", core::string(issuer)));
    Some(record(std::iter::once(subject).chain(issuer)))
}

/// Those of the headers that the action declares as text.
fn headers(http: &HttpAsk, declared: &RecordType) -> Result<Option<CedarValue>, Refusal> {
    texts("headers", declared, |name| {
        let value = http.headers.get(&name.to_ascii_lowercase());
        // What was not text came as U+FFFD: a rule must not read it, nor take it for absent.
        let unreadable =
            |text: &&String| text.contains(|c: char| c.is_control() || c == '\u{fffd}');
        match value.filter(unreadable) {
            Some(_) => Err("is not text"),
            None => Ok(value.cloned()),
        }
    })
}

/// Those of the query's parameters that the action declares as text, decoded once.
fn query(http: &HttpAsk, declared: &RecordType) -> Result<Option<CedarValue>, Refusal> {
    let decoded = |text: &str| percent_decode(&text.replace('+', " "));
    let pairs = || {
        let query = http.request.query().unwrap_or_default();
        query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    };
    texts("query", declared, |name| {
        let mut found = pairs().filter(|(sent, _)| decoded(sent).is_ok_and(|sent| sent == name));
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => decoded(value).map(Some).map_err(|_| "is not text"),
            (Some(_), Some(_)) => Err("is there more than once"),
        }
    })
}

/// A record of the declared texts that `find` finds; nothing when a required one is missing.
fn texts(
    member: &str,
    declared: &RecordType,
    find: impl Fn(&str) -> Result<Option<String>, &'static str>,
) -> Result<Option<CedarValue>, Refusal> {
    let mut members: BTreeMap<SmolStr, CedarValue> = BTreeMap::new();
    let of_text = |member: &Member| member.ty == Type::String;
    for (name, _) in declared.members.iter().filter(|(_, it)| of_text(it)) {
        let found = find(name).map_err(|message| {
            Refusal::malformed(format!("context.{member}.{name}"), "unreadable", message)
        })?;
        members.extend(found.map(|text| (name.clone(), core::string(&text))));
    }
    let missing = missing_members(members.keys(), declared).next();
    Ok(match missing {
        None => Some(core::record(members)),
        Some(_) => None,
    })
}

fn record<'a>(members: impl IntoIterator<Item = (&'a str, CedarValue)>) -> CedarValue {
    core::record(
        members
            .into_iter()
            .map(|(name, value)| (SmolStr::from(name), value))
            .collect(),
    )
}

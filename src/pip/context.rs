//! The context of a question: what the caller may state, and what Doorward alone supplies.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::{Asked, Principal};
use crate::{
    bundle::Snapshot,
    model::{Claims, HttpAsk, Question, Refusal, Timestamp, Violation},
    policy::{
        ActionDef, Member, RecordType, Standard, Type,
        core::{self, CedarValue},
        missing_member, typed_members,
    },
};

type Context = BTreeMap<SmolStr, CedarValue>;

/// Builds the context that the action declares.
pub(super) fn build(
    snapshot: &Snapshot,
    action: &ActionDef,
    who: &Principal,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Context, Refusal> {
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
    let mut context = typed_members(asked.context, &action.context, &snapshot.schema)
        .map_err(|fault| Refusal::Malformed(vec![fault.violation("context")]))?;
    for (name, member) in &action.context.members {
        let standard = Standard::named(name);
        let value = standard.and_then(|standard| supply(standard, member, who, asked, now));
        match value {
            Some(value) => {
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
    match missing_member(&context, &action.context) {
        None => Ok(context),
        Some(name) => Err(Refusal::Malformed(vec![Violation {
            field: format!("context.{name}"),
            code: "missing_member",
            message: format!("is required by action `{}`", action.uid),
        }])),
    }
}

fn supply(
    standard: Standard,
    member: &Member,
    who: &Principal,
    asked: Asked<'_>,
    now: Timestamp,
) -> Option<CedarValue> {
    let http = match asked.question {
        Question::Http(http) => Some(http),
        Question::Named(_) => None,
    };
    match standard {
        Standard::Now => core::datetime(now),
        Standard::Token => token(who.claims.as_deref()?),
        Standard::Actor => actor(who.claims.as_deref()?),
        Standard::Caller => Some(record([("name", core::string(asked.caller?.as_str()))])),
        Standard::Http => {
            let request = &http?.request;
            Some(record([
                ("method", core::string(request.method())),
                ("host", core::string(request.host())),
                ("path", core::string(request.path())),
            ]))
        }
        Standard::Headers => match &member.ty {
            Type::Record(declared) => headers(http?, declared),
            _ => None,
        },
        // No face supplies these yet.
        Standard::Query | Standard::Action => None,
    }
}

fn token(claims: &Claims) -> Option<CedarValue> {
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

fn actor(claims: &Claims) -> Option<CedarValue> {
    let actor = claims.actor.as_ref()?;
    let subject = ("subject", core::string(&actor.subject));
    let issuer = actor
        .issuer
        .as_ref()
        .map(|issuer| ("issuer", core::string(issuer)));
    Some(record(std::iter::once(subject).chain(issuer)))
}

/// Only headers that the action declares, each as text.
fn headers(http: &HttpAsk, declared: &RecordType) -> Option<CedarValue> {
    let sent = declared.members.iter().filter_map(|(name, member)| {
        let value = http.headers.get(&name.to_ascii_lowercase())?;
        (member.ty == Type::String).then(|| (name.clone(), core::string(value)))
    });
    let headers: BTreeMap<SmolStr, CedarValue> = sent.collect();
    match missing_member(&headers, declared) {
        None => Some(core::record(headers)),
        Some(_) => None,
    }
}

fn record<'a>(members: impl IntoIterator<Item = (&'a str, CedarValue)>) -> CedarValue {
    core::record(
        members
            .into_iter()
            .map(|(name, value)| (SmolStr::from(name), value))
            .collect(),
    )
}

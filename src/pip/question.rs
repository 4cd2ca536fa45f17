//! A question, named or HTTP → an action and a resource of the schema.

use super::{
    Principal,
    facts::{Overlay, entity_name},
    principal::token_missing,
};
use crate::{
    bundle::Snapshot,
    model::{CallerName, EntityFacts, HttpAsk, Members, NamedQuestion, Question, Refusal},
    policy::{ActionDef, core::Uid},
};

/// Greatest number of entities that one request may state facts about.
const MAX_STATED: usize = 1_000;

/// A question with all that its asker stated.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The question.
    pub question: &'a Question,
    /// Facts about entities.
    pub entities: &'a [EntityFacts],
    /// Context members.
    pub context: &'a Members,
    /// Who asks.
    pub caller: Option<&'a CallerName>,
    /// Whom the client's certificate names, by the word of a gateway.
    pub peer: Option<&'a str>,
}

/// A question in the schema's terms.
#[derive(Debug)]
pub struct Resolved<'s> {
    /// The action.
    pub action: &'s ActionDef,
    /// The resource.
    pub resource: Uid,
}

/// Finds the action and the resource, and takes in all facts that the request states.
pub(super) fn resolve<'s>(
    snapshot: &'s Snapshot,
    who: &Principal,
    asked: Asked<'_>,
    overlay: &mut Overlay<'_>,
) -> Result<Resolved<'s>, Refusal> {
    if asked.entities.len() > MAX_STATED {
        return Err(Refusal::TooLarge {
            what: "entities",
            limit: MAX_STATED,
        });
    }
    for (n, facts) in asked.entities.iter().enumerate() {
        let at = format_args!("entities.{n}");
        let named = entity_name(snapshot, &facts.uid, &at)?;
        overlay.state(snapshot, named, facts, &at)?;
    }
    match asked.question {
        Question::Named(named) => resolve_named(snapshot, named, overlay),
        Question::Http(http) => resolve_http(snapshot, who, http, overlay),
    }
}

fn resolve_named<'s>(
    snapshot: &'s Snapshot,
    named: &NamedQuestion,
    overlay: &mut Overlay<'_>,
) -> Result<Resolved<'s>, Refusal> {
    let action = snapshot.schema.action(&named.action).ok_or_else(|| {
        let message = format!("the bundle's schema has no action `{}`", named.action);
        Refusal::malformed("action", "unknown_action", message)
    })?;
    let (resource_type, resource) = entity_name(snapshot, &named.resource.uid, &"resource")?;
    if !action.resources.contains(&resource_type.name) {
        let message = format!(
            "action `{}` does not apply to a `{}`",
            named.action, resource_type.name
        );
        return Err(Refusal::malformed(
            "resource.type",
            "resource_type",
            message,
        ));
    }
    let stated = !named.resource.attributes.is_empty() || !named.resource.parents.is_empty();
    // The facts may stand with the resource or among the entities, not in both.
    if stated || !overlay.is_stated(&resource) {
        let of_type = (resource_type, resource.clone());
        overlay.state(snapshot, of_type, &named.resource, &"resource")?;
    }
    Ok(Resolved { action, resource })
}

fn resolve_http<'s>(
    snapshot: &'s Snapshot,
    who: &Principal,
    http: &HttpAsk,
    overlay: &mut Overlay<'_>,
) -> Result<Resolved<'s>, Refusal> {
    let found = snapshot
        .routes
        .find(&http.request)
        .map_err(|error| Refusal::malformed("http.path", "not_canonical", error.message))?;
    let matched = found.ok_or(Refusal::NoRoute)?;
    if who.is_anonymous() && !matched.route.anonymous {
        return Err(token_missing());
    }
    let no_action = || Refusal::Unavailable {
        detail: "a route names an action that is gone".into(),
    };
    let action = snapshot
        .schema
        .action(&matched.route.action)
        .ok_or_else(no_action)?;
    let (_, resource) = entity_name(snapshot, &matched.resource, &"http.path")?;
    overlay.url(snapshot, &resource, &matched)?;
    Ok(Resolved { action, resource })
}

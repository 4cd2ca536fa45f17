//! All that is needed to decide a question: action, resource, context and the slice of entities.

use super::{
    Principal, context,
    facts::Overlay,
    question::{self, Asked, Resolved},
    slice::slice,
    stored::Known,
};
use crate::{
    model::{Refusal, Timestamp},
    policy::{Request, core::Entities},
};

/// A question in Cedar's terms with all that is needed to decide it.
#[derive(Debug)]
pub struct Gathered<'s> {
    /// Action and resource.
    pub resolved: Resolved<'s>,
    /// The question.
    pub request: Request,
    /// Principal, resource and every entity in the context, each with all of its ancestors, and what
    /// they refer to, as deep as the bundle's policies look.
    pub entities: Entities,
}

/// Gathers what is known about a question.
///
/// # Errors
/// [`Refusal::Malformed`], [`Refusal::NoRoute`], [`Refusal::ResourceMismatch`] or
/// [`Refusal::TooLarge`] for what the request states; [`Refusal::Unavailable`] for what it cannot help.
pub fn gather<'s>(
    known: impl Into<Known<'s>>,
    who: &Principal,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Gathered<'s>, Refusal> {
    let known: Known<'s> = known.into();
    known.check_readable()?;
    let snapshot = known.snapshot;
    let mut overlay = Overlay::new(known, who.stated());
    let resolved = question::resolve(snapshot, who, asked, &mut overlay)?;
    let (context, mut roots) = context::build(snapshot, resolved.action, who, asked, now)?;
    roots.extend([who.uid().clone(), resolved.resource.clone()]);
    let request = Request {
        principal: who.uid().clone(),
        action: resolved.action.uid.clone(),
        resource: resolved.resource.clone(),
        context,
    };
    let entities = slice(
        known,
        &overlay,
        who.shared(),
        roots,
        snapshot.policies.level(),
        &resolved.action.entity,
    )?;
    Ok(Gathered {
        resolved,
        request,
        entities,
    })
}

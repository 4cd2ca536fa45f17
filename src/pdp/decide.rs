//! The pure heart: rules, subject, question, time → decision.

use crate::{
    bundle::Snapshot,
    model::{Cause, Decision, Outcome, Refusal, SignedDuration, Timestamp},
    pip::{Asked, Gathered, Known, Principal, gather},
    policy::{
        ActionDef, Expired, Request,
        core::{Entities, Uid},
        evaluate_within,
    },
};

/// A decision with the question in the schema's terms.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// The action that the question came to.
    pub action: Uid,
    /// The resource that the question came to.
    pub resource: Uid,
}

/// Decides a question by one snapshot, and what its directory stores.
///
/// The same arguments give the same result: cases, replay and explanations stand on this.
///
/// # Errors
/// The [`Refusal`] when no decision can be made of what is stated.
pub fn decide<'w>(
    known: impl Into<Known<'w>>,
    who: &Principal,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Decided, Refusal> {
    decide_within(known.into(), who, asked, now, &|| false)
}

/// The same, as long as `expired` does not say that there is no time left; the clock is its own.
///
/// # Errors
/// As of [`decide`], and [`Refusal::DeadlineExceeded`].
pub(super) fn decide_within(
    known: Known<'_>,
    who: &Principal,
    asked: Asked<'_>,
    now: Timestamp,
    expired: Expired<'_>,
) -> Result<Decided, Refusal> {
    let snapshot = known.snapshot();
    let Gathered {
        resolved,
        request,
        entities,
    } = gather(known, who, asked, now)?;
    let decision = conclude_within(
        snapshot,
        who,
        resolved.action,
        &request,
        &entities,
        now,
        expired,
    );
    let Request {
        action, resource, ..
    } = request;
    Ok(Decided {
        decision: decision.ok_or(Refusal::DeadlineExceeded)?,
        action,
        resource,
    })
}

/// Decides by what was gathered.
pub(super) fn conclude(
    snapshot: &Snapshot,
    who: &Principal,
    action: &ActionDef,
    request: &Request,
    entities: &Entities,
    now: Timestamp,
) -> Decision {
    // Without a deadline there is always one.
    conclude_within(snapshot, who, action, request, entities, now, &|| false)
        .unwrap_or_else(nothing_permits)
}

/// Decides by what was gathered, unless there is no time left.
fn conclude_within(
    snapshot: &Snapshot,
    who: &Principal,
    action: &ActionDef,
    request: &Request,
    entities: &Entities,
    now: Timestamp,
    expired: Expired<'_>,
) -> Option<Decision> {
    let decision = if action.principals.contains(who.uid().entity_type()) {
        let strict = snapshot.strict_errors;
        let party = who.party_in(entities);
        let policies = &snapshot.policies;
        let found = evaluate_within(policies, request, entities, party, strict, expired)?;
        let cacheable_for = match found.reads_now {
            true => SignedDuration::ZERO,
            false => cacheable_for(snapshot, who, now),
        };
        Decision {
            cacheable_for,
            ..found.decision
        }
    } else {
        // The schema does not let such a principal do this at all, so no policy was validated for it.
        nothing_permits()
    };
    Some(decision)
}

/// The bundle's word, but never past the end of the token.
fn cacheable_for(snapshot: &Snapshot, who: &Principal, now: Timestamp) -> SignedDuration {
    let left = who.expires_at().map(|expiry| expiry.duration_since(now));
    let allowed = left.map_or(snapshot.cacheable_for, |left| {
        snapshot.cacheable_for.min(left)
    });
    allowed.max(SignedDuration::ZERO)
}

fn nothing_permits() -> Decision {
    Decision {
        outcome: Outcome::Deny,
        cause: Cause::NothingPermits,
        reasons: Vec::new(),
        errors: Vec::new(),
        obligations: Vec::new(),
        challenge: None,
        cacheable_for: SignedDuration::ZERO,
    }
}

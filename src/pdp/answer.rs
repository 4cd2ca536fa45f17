//! What leaves the decision point.

use std::sync::Arc;

use super::World;
use crate::{
    model::{BundleName, Claims, Decision, DecisionId, Digest, EntityRef, Refusal, Revision},
    pip::Principal,
};

/// A decision that a face may send. Only [`super::Pdp::answer`] makes one.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) decision_id: DecisionId,
    pub(super) decision: Arc<Decision>,
    /// All that it was decided by.
    pub(super) world: Arc<World>,
    pub(super) may_explain: bool,
    pub(super) principal: Arc<Principal>,
}

impl Answer {
    /// The id by which the decision log knows it.
    pub fn decision_id(&self) -> DecisionId {
        self.decision_id
    }

    /// What was decided.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The bundle that decided.
    pub fn bundle(&self) -> &BundleName {
        &self.world.bundle
    }

    /// That bundle's digest.
    pub fn digest(&self) -> Digest {
        self.world.snapshot.digest
    }

    /// The revision of stored data it reflects.
    pub fn revision(&self) -> &Revision {
        &self.world.revision
    }

    /// Whom it is about, as the policies know them; `None` for those who presented nothing.
    pub fn principal(&self) -> Option<&EntityRef> {
        (!self.principal.is_anonymous()).then(|| self.principal.name())
    }

    /// What the verified token says of them, if there was one.
    pub fn claims(&self) -> Option<&Claims> {
        self.principal.claims().map(Arc::as_ref)
    }

    /// Whether the caller may see places and error texts.
    pub fn may_explain(&self) -> bool {
        self.may_explain
    }
}

/// A refusal with the id by which the decision log knows it.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The id.
    pub decision_id: DecisionId,
    /// Why.
    pub refusal: Refusal,
}

impl Refused {
    /// Gives a refusal its id.
    pub fn new(decision_id: DecisionId, refusal: Refusal) -> Self {
        Self {
            decision_id,
            refusal,
        }
    }
}

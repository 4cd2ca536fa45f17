//! What is known of a request, for its record.

use super::World;
use crate::{
    authn::Identity,
    model::{AccessRequest, CallerName, DecisionId, Question, Record, RecordOutcome, Timestamp},
};

/// What is known of a request when it ends, for its record.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) caller: Option<CallerName>,
    pub(super) world: Option<World>,
    pub(super) identity: Option<Identity>,
    pub(super) token_id: Option<String>,
    pub(super) principal: Option<String>,
    pub(super) action: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) undeclared: usize,
    /// Its record is counted and not kept, so nobody reads its texts.
    pub(super) only_counted: bool,
    /// When the last of its stages began.
    pub(super) began: Option<Timestamp>,
    pub(super) explained: bool,
}

impl Trace {
    pub(super) fn into_record(
        self,
        ask: &AccessRequest,
        decision_id: DecisionId,
        now: Timestamp,
        outcome: RecordOutcome,
    ) -> Record {
        let as_asked = || match &ask.question {
            Question::Named(named) => (named.action.clone(), named.resource.uid.to_string()),
            Question::Http(http) => (
                http.request.method().to_owned(),
                http.request.path().to_owned(),
            ),
        };
        let (action, resource) = match (self.action, self.resource) {
            (None, None) if !self.only_counted => {
                let (action, resource) = as_asked();
                (Some(action), Some(resource))
            }
            known => known,
        };
        Record {
            time: now,
            decision_id,
            face: ask.face,
            caller: self.caller,
            request_id: ask.request_id.clone(),
            bundle: self.world.as_ref().map(|world| world.bundle.clone()),
            bundle_digest: self.world.as_ref().map(|world| world.snapshot.digest),
            revision: self
                .world
                .as_ref()
                .map(|world| world.revision.clone())
                .unwrap_or_default(),
            token: self
                .identity
                .as_ref()
                .filter(|_| !self.only_counted)
                .map(|identity| identity.fingerprint().to_owned()),
            token_id: self.token_id,
            principal: self.principal,
            action,
            resource,
            undeclared: self.undeclared,
            outcome,
            explained: self.explained,
            latency_us: 0,
        }
    }
}

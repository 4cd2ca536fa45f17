//! [`Pdp::answer`], the only door to a decision, and the pure [`decide`].
//!
//! **Invariant:** the fast path never awaits; everything that decides is pinned once, as a [`World`].

mod answer;
mod decide;
mod rehearse;
mod world;

pub use answer::{Answer, Refused};
pub use decide::{Decided, decide};
pub use rehearse::{Rehearsal, rehearse};
pub use world::World;

use std::{collections::HashMap, sync::Arc};

use crate::{
    audit::Recorder,
    authn::{Caller, Callers, Identity, TokenScope, TokenVerifier},
    bundle::LiveBundles,
    config::BundleConfig,
    model::{
        AccessRequest, BundleName, CallerName, DecisionId, EntityFacts, IssuerName, Question,
        Record, RecordOutcome, Refusal, Revision, Right, Subject, Timestamp,
    },
    pip::{Asked, Principal, drop_undeclared},
};

/// The decision point: rules, trust and callers, and the log of what it decides.
#[derive(Debug)]
pub struct Pdp {
    bundles: LiveBundles,
    isolation: HashMap<BundleName, Isolation>,
    hosts: HashMap<String, BundleName>,
    default_bundle: Option<BundleName>,
    callers: Callers,
    tokens: Arc<TokenVerifier>,
    recorder: Recorder,
}

/// Whom one bundle lets in, within what the server trusts.
#[derive(Debug)]
struct Isolation {
    issuers: Option<Vec<IssuerName>>,
    audiences: Option<Vec<String>>,
    callers: Option<Vec<CallerName>>,
}

/// What is known of a request when it ends, for its record.
#[derive(Default)]
struct Trace {
    caller: Option<CallerName>,
    world: Option<World>,
    identity: Option<Identity>,
    token_id: Option<String>,
    principal: Option<String>,
    action: Option<String>,
    resource: Option<String>,
    undeclared: usize,
}

/// What one batch sees: the world that its first question pinned.
#[derive(Debug, Default)]
pub struct Pinned(Option<World>);

impl Pdp {
    /// A decision point over these bundles.
    pub fn new(
        configured: &[BundleConfig],
        default_bundle: Option<BundleName>,
        bundles: LiveBundles,
        callers: Callers,
        tokens: Arc<TokenVerifier>,
        recorder: Recorder,
    ) -> Self {
        let isolation = configured.iter().map(|bundle| {
            let isolation = Isolation {
                issuers: bundle.issuers.clone(),
                audiences: bundle.audiences.clone(),
                callers: bundle.callers.clone(),
            };
            (bundle.name.clone(), isolation)
        });
        let hosts = configured.iter().flat_map(|bundle| {
            bundle
                .hosts
                .iter()
                .map(|host| (host.clone(), bundle.name.clone()))
        });
        Self {
            isolation: isolation.collect(),
            hosts: hosts.collect(),
            default_bundle,
            bundles,
            callers,
            tokens,
            recorder,
        }
    }

    /// Decides one request as of `now`, and records it.
    ///
    /// # Errors
    /// [`Refused`] when no decision could be made; never an allow.
    pub async fn answer(&self, ask: AccessRequest, now: Timestamp) -> Result<Answer, Refused> {
        self.answer_within(&mut Pinned::default(), ask, now).await
    }

    /// Decides one request of a batch, by what its first one pinned.
    ///
    /// # Errors
    /// [`Refused`], as of [`Self::answer`].
    pub async fn answer_within(
        &self,
        pinned: &mut Pinned,
        mut ask: AccessRequest,
        now: Timestamp,
    ) -> Result<Answer, Refused> {
        let decision_id = DecisionId::new(now);
        let mut trace = Trace::default();
        let result = self.try_answer(pinned, &mut ask, now, decision_id, &mut trace);
        let outcome = match &result {
            Ok(answer) => {
                let decision = answer.decision();
                RecordOutcome::Decision {
                    outcome: decision.outcome,
                    cause: decision.cause,
                    reasons: decision.reasons.clone(),
                    errors: decision.errors.clone(),
                    obligations: decision.obligations.clone(),
                }
            }
            Err(refusal) => RecordOutcome::Refusal {
                refusal: refusal.code(),
                reason: refusal.reason(),
                detail: refusal.to_string(),
            },
        };
        self.recorder
            .record(trace.into_record(&ask, decision_id, now, outcome));
        result.map_err(|refusal| Refused::new(decision_id, refusal))
    }

    fn try_answer(
        &self,
        pinned: &mut Pinned,
        ask: &mut AccessRequest,
        now: Timestamp,
        decision_id: DecisionId,
        trace: &mut Trace,
    ) -> Result<Answer, Refusal> {
        let caller = self
            .callers
            .identify(&ask.credential)
            .map_err(Refusal::CallerUnknown)?;
        trace.caller = Some(caller.name().clone());
        let bundle = self.choose(ask, &caller)?;
        let isolation = self.isolation.get(&bundle).ok_or(Refusal::UnknownBundle)?;
        let right = match ask.subject {
            Subject::Entity(_) => Right::Vouch,
            Subject::Token(_) | Subject::Anonymous => Right::Check,
        };
        let barred = isolation
            .callers
            .as_ref()
            .is_some_and(|list| !list.contains(caller.name()));
        if barred {
            return Err(Refusal::CallerLacksRight { right, bundle });
        }
        caller.may(right, &bundle)?;
        if ask.face.is_for_gateways() {
            caller.may(Right::Gateway, &bundle)?;
        }
        if ask.at_least_revision.is_some() {
            // Nothing is stored yet, so no revision was ever handed out.
            return Err(Refusal::Stale);
        }
        let world = match pinned.0.take() {
            Some(world) if world.bundle == bundle => world,
            _ => self.pin(bundle)?,
        };
        pinned.0 = Some(world.clone());
        trace.world = Some(world.clone());
        if ask.face.drops_undeclared() {
            trace.undeclared = drop_undeclared(&world.snapshot, ask);
        }
        let who = self.authenticate(ask, &world, isolation, &caller, now, trace)?;
        trace.principal = Some(who.uid().to_string());
        let asked = Asked {
            question: &ask.question,
            entities: &ask.entities,
            context: &ask.context,
            caller: Some(caller.name()),
            peer: match caller.may(Right::Gateway, &world.bundle) {
                Ok(()) => ask.gateway.peer.as_deref(),
                Err(_) => None,
            },
        };
        let decided = decide(&world.snapshot, &who, asked, now)?;
        trace.action = Some(decided.action.to_string());
        trace.resource = Some(decided.resource.to_string());
        Ok(Answer {
            decision_id,
            may_explain: caller.may(Right::Explain, &world.bundle).is_ok(),
            decision: decided.decision,
            digest: world.snapshot.digest,
            revision: world.revision,
            bundle: world.bundle,
            principal: who.entity(),
            anonymous: who.is_anonymous(),
            claims: who.claims().cloned(),
        })
    }

    /// The bundle by its name, else by the gateway's word, else by the host asked about, else the
    /// default one.
    fn choose(&self, ask: &AccessRequest, caller: &Caller) -> Result<BundleName, Refusal> {
        if let (None, Some(name)) = (&ask.bundle, &ask.gateway.bundle) {
            // To go on without it would decide by rules that its operator did not mean.
            caller.may(Right::Gateway, name)?;
            return Ok(name.clone());
        }
        let host = match &ask.question {
            Question::Http(http) if !self.hosts.is_empty() => Some(http.request.host()),
            _ => None,
        };
        let chosen = match (&ask.bundle, host) {
            (Some(name), _) => Some(name),
            (None, Some(host)) => self.hosts.get(host),
            (None, None) => self.default_bundle.as_ref(),
        };
        chosen.cloned().ok_or(Refusal::UnknownBundle)
    }

    fn pin(&self, bundle: BundleName) -> Result<World, Refusal> {
        let (_, live) = self
            .bundles
            .get(bundle.as_str())
            .ok_or(Refusal::UnknownBundle)?;
        let snapshot = live.pin().ok_or_else(|| Refusal::Unavailable {
            detail: format!("bundle `{bundle}` was never published"),
        })?;
        Ok(World {
            bundle,
            snapshot,
            keys: self.tokens.pin(),
            revision: Revision::default(),
        })
    }

    fn authenticate(
        &self,
        ask: &AccessRequest,
        world: &World,
        isolation: &Isolation,
        caller: &Caller,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Result<Principal, Refusal> {
        let scope = TokenScope {
            issuers: isolation.issuers.as_deref(),
            audiences: isolation.audiences.as_deref(),
        };
        match &ask.subject {
            Subject::Token(token) => {
                let identity = world
                    .keys
                    .verify(token, &scope, now)
                    .map_err(Refusal::Unauthenticated)?;
                let claims = Arc::clone(identity.claims());
                trace.token_id = claims.jti.clone();
                trace.identity = Some(identity);
                Principal::of_claims(&world.snapshot, claims)
            }
            Subject::Entity(facts) => {
                check_vouch(caller, &world.bundle, facts)?;
                Principal::vouched(&world.snapshot, facts)
            }
            Subject::Anonymous => match &ask.gateway.claims {
                Some(members) if caller.may(Right::Gateway, &world.bundle).is_ok() => {
                    let claims = world
                        .keys
                        .vouched(members.clone(), &scope, now)
                        .map_err(Refusal::Unauthenticated)?;
                    trace.token_id = claims.jti.clone();
                    Principal::of_claims(&world.snapshot, claims)
                }
                _ => Principal::anonymous(&world.snapshot),
            },
        }
    }
}

/// A caller vouches for the types it is trusted with, and for parents only when it may.
fn check_vouch(caller: &Caller, bundle: &BundleName, facts: &EntityFacts) -> Result<(), Refusal> {
    let scope = caller.vouch();
    let type_ok = scope.types.is_empty() || scope.types.contains(&facts.uid.type_name);
    match type_ok && (scope.parents || facts.parents.is_empty()) {
        true => Ok(()),
        false => Err(Refusal::CallerLacksRight {
            right: Right::Vouch,
            bundle: bundle.clone(),
        }),
    }
}

impl Trace {
    fn into_record(
        self,
        ask: &AccessRequest,
        decision_id: DecisionId,
        now: Timestamp,
        outcome: RecordOutcome,
    ) -> Record {
        let (action, resource) = match &ask.question {
            Question::Named(named) => (named.action.clone(), named.resource.uid.to_string()),
            Question::Http(http) => (
                http.request.method().to_owned(),
                http.request.path().to_owned(),
            ),
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
                .map(|world| world.revision)
                .unwrap_or_default(),
            token: self
                .identity
                .as_ref()
                .map(|identity| identity.fingerprint().to_owned()),
            token_id: self.token_id,
            principal: self.principal,
            action: self.action.or(Some(action)),
            resource: self.resource.or(Some(resource)),
            undeclared: self.undeclared,
            outcome,
            latency_us: 0,
        }
    }
}

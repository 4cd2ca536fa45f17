//! [`Pdp::answer`], the only door to a decision, and the pure [`decide`].
//!
//! **Invariant:** the fast path never awaits; everything that decides is pinned once, as a [`World`].

mod answer;
mod batch;
mod decide;
mod explain;
mod rehearse;
mod replay;
mod trace;
mod world;

pub use answer::{Answer, Refused};
use decide::decide_within;
pub use decide::{Decided, decide};
use explain::Explaining;
pub use explain::{Explained, Explanation, Flip, Telling, explain};
pub use rehearse::{Footprint, Rehearsal, explain_rehearsal, footprint, rehearse};
pub use replay::{NotReplayed, explain_again, replay, replay_with};
use trace::Trace;
pub use world::{View, World};

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    audit::{Receipt, Recorder, TRACE},
    authn::{Caller, Callers, Signature, TokenScope, TokenVerifier},
    bundle::LiveBundles,
    config::BundleConfig,
    model::{
        AccessRequest, BundleName, CallerCredential, CallerName, Claims, DecisionId, EntityFacts,
        IssuerName, Question, RecordOutcome, Refusal, Rejection, RejectionCode, Right,
        SignedDuration, Subject, Timestamp,
    },
    pip::{Asked, LivePrincipals, Principal, drop_undeclared},
    policy::Map,
    store::{Reach, Store, Version},
};

/// How long a request waits for a revision that is still to come: most of a second, which is the
/// deadline of most.
const PATIENCE: Duration = Duration::from_millis(800);

/// The decision point: rules, trust and callers, and the log of what it decides.
#[derive(Debug)]
pub struct Pdp {
    bundles: LiveBundles,
    per_bundle: Map<BundleName, PerBundle>,
    hosts: HashMap<String, BundleName>,
    default_bundle: Option<BundleName>,
    callers: Callers,
    tokens: Arc<TokenVerifier>,
    recorder: Recorder,
    /// How long one question may take from its arrival on, by this clock.
    deadline: Option<(SignedDuration, fn() -> Timestamp)>,
    /// What is stored; `None`: nothing ever is.
    store: Option<Arc<Store>>,
    explaining: Explaining,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Decide,
    Explain,
}

/// A request, and what the keys of its view say of its token, once they were asked.
struct Asking {
    ask: AccessRequest,
    signature: Option<Signature>,
}

impl From<AccessRequest> for Asking {
    fn from(ask: AccessRequest) -> Self {
        Self {
            ask,
            signature: None,
        }
    }
}

impl Asking {
    /// Asks the keys of `view`; where these lack the token's, it has newer ones afterwards.
    async fn find_signature(&mut self, tokens: &TokenVerifier, view: &mut View, now: Timestamp) {
        if let Subject::Token(token) = &self.ask.subject {
            self.signature = Some(tokens.signature(&mut view.keys, token, now).await);
        }
    }
}

/// Whom one bundle lets in, within what the server trusts, and the principals it makes of them.
#[derive(Debug)]
struct PerBundle {
    issuers: Option<Vec<IssuerName>>,
    audiences: Option<Vec<String>>,
    callers: Option<Vec<CallerName>>,
    principals: LivePrincipals,
}

/// The caller without a credential.
const ANONYMOUS: &str = "anonymous";

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
        let per_bundle = configured.iter().map(|bundle| {
            let its = PerBundle {
                issuers: bundle.issuers.clone(),
                audiences: bundle.audiences.clone(),
                callers: bundle.callers.clone(),
                principals: LivePrincipals::default(),
            };
            (bundle.name.clone(), its)
        });
        let hosts = configured.iter().flat_map(|bundle| {
            bundle
                .hosts
                .iter()
                .map(|host| (host.clone(), bundle.name.clone()))
        });
        Self {
            per_bundle: per_bundle.collect(),
            hosts: hosts.collect(),
            default_bundle,
            bundles,
            callers,
            tokens,
            recorder,
            deadline: None,
            store: None,
            explaining: Explaining::default(),
        }
    }

    /// Refuses a question whose policies take longer than `deadline`, by `clock`.
    #[must_use]
    pub fn with_deadline(self, deadline: SignedDuration, clock: fn() -> Timestamp) -> Self {
        Self {
            deadline: Some((deadline, clock)),
            ..self
        }
    }

    /// Explains so often in a minute to one caller.
    #[must_use]
    pub fn with_explanations_per_minute(self, per_minute: usize) -> Self {
        Self {
            explaining: Explaining::per_minute(per_minute),
            ..self
        }
    }

    /// Decides with what `store` has, too.
    pub fn with_store(self, store: Arc<Store>) -> Self {
        Self {
            store: Some(store),
            ..self
        }
    }

    /// What is stored as of now.
    fn stored(&self) -> Arc<Version> {
        self.store.as_ref().map_or_else(Arc::default, |it| it.pin())
    }

    /// Decides one request as of `now`, and records it.
    ///
    /// # Errors
    /// [`Refused`] when no decision could be made; never an allow.
    pub async fn answer(&self, ask: AccessRequest, now: Timestamp) -> Result<Answer, Refused> {
        self.answer_within(&mut self.view(), ask, now).await
    }

    /// What questions that belong together see: the same keys, and of each bundle the same rules.
    pub fn view(&self) -> View {
        View::new(self.tokens.pin(), self.stored())
    }

    /// Decides one of the requests that share `view`, as of `now`, and records it.
    ///
    /// # Errors
    /// [`Refused`], as of [`Self::answer`].
    pub async fn answer_within(
        &self,
        view: &mut View,
        ask: AccessRequest,
        now: Timestamp,
    ) -> Result<Answer, Refused> {
        let mut asking = Asking::from(ask);
        let caller = self.identify(&asking.ask.credential, view, now).await;
        if caller.is_ok() {
            asking.find_signature(&self.tokens, view, now).await;
        }
        let caller = match (&caller, &asking.ask.at_least_revision) {
            (Ok(_), Some(revision)) => self.reach(view, revision).await.and(caller),
            _ => caller,
        };
        let (answered, receipt) = self.answer_in(view, caller.as_ref(), &mut asking, now);
        self.when_durable(answered, receipt).await
    }

    /// The answer leaves once its record is as safe as `audit.mode` promises.
    async fn when_durable(
        &self,
        answered: Result<Answer, Refused>,
        receipt: Receipt,
    ) -> Result<Answer, Refused> {
        let Err(refusal) = receipt.durable().await else {
            return answered;
        };
        let decision_id = match &answered {
            Ok(answer) => answer.decision_id,
            Err(refused) => refused.decision_id,
        };
        Err(Refused::new(decision_id, refusal))
    }

    /// Waits until what `view` has stored is of this revision or later.
    async fn reach(&self, view: &mut View, revision: &str) -> Result<(), Refusal> {
        if let Some(store) = &self.store {
            store.reach(revision, PATIENCE).await;
        }
        self.reached(view, revision)
    }

    /// Whether what is stored now, which `view` then has, is of this revision or later.
    fn reached(&self, view: &mut View, revision: &str) -> Result<(), Refusal> {
        let store = self.store.as_ref();
        let reach = store.map_or(Reach::Unknown, |store| store.stands(revision));
        let refuse = |message: &str| {
            Err(Refusal::malformed(
                "at_least_revision",
                "unknown_revision",
                message,
            ))
        };
        match reach {
            Reach::Reached if view.renew(self.stored()) => Ok(()),
            Reach::Reached => Err(Refusal::Stale),
            Reach::Later => Err(Refusal::Stale),
            Reach::Lost => refuse("is of a state that a restore has undone: read and write anew"),
            Reach::Unknown => refuse("was not given out by this server"),
        }
    }

    /// Finds out which caller presents `credential`, and by which rights, as of `now`.
    ///
    /// # Errors
    /// [`Refusal::CallerUnknown`].
    pub async fn caller(
        &self,
        credential: &CallerCredential,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        self.identify(credential, &mut self.view(), now).await
    }

    /// Finds out who asks by the keys of `view`, or by those that a new read brought, which `view`
    /// then has.
    async fn identify(
        &self,
        credential: &CallerCredential,
        view: &mut View,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let rejection = match self.callers.identify(credential, &view.keys, now) {
            Ok(caller) => return Ok(caller),
            Err(rejection) => rejection,
        };
        let (callers, tokens, pinned) = (&self.callers, &self.tokens, &view.keys);
        let fresh = callers.refreshed(tokens, pinned, credential, &rejection, now);
        let Some(fresh) = fresh.await else {
            return Err(Refusal::CallerUnknown(rejection));
        };
        view.keys = fresh;
        let caller = self.callers.identify(credential, &view.keys, now);
        caller.map_err(Refusal::CallerUnknown)
    }

    /// Decides one request of a known or refused caller within `view`, and records it.
    fn answer_in(
        &self,
        view: &mut View,
        caller: Result<&Caller, &Refusal>,
        asking: &mut Asking,
        now: Timestamp,
    ) -> (Result<Answer, Refused>, Receipt) {
        let decision_id = DecisionId::new(now);
        let mut trace = Trace {
            only_counted: !self.recorder.keeps(),
            ..Trace::default()
        };
        let result = caller
            .map_err(Refusal::clone)
            .and_then(|caller| self.try_answer(view, caller, asking, now, decision_id, &mut trace));
        let outcome = match &result {
            Ok(answer) => RecordOutcome::Decision(Arc::clone(&answer.decision)),
            Err(refusal) => RecordOutcome::of_refusal(refusal),
        };
        let record = trace.into_record(&mut asking.ask, decision_id, now, outcome);
        let receipt = self.recorder.submit(record);
        let answered = result.map_err(|refusal| Refused::new(decision_id, refusal));
        (answered, receipt)
    }

    fn try_answer(
        &self,
        view: &mut View,
        caller: &Caller,
        asking: &mut Asking,
        now: Timestamp,
        decision_id: DecisionId,
        trace: &mut Trace,
    ) -> Result<Answer, Refusal> {
        let (world, who) = self.prepare(view, caller, asking, Purpose::Decide, now, trace)?;
        let began = (self.recorder).lap("authenticate", trace.began.unwrap_or(now));
        let asked = Self::asked(&asking.ask, caller, &world);
        let expired = || {
            self.deadline
                .is_some_and(|(deadline, clock)| clock().duration_since(now) > deadline)
        };
        let decided = tracing::debug_span!(target: TRACE, "decide")
            .in_scope(|| decide_within(world.known(), &who, asked, now, &expired))?;
        self.recorder.lap("decide", began);
        trace.peer = asked.peer.map(str::to_owned);
        trace.resolved = Some((decided.action, decided.resource));
        Ok(Answer {
            decision_id,
            may_explain: caller.may(Right::Explain, &world.bundle).is_ok(),
            decision: Arc::new(decided.decision),
            world,
            principal: who,
        })
    }

    /// Holds the caller to its rights, pins the world and finds out who the subject is.
    fn prepare(
        &self,
        view: &mut View,
        caller: &Caller,
        asking: &mut Asking,
        purpose: Purpose,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Result<(Arc<World>, Arc<Principal>), Refusal> {
        let Asking { ask, signature } = asking;
        trace.caller = Some(caller.name().clone());
        let bundle = self.choose(ask, caller)?;
        let its = self.per_bundle.get(&bundle).ok_or(Refusal::UnknownBundle)?;
        let right = match ask.subject {
            Subject::Entity(_) => Right::Vouch,
            Subject::Token(_) | Subject::Anonymous => Right::Check,
        };
        let barred = its
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
        if purpose == Purpose::Explain {
            self.explaining.admit(caller, &bundle, now)?;
        }
        let world = view.world(bundle, &self.bundles, &its.principals)?;
        trace.world = Some(Arc::clone(&world));
        if ask.face.drops_undeclared() {
            trace.undeclared = drop_undeclared(&world.snapshot, ask);
        }
        if purpose == Purpose::Decide {
            trace.began = Some(self.recorder.lap("accept", now));
        }
        let who = tracing::debug_span!(target: TRACE, "authenticate").in_scope(|| {
            self.authenticate((ask, signature.take()), &world, its, caller, now, trace)
        })?;
        trace.principal = Some(Arc::clone(&who));
        Ok((world, who))
    }

    fn asked<'a>(ask: &'a AccessRequest, caller: &'a Caller, world: &World) -> Asked<'a> {
        Asked {
            question: &ask.question,
            entities: &ask.entities,
            context: &ask.context,
            caller: Some(caller.name()),
            peer: match caller.may(Right::Gateway, &world.bundle) {
                Ok(()) => ask.gateway.peer.as_deref(),
                Err(_) => None,
            },
        }
    }

    /// The bundle by its name, else by the gateway's word, else by the host asked about, else the
    /// caller's only or the default one.
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
            (None, None) => caller.only_bundle().or(self.default_bundle.as_ref()),
        };
        chosen.cloned().ok_or(Refusal::UnknownBundle)
    }

    fn authenticate(
        &self,
        (ask, signature): (&AccessRequest, Option<Signature>),
        world: &World,
        its: &PerBundle,
        caller: &Caller,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Result<Arc<Principal>, Refusal> {
        let scope = TokenScope {
            issuers: its.issuers.as_deref(),
            audiences: its.audiences.as_deref(),
        };
        match &ask.subject {
            Subject::Token(token) => {
                let signature = signature.unwrap_or_else(|| world.keys.signature(token, now));
                let identity = signature
                    .accept(&scope, now)
                    .map_err(Refusal::Unauthenticated)?;
                let claims = identity.claims();
                check_revoked(world, claims)?;
                let who = world.principals.of_claims(&world.snapshot, claims);
                trace.identity = Some(identity);
                who
            }
            Subject::Entity(facts) => {
                check_vouch(caller, &world.bundle, facts)?;
                Principal::vouched(world.known(), facts).map(Arc::new)
            }
            Subject::Anonymous => match &ask.gateway.claims {
                Some(members) if caller.may(Right::Gateway, &world.bundle).is_ok() => {
                    let claims = world
                        .keys
                        .vouched(members.clone(), &scope, now)
                        .map_err(Refusal::Unauthenticated)?;
                    check_revoked(world, &claims)?;
                    Principal::of_claims(world.known(), claims).map(Arc::new)
                }
                _ => Principal::anonymous(world.known()).map(Arc::new),
            },
        }
    }
}

/// Whether the token was revoked, by what the world knows: a token that was verified before is
/// looked up anew each time.
fn check_revoked(world: &World, claims: &Claims) -> Result<(), Refusal> {
    match world.stored.revocations().revoke(claims) {
        false => Ok(()),
        true => Err(Refusal::Unauthenticated(Rejection::new(
            RejectionCode::TokenRevoked,
            "the token, its session or its subject was revoked",
        ))),
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

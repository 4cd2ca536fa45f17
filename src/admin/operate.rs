//! Who may operate what: the right of the caller, and the bundle `doorward-admin`.

use std::{collections::HashMap, path::Path, sync::Arc};

use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::visit::Visit;
use crate::{
    audit::Recorder,
    bundle::{BundleFiles, BundleLimits, CompileOptions, LiveBundles, Snapshot},
    config::IssuerConfig,
    ledger::NotAppended,
    metrics::Metrics,
    model::{
        BundleName, CallerCredential, CallerName, Decision, DecisionId, EntityFacts, EntityRef,
        Members, NamedQuestion, Outcome, Question, RecordOutcome, Refusal, Right, Timestamp, Value,
    },
    pdp::{Pdp, Refused, decide},
    pep::{
        grpc::credential,
        status::{DOMAIN, to_status},
    },
    pip::{Asked, Principal},
    store::Store,
};

const FILES: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        include_str!("rules/schema.cedarschema"),
    ),
    ("admin.cedar", include_str!("rules/admin.cedar")),
    ("bundle.toml", include_str!("rules/bundle.toml")),
];

/// The bundle that decides who may operate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the admin bundle is not valid: {0}; `doorward validate` tells more")]
pub struct RulesFault(String);

/// The rules by which operators may operate: those of a directory, or our own.
///
/// # Errors
/// [`RulesFault`].
pub fn rules(dir: Option<&Path>) -> Result<Arc<Snapshot>, RulesFault> {
    let files = match dir {
        Some(dir) => BundleFiles::read(dir, BundleLimits::default()),
        None => Ok(BundleFiles::new(FILES.iter().copied())),
    };
    let compiled = files.and_then(|files| Snapshot::compile(&files, &CompileOptions::default()));
    let compiled = compiled.map_err(|faults| {
        let first = faults.first().map(ToString::to_string);
        RulesFault(first.unwrap_or_default())
    })?;
    Ok(Arc::new(compiled))
}

/// What every service for operators stands on.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The decision point, which knows the callers.
    pub pdp: Arc<Pdp>,
    /// What is stored.
    pub store: Arc<Store>,
    /// The bundles whose directories are kept.
    pub bundles: LiveBundles,
    /// The bundle of requests that name none.
    pub default_bundle: Option<BundleName>,
    /// Whose tokens are revoked.
    pub issuers: Arc<[IssuerConfig]>,
    /// Who may do what.
    pub rules: Arc<Snapshot>,
    /// Takes records of what operators do.
    pub recorder: Recorder,
    /// Where refusals are counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: fn() -> Timestamp,
}

/// An operator who may do what was asked.
pub(super) struct Operator {
    pub(super) name: CallerName,
    pub(super) bundle: BundleName,
    pub(super) now: Timestamp,
    visit: Visit,
}

impl Desk {
    /// Finds out who makes a call, and whether they may do `action` to the bundle that they name,
    /// or to the default one; what came of it is recorded, and what changes something waits for
    /// that.
    pub(super) async fn admit<T: Sync>(
        &self,
        request: &Request<T>,
        action: &'static str,
        right: Right,
        bundle: &str,
    ) -> Result<Operator, Status> {
        let now = (self.clock)();
        let id = DecisionId::new(now);
        let mut visit = Visit::new(action);
        let decided = match credential(request) {
            Ok(credential) => {
                let decided = self.operator(&credential, right, bundle, now, &mut visit);
                decided.await
            }
            Err(refusal) => Err(refusal),
        };
        let outcome = match &decided {
            Ok((_, decision)) => RecordOutcome::Decision(Arc::new(decision.clone())),
            Err(refusal) => RecordOutcome::of_refusal(refusal),
        };
        let record = visit.into_record(id, now, &self.rules, outcome);
        match action {
            // Read it can be though nothing can be recorded.
            "read" | "audit" => self.recorder.record(record),
            _ => {
                let recorded = self.recorder.submit(record).durable().await;
                recorded.map_err(|refusal| self.told(id, refusal))?;
            }
        }
        let admitted = decided.and_then(|decided| admitted(decided, right));
        admitted.map_err(|refusal| self.told(id, refusal))
    }

    /// Whether whoever opened a stream may still do `action` to `bundle`.
    pub(super) async fn still(
        &self,
        credential: &CallerCredential,
        action: &'static str,
        right: Right,
        bundle: &BundleName,
    ) -> Result<(), Status> {
        let (now, mut visit) = ((self.clock)(), Visit::new(action));
        let decided = self.operator(credential, right, bundle.as_str(), now, &mut visit);
        let admitted = decided.await.and_then(|decided| admitted(decided, right));
        admitted.map(drop).map_err(|refusal| {
            let outcome = RecordOutcome::of_refusal(&refusal);
            self.told(self.record(visit, now, outcome), refusal)
        })
    }

    /// Who asks, and what the admin bundle decides of it.
    async fn operator(
        &self,
        credential: &CallerCredential,
        right: Right,
        bundle: &str,
        now: Timestamp,
        visit: &mut Visit,
    ) -> Result<(Operator, Decision), Refusal> {
        visit.peer = credential.peer.map(|peer| peer.ip());
        let caller = self.pdp.caller(credential, now).await?;
        let name = caller.name().clone();
        visit.caller = Some(name.clone());
        // Which bundles there are is not for strangers to find out.
        let bundle = self.bundle(bundle)?;
        visit.bundle = Some(bundle.clone());
        caller.may(right, &bundle)?;
        let rights = Right::ALL
            .into_iter()
            .filter(|it| caller.may(*it, &bundle).is_ok());
        let rights = rights.map(|it| Value::String(it.to_string())).collect();
        let facts = EntityFacts {
            uid: EntityRef::new("Operator", name.as_str()),
            attributes: Members::from([("rights".to_owned(), Value::Set(rights))]),
            parents: Vec::new(),
        };
        let who = Principal::vouched(&self.rules, &facts)?;
        visit.operator = Some(facts);
        let question = Question::Named(NamedQuestion {
            action: visit.action.to_owned(),
            properties: Members::new(),
            resource: EntityFacts::bare(EntityRef::new("Bundle", bundle.as_str())),
        });
        let asked = Asked {
            question: &question,
            entities: &[],
            context: &Members::new(),
            caller: Some(&name),
            peer: None,
        };
        let decision = decide(&self.rules, &who, asked, now)?.decision;
        let operator = Operator {
            name,
            bundle,
            now,
            visit: visit.clone(),
        };
        Ok((operator, decision))
    }

    /// The bundle of this name, or the default one.
    fn bundle(&self, name: &str) -> Result<BundleName, Refusal> {
        let found = match name {
            "" => self.default_bundle.clone(),
            name => self.bundles.get(name).map(|(name, _)| name.clone()),
        };
        found.ok_or(Refusal::UnknownBundle)
    }

    /// The rules that a bundle has now.
    pub(super) fn snapshot(&self, by: &Operator) -> Result<Arc<Snapshot>, Status> {
        let bundle = &by.bundle;
        let live = self.bundles.get(bundle.as_str());
        let pinned = live.and_then(|(_, live)| live.pin());
        pinned.ok_or_else(|| {
            let detail = format!("bundle `{bundle}` was never published");
            self.refuse(by, Refusal::Unavailable { detail })
        })
    }

    /// Refuses what an operator asks who may ask it, and records that: their admission alone would
    /// say that it was done.
    pub(super) fn refuse(&self, by: &Operator, refusal: Refusal) -> Status {
        let outcome = RecordOutcome::of_refusal(&refusal);
        self.told(self.record(by.visit.clone(), by.now, outcome), refusal)
    }

    /// A refusal of nobody in particular.
    pub(super) fn refuse_anyone(&self, refusal: Refusal) -> Status {
        self.told(DecisionId::new((self.clock)()), refusal)
    }

    /// Why a change was not made, as a record and as a status with a reason for programs.
    pub(super) fn not_made(
        &self,
        by: &Operator,
        (code, refusal, reason): (Code, &'static str, &'static str),
        message: &str,
    ) -> Status {
        let outcome = RecordOutcome::Refusal {
            refusal,
            reason,
            detail: message.to_owned(),
        };
        let id = self.record(by.visit.clone(), by.now, outcome);
        self.metrics.operator_refusal(reason);
        tracing::info!(decision_id = %id, message, "not changed");
        let about = HashMap::from([("decision_id".to_owned(), id.to_string())]);
        let details = ErrorDetails::with_error_info(reason, DOMAIN, about);
        Status::with_error_details(code, message, details)
    }

    /// Why nothing was written, likewise.
    pub(super) fn not_written(&self, by: &Operator, why: &NotAppended) -> Status {
        let class = match why {
            NotAppended::TooLarge(_) => (Code::ResourceExhausted, "too_large", "too_large"),
            NotAppended::Busy => (Code::ResourceExhausted, "overloaded", "overloaded"),
            NotAppended::Disk(_) | NotAppended::Stopped(_) | NotAppended::Ended => {
                (Code::Unavailable, "unavailable", "not_written")
            }
        };
        self.not_made(by, class, &why.to_string())
    }

    /// A status with a reason for programs, counted.
    pub(super) fn fail(&self, code: Code, reason: &'static str, message: &str) -> Status {
        self.metrics.operator_refusal(reason);
        status(code, reason, message)
    }

    fn record(&self, visit: Visit, now: Timestamp, outcome: RecordOutcome) -> DecisionId {
        let id = DecisionId::new(now);
        let record = visit.into_record(id, now, &self.rules, outcome);
        self.recorder.record(record);
        id
    }

    fn told(&self, decision_id: DecisionId, refusal: Refusal) -> Status {
        self.metrics.operator_refusal(refusal.code());
        tracing::info!(%decision_id, %refusal, "operator refused");
        to_status(&Refused::new(decision_id, refusal))
    }
}

/// Whether the admin bundle lets an operator do what they have the right to.
fn admitted((by, decision): (Operator, Decision), right: Right) -> Result<Operator, Refusal> {
    match decision.outcome {
        Outcome::Allow => Ok(by),
        Outcome::Deny => {
            let (caller, bundle) = (&by.name, by.bundle);
            tracing::warn!(%caller, action = by.visit.action, %bundle, "the admin bundle denies");
            Err(Refusal::CallerLacksRight { right, bundle })
        }
    }
}

/// A status with a reason for programs.
pub(super) fn status(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

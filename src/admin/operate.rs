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
        BundleName, CallerCredential, CallerName, DecisionId, EntityFacts, EntityRef, Members,
        NamedQuestion, Outcome, Question, Refusal, Right, Timestamp, Value,
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
    pub(super) now: Timestamp,
}

impl Desk {
    /// Finds out who makes a call, and whether they may do `action` to `bundle`; what came of it is
    /// recorded, and what changes something waits for that.
    pub(super) async fn admit<T: Sync>(
        &self,
        request: &Request<T>,
        action: &str,
        right: Right,
        bundle: &BundleName,
    ) -> Result<Operator, Status> {
        let now = (self.clock)();
        let id = DecisionId::new(now);
        let mut visit = Visit::default();
        let decided = match credential(request) {
            Ok(credential) => {
                self.operator(&credential, action, right, bundle, now, &mut visit)
                    .await
            }
            Err(refusal) => Err(refusal),
        };
        let refusal = decided.as_ref().err();
        let record = visit.into_record(id, now, &self.rules, (action, bundle), refusal);
        match action {
            // Read it can be though nothing can be recorded.
            "read" | "audit" => self.recorder.record(record),
            _ => {
                let recorded = self.recorder.submit(record).durable().await;
                recorded.map_err(|refusal| self.refuse(refusal))?;
            }
        }
        decided.map_err(|refusal| self.told(id, refusal))
    }

    /// Whether whoever opened a stream may still do `action` to `bundle`.
    pub(super) async fn still(
        &self,
        credential: &CallerCredential,
        action: &str,
        right: Right,
        bundle: &BundleName,
    ) -> Result<(), Status> {
        let (now, mut visit) = ((self.clock)(), Visit::default());
        let decided = self.operator(credential, action, right, bundle, now, &mut visit);
        decided
            .await
            .map(drop)
            .map_err(|refusal| self.refuse(refusal))
    }

    async fn operator(
        &self,
        credential: &CallerCredential,
        action: &str,
        right: Right,
        bundle: &BundleName,
        now: Timestamp,
        visit: &mut Visit,
    ) -> Result<Operator, Refusal> {
        visit.peer = credential.peer.map(|peer| peer.ip());
        let caller = self.pdp.caller(credential, now).await?;
        let name = caller.name().clone();
        visit.caller = Some(name.clone());
        caller.may(right, bundle)?;
        let rights = Right::ALL
            .into_iter()
            .filter(|it| caller.may(*it, bundle).is_ok());
        let rights = rights.map(|it| Value::String(it.to_string())).collect();
        let facts = EntityFacts {
            uid: EntityRef::new("Operator", name.as_str()),
            attributes: Members::from([("rights".to_owned(), Value::Set(rights))]),
            parents: Vec::new(),
        };
        let who = Principal::vouched(&self.rules, &facts)?;
        visit.operator = Some(facts);
        let question = Question::Named(NamedQuestion {
            action: action.to_owned(),
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
        let outcome = decision.outcome;
        visit.decision = Some(decision);
        if outcome == Outcome::Allow {
            return Ok(Operator { name, now });
        }
        tracing::warn!(caller = %name, action, %bundle, "the admin bundle denies");
        let bundle = bundle.clone();
        Err(Refusal::CallerLacksRight { right, bundle })
    }

    /// The bundle of this name, or the default one.
    pub(super) fn bundle(&self, name: &str) -> Result<BundleName, Status> {
        let found = match name {
            "" => self.default_bundle.clone(),
            name => self.bundles.get(name).map(|(name, _)| name.clone()),
        };
        found.ok_or_else(|| self.refuse(Refusal::UnknownBundle))
    }

    /// The rules that a bundle has now.
    pub(super) fn snapshot(&self, bundle: &BundleName) -> Result<Arc<Snapshot>, Status> {
        let live = self.bundles.get(bundle.as_str());
        let pinned = live.and_then(|(_, live)| live.pin());
        pinned.ok_or_else(|| {
            self.refuse(Refusal::Unavailable {
                detail: format!("bundle `{bundle}` was never published"),
            })
        })
    }

    /// A refusal as a status, with an id by which the log knows it.
    pub(super) fn refuse(&self, refusal: Refusal) -> Status {
        self.told(DecisionId::new((self.clock)()), refusal)
    }

    fn told(&self, decision_id: DecisionId, refusal: Refusal) -> Status {
        self.metrics.operator_refusal(refusal.code());
        tracing::info!(%decision_id, %refusal, "operator refused");
        to_status(&Refused::new(decision_id, refusal))
    }

    /// Why nothing was written, as a status.
    pub(super) fn not_written(&self, why: &NotAppended) -> Status {
        let (code, reason) = match why {
            NotAppended::TooLarge(_) => (Code::ResourceExhausted, "too_large"),
            NotAppended::Busy => (Code::ResourceExhausted, "overloaded"),
            NotAppended::Disk(_) | NotAppended::Stopped(_) | NotAppended::Ended => {
                (Code::Unavailable, "not_written")
            }
        };
        self.fail(code, reason, &why.to_string())
    }

    /// A status with a reason for programs, counted.
    pub(super) fn fail(&self, code: Code, reason: &'static str, message: &str) -> Status {
        self.metrics.operator_refusal(reason);
        status(code, reason, message)
    }
}

/// A status with a reason for programs.
pub(super) fn status(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

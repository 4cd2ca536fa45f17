//! The decision log on real and failing disks.

mod changed;
mod faults;
mod found;
mod held;
mod kept;
mod looked;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value as Json;

use super::*;
use crate::{
    config::Redact,
    ledger::{
        RealDisk,
        testing::{Dice, FakeDisk, Fault},
    },
    model::{
        AskedFacts, AskedQuestion, BundleName, CallerName, Cause, DecisionId, Digest, EntityFacts,
        EntityRef, Evidence, Face, Facts, Members, Outcome, Reason, Revision, SignedDuration,
        SubjectFacts, Value,
    },
};

fn start() -> Timestamp {
    "2030-01-01T09:00:00Z".parse().unwrap()
}

/// A clock that stands 1.5 ms after the requests of these tests.
fn clock() -> Timestamp {
    "2030-01-01T09:00:00.0015Z".parse().unwrap()
}

fn asked(resource: &str) -> AskedFacts {
    let uid = EntityRef::new("Order", resource);
    AskedFacts {
        action: "Action::\"ReadOrder\"".into(),
        resource: Some(uid.clone()),
        question: AskedQuestion::Named {
            action: "ReadOrder".into(),
            properties: Members::new(),
            resource: EntityFacts::bare(uid),
        },
        entities: Vec::new(),
        context: [("ip".to_owned(), Value::Ip("10.1.2.3".into()))].into(),
        peer: None,
    }
}

fn subject(name: &str) -> SubjectFacts {
    SubjectFacts {
        entity: EntityFacts {
            uid: EntityRef::new("User", name),
            attributes: [("email".to_owned(), Value::from("mail-of-a-person"))].into(),
            parents: Vec::new(),
        },
        anonymous: false,
        token: None,
        fingerprint: Some("0123456789abcdef".into()),
        token_id: None,
    }
}

fn record(resource: &str) -> Record {
    record_of("alice", resource)
}

fn record_of(name: &str, resource: &str) -> Record {
    let facts = Facts {
        subject: Some(Arc::new(subject(name))),
        asked: Some(asked(resource)),
    };
    Record {
        time: start(),
        decision_id: DecisionId::new(start()),
        face: Face::Grpc,
        caller: Some(CallerName::new("orders-api")),
        peer: None,
        request_id: None,
        bundle: Some(BundleName::new("orders")),
        bundle_digest: Some(Digest::new([7; 32])),
        strict_errors: true,
        revision: Revision::default(),
        undeclared: 0,
        known: true,
        outcome: decided(Outcome::Allow, Cause::Permitted, Vec::new()),
        explained: false,
        latency_us: 0,
        weight: 500,
        evidence: Evidence::Known(Box::new(facts)),
    }
}

/// Puts away what ended, and removes what may go.
async fn put_away(log: DecisionLog) {
    let (end, ended) = oneshot::channel::<()>();
    let writing = log.writer.run(async { ended.await.unwrap() });
    let sealing = async {
        log.sealer.run(async {}).await;
        end.send(()).unwrap();
    };
    let (ran, ()) = tokio::join!(writing, sealing);
    ran.unwrap();
}

fn decided(outcome: Outcome, cause: Cause, reasons: Vec<Reason>) -> RecordOutcome {
    RecordOutcome::Decision(Arc::new(Decision {
        outcome,
        cause,
        reasons: reasons.into_iter().map(Arc::new).collect(),
        errors: Vec::new(),
        obligations: Vec::new(),
        challenge: None,
        cacheable_for: SignedDuration::ZERO,
    }))
}

fn denied() -> Record {
    Record {
        outcome: decided(Outcome::Deny, Cause::NothingPermits, Vec::new()),
        ..record("o-1")
    }
}

fn stranger() -> Record {
    let outcome = RecordOutcome::Refusal {
        refusal: "unauthenticated",
        reason: "signature_invalid",
        detail: "the signature is wrong".into(),
    };
    Record {
        known: false,
        outcome,
        evidence: Evidence::None,
        ..record("o-1")
    }
}

fn mode(mode: AuditMode) -> AuditConfig {
    AuditConfig {
        mode,
        ..AuditConfig::default()
    }
}

struct Kept {
    data: tempfile::TempDir,
    metrics: Arc<Metrics>,
}

impl Kept {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("audit")).unwrap();
        Self {
            data,
            metrics: Arc::new(Metrics::new()),
        }
    }

    fn open_at(&self, config: &AuditConfig, clock: fn() -> Timestamp) -> DecisionLog {
        let (disk, metrics) = (Arc::new(RealDisk), Arc::clone(&self.metrics));
        open(
            disk,
            config,
            self.data.path(),
            String::new(),
            metrics,
            clock,
        )
        .unwrap()
    }

    fn open(&self, config: &AuditConfig, disk: impl Disk) -> DecisionLog {
        let metrics = Arc::clone(&self.metrics);
        let config_name = "cafe".to_owned();
        open(
            Arc::new(disk),
            config,
            self.data.path(),
            config_name,
            metrics,
            clock,
        )
        .unwrap()
    }

    fn dir(&self) -> PathBuf {
        self.data.path().join("audit")
    }

    fn files(&self) -> AuditFiles {
        AuditFiles::new(&self.dir())
    }

    fn lines(&self) -> Vec<Json> {
        let text = lines(&self.dir()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    fn of_kind(&self, kind: &str) -> Vec<Json> {
        let mut lines = self.lines();
        lines.retain(|line| line["kind"] == kind);
        lines
    }

    /// Writes `count` decisions into segments of so many, signed every third record.
    async fn write(&self, count: usize, each: usize) {
        for n in 0..count.div_ceil(each) {
            let config = AuditConfig {
                checkpoint_records: 3,
                ..mode(AuditMode::Required)
            };
            let mut log = self.open(&config, RealDisk);
            if n > 0 {
                log.writer.rotate_for_test();
            }
            for m in 0..each.min(count - n * each) {
                log.recorder.record(record(&format!("o-{}", n * each + m)));
            }
            log.writer.run(async {}).await.unwrap();
        }
    }

    /// Copies what a faulty disk holds to where it can be read.
    fn take(&self, disk: &FakeDisk) {
        for path in disk.files() {
            fs::write(&path, disk.bytes(&path)).unwrap();
        }
    }

    #[track_caller]
    fn broken(&self, record: u64, file: &Path, says: &str) {
        let found = verify(&self.files(), None, None).unwrap_err();
        assert_eq!((found.record, &*found.path), (record, file), "{found}");
        assert!(found.what.contains(says), "{found}");
    }
}

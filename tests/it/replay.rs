//! A recorded decision, decided again from its record and the bundle that was kept, is the same; and
//! one whose caller hangs up is recorded.

use std::{cell::Cell, path::Path, sync::Arc, time::Duration};

use doorward::{
    audit::{AuditFiles, Query, RecordedOutcome, Told, Writer, lines, open, select},
    authn::{Callers, TokenVerifier},
    bundle::{CompileOptions, LiveBundles, Snapshot},
    config::{AuditConfig, AuditMode, BundleConfig},
    ledger::RealDisk,
    metrics::Metrics,
    model::{
        AccessRequest, BundleName, CallerCredential, EntityFacts, EntityRef, Face, GatewayFacts,
        Members, NamedQuestion, Question, Subject, Timestamp, Value,
    },
    pdp::{Pdp, replay},
};
use proptest::{
    collection::vec,
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, TestRunner},
};

use crate::oracle::worlds::{Ask, Both, Owner, World, ask, world};

/// Questions of each random bundle.
const EACH: usize = 40;

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn request(entities: &[(Owner, Both)], ask: &Ask) -> AccessRequest {
    let uid = |kind: &str, n: u8, letter: &str| EntityRef::new(kind, format!("{letter}{n}"));
    let mut context: Members = [("level".to_owned(), Value::Long(ask.level))].into();
    if let Some(delegate) = ask.delegate {
        context.insert("delegate".into(), Value::String(format!("u{delegate}")));
    }
    if let Some(peers) = &ask.peers {
        let peers = peers.iter().map(|u| Value::Entity(uid("User", *u, "u")));
        context.insert("peers".into(), Value::Set(peers.collect()));
    }
    let stated = entities
        .iter()
        .filter(|(owner, _)| *owner == Owner::Request);
    AccessRequest {
        face: Face::Grpc,
        credential: CallerCredential {
            peer: Some("127.0.0.1:1".parse().unwrap()),
            ..CallerCredential::default()
        },
        bundle: None,
        subject: Subject::Entity(EntityFacts::bare(uid("User", ask.principal, "u"))),
        question: Question::Named(NamedQuestion {
            action: if ask.edit { "edit" } else { "view" }.to_owned(),
            properties: Members::new(),
            resource: EntityFacts::bare(uid("Doc", ask.resource, "d")),
        }),
        entities: stated.map(|(_, both)| both.facts.clone()).collect(),
        context,
        at_least_revision: None,
        request_id: None,
        gateway: GatewayFacts::default(),
    }
}

/// A decision point over `live` whose records are required, and the rest of its log.
fn recording(live: LiveBundles, data: &Path) -> (Pdp, Writer) {
    let name = BundleName::new("random");
    let bundle = BundleConfig {
        name: name.clone(),
        path: data.to_owned(),
        hosts: Vec::new(),
        issuers: None,
        audiences: None,
        callers: None,
    };
    let config = AuditConfig {
        mode: AuditMode::Required,
        denies_per_second: 0,
        ..AuditConfig::default()
    };
    let metrics = Arc::new(Metrics::new());
    let log = open(
        Arc::new(RealDisk),
        &config,
        data,
        String::new(),
        metrics,
        now,
    )
    .unwrap();
    let tokens = Arc::new(TokenVerifier::new(&[]).unwrap());
    let callers = Callers::new(&[], true);
    let pdp = Pdp::new(&[bundle], Some(name), live, callers, tokens, log.recorder);
    (pdp, log.writer)
}

/// A random bundle, its entities, and questions about it.
fn random(runner: &mut TestRunner) -> (World, Vec<Ask>) {
    let strategy = (world(), vec(ask(), EACH));
    strategy.new_tree(runner).unwrap().current()
}

fn compile(world: &World, entities: &[(Owner, Both)]) -> Arc<Snapshot> {
    let options = CompileOptions {
        max_level: 4,
        ..CompileOptions::default()
    };
    Arc::new(Snapshot::compile(&world.files(entities), &options).unwrap())
}

/// F08
#[tokio::test]
async fn a_decision_whose_caller_hangs_up_is_recorded() {
    let (world, asks) = random(&mut TestRunner::new(Config::default()));
    let entities = world.entities();
    let live = LiveBundles::new([BundleName::new("random")]);
    live.get("random")
        .unwrap()
        .1
        .publish(compile(&world, &entities));
    let data = tempfile::tempdir().unwrap();
    let (pdp, writer) = recording(live, data.path());
    {
        let answer = pdp.answer(request(&entities, &asks[0]), now());
        // It waits for its record, which nobody writes yet, and is dropped.
        let waited = tokio::time::timeout(Duration::from_millis(1), answer).await;
        assert!(waited.is_err());
    }
    writer.run(async {}).await.unwrap();
    let log = lines(&data.path().join("audit")).unwrap();
    assert_eq!(log.matches("\"kind\":\"decision\"").count(), 1, "{log}");
}

/// So many as `DOORWARD_REPLAYS` says.
#[tokio::test]
async fn a_recorded_decision_decided_again_is_the_same() {
    let wanted = std::env::var("DOORWARD_REPLAYS").map_or(2_000, |it| it.parse().unwrap());
    let mut runner = TestRunner::new(Config::default());
    let (replayed, allows) = (Cell::new(0_usize), Cell::new(0_usize));
    while replayed.get() < wanted {
        let (world, asks) = random(&mut runner);
        let entities = world.entities();
        let live = LiveBundles::new([BundleName::new("random")]);
        live.get("random")
            .unwrap()
            .1
            .publish(compile(&world, &entities));
        let data = tempfile::tempdir().unwrap();
        let (pdp, writer) = recording(live, data.path());
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let asking = async {
            let mut answers = Vec::new();
            for ask in &asks {
                let answer = pdp.answer(request(&entities, ask), now()).await.unwrap();
                answers.push((answer.decision_id(), answer.decision().clone()));
            }
            end.send(()).unwrap();
            answers
        };
        let writing = writer.run(async { ended.await.unwrap() });
        let (answers, written) = tokio::join!(asking, writing);
        written.unwrap();

        // What was kept is compiled anew, as from the archive.
        let kept = compile(&world, &entities);
        let mut answers = answers.into_iter();
        let files = AuditFiles::new(&data.path().join("audit"));
        select(&files, &Query::default(), &mut |entry| {
            let Told::Record(record) = entry else {
                return true;
            };
            let (id, answered) = answers.next().unwrap();
            assert_eq!(record.decision_id, id);
            let again = replay((&kept).into(), &record).unwrap().decision;
            let reasons = |it: &doorward::model::Decision| {
                let ids = it.reasons.iter().map(|it| it.policy_id.to_string());
                ids.collect::<Vec<_>>()
            };
            assert_eq!(
                (again.outcome, again.cause, reasons(&again), &again.errors),
                (
                    answered.outcome,
                    answered.cause,
                    reasons(&answered),
                    &answered.errors
                )
            );
            let RecordedOutcome::Decision { outcome, cause, .. } = record.outcome else {
                panic!("a decision was recorded as a refusal");
            };
            assert_eq!((outcome, cause), (again.outcome, again.cause));
            replayed.set(replayed.get() + 1);
            allows.set(allows.get() + usize::from(outcome == doorward::model::Outcome::Allow));
            true
        })
        .unwrap();
        assert!(answers.next().is_none(), "answers without a record");
    }
    let (all, allows) = (replayed.get(), allows.get());
    assert!(
        allows > all / 10 && allows < all * 9 / 10,
        "{allows} of {all} allow"
    );
}

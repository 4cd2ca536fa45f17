//! A recorded decision, decided again from its record, the bundle that was kept and the directory as it
//! was, is the same; and one whose caller hangs up is recorded.

use std::{collections::BTreeSet, fmt::Debug, path::Path, sync::Arc, time::Duration};

use doorward::{
    audit::{
        AuditFiles, Query, Recorded, RecordedOutcome, Told, Writer, find, lines, open, select,
    },
    authn::{Callers, TokenVerifier},
    bundle::{CompileOptions, LiveBundles, Snapshot},
    config::{AuditConfig, AuditMode, BundleConfig},
    ledger::{
        RealDisk,
        record::{Change, EntityChanges, Expect, LedgerRecord, Put},
    },
    metrics::Metrics,
    model::{
        AccessRequest, BundleName, CallerCredential, Decision, Digest, EntityFacts, EntityRef,
        Face, Facts, GatewayFacts, Members, NamedQuestion, Outcome, Question, Subject, Timestamp,
        Value,
    },
    pap::{self, PastWorlds},
    pdp::{Pdp, replay},
    pip::{stamp, storable},
    store::{Store, StoreOptions},
};
use proptest::{
    collection::vec,
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, TestRunner},
};
use serde_json::{json, value::RawValue};

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

fn options() -> CompileOptions {
    CompileOptions {
        max_level: 4,
        ..CompileOptions::default()
    }
}

/// F08
#[tokio::test]
async fn a_decision_whose_caller_hangs_up_is_recorded() {
    let (world, asks) = random(&mut TestRunner::new(Config::default()));
    let entities = world.entities();
    let live = LiveBundles::new([BundleName::new("random")]);
    let data = tempfile::tempdir().unwrap();
    publish(&world, &entities, &live, data.path());
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

/// Publishes it, and keeps what was published, as a server does.
fn publish(world: &World, entities: &[(Owner, Both)], live: &LiveBundles, data: &Path) -> Stamps {
    let name = BundleName::new("random");
    let files = world.files(entities);
    let (_, place) = live.get(name.as_str()).unwrap();
    let published = pap::publish(place, &files, &options()).unwrap();
    let archive = pap::Archive::new(data, &name);
    archive.keep(&files, &published, now()).unwrap();
    Stamps(place.pin().unwrap())
}

/// Writes facts as the directory's.
struct Stamps(Arc<Snapshot>);

impl Stamps {
    fn put(&self, facts: &EntityFacts) -> Change {
        let it = storable(&self.0, facts.clone(), "entity").unwrap();
        let parents = it
            .parents
            .iter()
            .map(|parent| json!({ "type": parent.type_name.as_str(), "id": parent.id.as_str() }));
        let facts = json!({ "attrs": it.json(), "parents": parents.collect::<Vec<_>>() });
        let put = Put {
            stamp: stamp(&self.0, &it.key.type_name),
            facts: RawValue::from_string(facts.to_string()).unwrap(),
        };
        change(&it.key.entity(), Some(put))
    }
}

fn change(uid: &EntityRef, put: Option<Put>) -> Change {
    Change {
        type_name: uid.type_name.clone(),
        id: uid.id.clone(),
        expect: Expect::Anything,
        put,
    }
}

fn written(changes: Vec<Change>) -> LedgerRecord {
    LedgerRecord::Entities(EntityChanges {
        bundle: "random".to_owned(),
        time: now(),
        by: "test".to_owned(),
        changes,
    })
}

/// What a decision comes down to.
fn said(decision: &Decision) -> impl PartialEq + Debug + use<> {
    let reasons = decision.reasons.iter().map(|it| it.policy_id.to_string());
    let reasons: Vec<_> = reasons.collect();
    (
        decision.outcome,
        decision.cause,
        reasons,
        decision.errors.clone(),
    )
}

fn again(worlds: &mut PastWorlds, record: &Recorded) -> Decision {
    let world = worlds.of(record).unwrap();
    replay(world.known(), record).unwrap().decision
}

/// What came of all the decisions that were decided again.
#[derive(Debug, Default)]
struct Seen {
    replayed: usize,
    allows: usize,
    over_the_directory: usize,
    /// Those that come out otherwise by what was stored in the end.
    otherwise_in_the_end: usize,
}

/// So many as `REPLAYS` says, half of them over facts that are stored and change all the while.
#[tokio::test]
async fn a_recorded_decision_decided_again_is_the_same() {
    let wanted = std::env::var("REPLAYS").map_or(2_000, |it| it.parse().unwrap());
    let mut runner = TestRunner::new(Config::default());
    let mut seen = Seen::default();
    for n in 0.. {
        if seen.replayed >= wanted {
            break;
        }
        decide_and_replay(&mut runner, n % 2 == 0, &mut seen).await;
    }
    let Seen {
        replayed,
        allows,
        over_the_directory,
        otherwise_in_the_end,
    } = seen;
    assert!(
        allows > replayed / 10 && allows < replayed * 9 / 10,
        "{seen:?}"
    );
    assert!(over_the_directory > replayed / 4, "{seen:?}");
    // So it does matter as of when they are decided again.
    assert!(otherwise_in_the_end > over_the_directory / 50, "{seen:?}");
}

async fn decide_and_replay(runner: &mut TestRunner, stores: bool, seen: &mut Seen) {
    let (mut world, asks) = random(runner);
    if stores {
        world = world.in_directory();
    }
    let entities = world.entities();
    let data = tempfile::tempdir().unwrap();
    let live = LiveBundles::new([BundleName::new("random")]);
    let stamps = publish(&world, &entities, &live, data.path());
    let stored = |entities: &[(Owner, Both)]| -> Vec<EntityFacts> {
        let stored = entities
            .iter()
            .filter(|(owner, _)| *owner == Owner::Directory);
        stored.map(|(_, both)| both.facts.clone()).collect()
    };
    let first = stored(&entities);
    let stores = !first.is_empty();
    // The same entities with other facts.
    let kinds: BTreeSet<&str> = first.iter().map(|it| it.uid.type_name.as_str()).collect();
    let (other, _) = random(runner);
    let mut others: Vec<EntityFacts> = other
        .entities()
        .into_iter()
        .map(|(_, both)| both.facts)
        .collect();
    others.retain(|it| kinds.contains(it.uid.type_name.as_str()));

    let (pdp, writer) = recording(live, data.path());
    let options = StoreOptions {
        checkpoint: false,
        ..StoreOptions::new(data.path())
    };
    let (store, tasks) = Store::open(options, |_| ()).unwrap();
    let store = Arc::new(store);
    let pdp = pdp.with_store(Arc::clone(&store));
    let ledger = tokio::task::spawn_blocking(move || tasks.writer.run());

    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let asking = async {
        let puts = first.iter().map(|facts| stamps.put(facts)).collect();
        store.write(&written(puts)).await.unwrap();
        let mut answers = Vec::new();
        for (n, ask) in asks.iter().enumerate() {
            if let Some(facts) = others.get(n / 2).filter(|_| n % 2 == 0) {
                let removed = n % 8 == 0;
                let change = match removed {
                    true => change(&facts.uid, None),
                    false => stamps.put(facts),
                };
                store.write(&written(vec![change])).await.unwrap();
            }
            let answer = pdp.answer(request(&entities, ask), now()).await.unwrap();
            answers.push((answer.decision_id(), answer.decision().clone()));
        }
        end.send(()).unwrap();
        store.end().await;
        answers
    };
    let writing = writer.run(async { ended.await.unwrap() });
    let (answers, written) = tokio::join!(asking, writing);
    written.unwrap();
    ledger.await.unwrap().unwrap();

    let mut records: Vec<Recorded> = Vec::new();
    let files = AuditFiles::new(&data.path().join("audit"));
    select(&files, &Query::default(), &mut |entry| {
        if let Told::Record(record) = entry {
            records.push(*record);
        }
        true
    })
    .unwrap();
    assert_eq!(records.len(), answers.len());
    let mut then = PastWorlds::new(data.path());
    for (record, (id, answered)) in records.iter().zip(&answers) {
        assert_eq!(record.decision_id, *id);
        let found = again(&mut then, record);
        assert_eq!(said(&found), said(answered));
        let RecordedOutcome::Decision { outcome, cause, .. } = &record.outcome else {
            panic!("a decision was recorded as a refusal");
        };
        assert_eq!((*outcome, *cause), (found.outcome, found.cause));
        seen.replayed += 1;
        seen.allows += usize::from(*outcome == Outcome::Allow);
    }
    if stores {
        let mut in_the_end = PastWorlds::new(data.path());
        let last = records.last().unwrap().revision.clone();
        for (record, (_, answered)) in records.iter().zip(&answers) {
            let late = Recorded {
                revision: last.clone(),
                ..record.clone()
            };
            let found = again(&mut in_the_end, &late);
            seen.otherwise_in_the_end += usize::from(said(&found) != said(answered));
        }
        seen.over_the_directory += records.len();
    }
}

#[tokio::test]
async fn what_a_record_lacks_is_named() {
    let (world, asks) = random(&mut TestRunner::new(Config::default()));
    let entities = world.entities();
    let data = tempfile::tempdir().unwrap();
    let live = LiveBundles::new([BundleName::new("random")]);
    publish(&world, &entities, &live, data.path());
    let (pdp, writer) = recording(live, data.path());
    let asking = async {
        let answer = pdp.answer(request(&entities, &asks[0]), now()).await;
        drop(pdp);
        answer.unwrap().decision_id()
    };
    let (id, written) = tokio::join!(asking, writer.run(std::future::pending()));
    written.unwrap();
    let found = find(&AuditFiles::new(&data.path().join("audit")), id).unwrap();
    let Some(Told::Record(record)) = found else {
        panic!("{found:?}")
    };
    let mut worlds = PastWorlds::new(data.path());
    let mut check = |change: &dyn Fn(&mut Recorded), says: &str| {
        let mut changed = Recorded::clone(&record);
        change(&mut changed);
        let told = match worlds.of(&changed) {
            Ok(world) => replay(world.known(), &changed).unwrap_err().to_string(),
            Err(why) => why.to_string(),
        };
        assert!(told.contains(says), "no `{says}` in {told}");
    };
    check(
        &|it| (it.facts.subject, it.erased) = (None, true),
        "the subject was erased",
    );
    check(
        &|it| (it.facts.asked, it.erased) = (None, true),
        "the question was erased",
    );
    check(
        &|it| (it.facts, it.erased) = (Facts::default(), true),
        "and the question were erased",
    );
    check(&|it| it.facts.subject = None, "they were not kept");
    check(
        &|it| it.digest = Some(Digest::new([7; 32])),
        "(070707070707) is not kept in",
    );
    check(&|it| it.bundle = None, "no bundle decided it");
    let other = |it: &mut Recorded| {
        let facts = it.facts.subject.as_mut().unwrap();
        Arc::make_mut(facts).entity.uid = EntityRef::new("Nothing", "u1");
    };
    check(&other, "the recorded question is refused");
    // A record of other rules is decided by no others.
    let (other, _) = random(&mut TestRunner::new(Config::default()));
    let other = Snapshot::compile(&other.files(&other.entities()), &options()).unwrap();
    let told = replay((&other).into(), &record).unwrap_err().to_string();
    assert!(told.contains("was decided by the bundle"), "{told}");
}

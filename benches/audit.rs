//! What the decision log costs: questions a second in each mode, at 100 callers in the process; one
//! decision found by its id among `RECORDS` (`DOORWARD_RECORDS`, default a million); verification.
//!
//! `cargo bench --bench audit`, alone on the machine. It ends with 1 when a figure is not reached:
//! `required` at least half of `off`, `best_effort` at least 0.8 of it, a million garbage tokens take
//! no more than a tenth from others, a query by id at most 50 ms, verification at least 200 MB/s.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a bench measures time, runs the tasks of a server, and has failed when it panics"
)]

mod common;

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use doorward::{
    audit::{AuditFiles, DecisionLog, Query, Recorder, Told, find, select, verify},
    authn::{Callers, TokenVerifier},
    bundle::LiveBundles,
    config::{AuditConfig, AuditMode, BundleConfig},
    ledger::RealDisk,
    metrics::Metrics,
    model::{
        AccessRequest, AccessToken, BundleName, CallerCredential, DecisionId, EntityFacts,
        EntityRef, Face, GatewayFacts, Members, NamedQuestion, Question, Subject, Timestamp, Value,
    },
    pdp::Pdp,
};

const CALLERS: usize = 100;
const LONG: Duration = Duration::from_secs(4);

fn request(n: u64) -> AccessRequest {
    let text = |text: &str| Value::String(text.to_owned());
    AccessRequest {
        face: Face::Grpc,
        credential: CallerCredential {
            peer: Some(([127, 0, 0, 1], 1).into()),
            ..CallerCredential::default()
        },
        bundle: None,
        subject: Subject::Entity(EntityFacts {
            uid: EntityRef::new("User", format!("u{}", n % 1000)),
            attributes: [
                ("tenant".to_owned(), text("acme")),
                ("level".to_owned(), Value::Long(5)),
                ("dept".to_owned(), text("sales")),
            ]
            .into(),
            parents: vec![EntityRef::new("Team", "t0")],
        }),
        question: Question::Named(NamedQuestion {
            action: "view".to_owned(),
            properties: Members::new(),
            resource: common::doc(&format!("d{}", n % 10_000), 0),
        }),
        entities: Vec::new(),
        context: [("risk".to_owned(), Value::Long(3))].into(),
        at_least_revision: None,
        request_id: None,
        gateway: GatewayFacts::default(),
    }
}

fn garbage() -> AccessRequest {
    AccessRequest {
        subject: Subject::Token(AccessToken::new("a.b.c")),
        ..request(0)
    }
}

fn pdp(recorder: Recorder) -> Pdp {
    let name = BundleName::new("bench");
    let live = LiveBundles::new([name.clone()]);
    let snapshot = Arc::new(
        common::Shape {
            policies: 1000,
            candidates: 50,
            comparisons: 2,
        }
        .snapshot(),
    );
    if let Some((_, place)) = live.get("bench") {
        place.publish(snapshot);
    }
    let bundle = BundleConfig {
        name: name.clone(),
        path: "".into(),
        hosts: Vec::new(),
        issuers: None,
        audiences: None,
        callers: None,
    };
    let tokens = Arc::new(TokenVerifier::new(&[]).unwrap());
    Pdp::new(
        &[bundle],
        Some(name),
        live,
        Callers::new(&[], true),
        tokens,
        recorder,
    )
}

/// Questions a second, by so many callers, while others send garbage or not.
async fn ask(pdp: &Arc<Pdp>, flood: bool) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for n in 0..CALLERS {
        let (pdp, stop, count) = (Arc::clone(pdp), Arc::clone(&stop), Arc::clone(&count));
        tasks.push(tokio::spawn(async move {
            let mut asked = u64::try_from(n).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let answer = pdp.answer(request(asked), Timestamp::now()).await;
                assert!(answer.is_ok(), "{answer:?}");
                count.fetch_add(1, Ordering::Relaxed);
                asked += 7;
                tokio::task::yield_now().await;
            }
        }));
    }
    if flood {
        let (pdp, stop) = (Arc::clone(pdp), Arc::clone(&stop));
        tasks.push(tokio::spawn(async move {
            // A million a minute.
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                for _ in 0..167 {
                    assert!(pdp.answer(garbage(), Timestamp::now()).await.is_err());
                }
            }
        }));
    }
    let began = Instant::now();
    tokio::time::sleep(LONG).await;
    let asked = count.load(Ordering::Relaxed);
    let taken = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    asked as f64 / taken.as_secs_f64()
}

fn open(data: &Path, mode: AuditMode) -> DecisionLog {
    let config = AuditConfig {
        mode,
        denies_per_second: 0,
        ..AuditConfig::default()
    };
    let metrics = Arc::new(Metrics::new());
    let disk = Arc::new(RealDisk);
    doorward::audit::open(disk, &config, data, String::new(), metrics, Timestamp::now).unwrap()
}

async fn with_log(mode: AuditMode, flood: bool) -> f64 {
    let data = tempfile::tempdir_in(".").unwrap();
    let log = open(data.path(), mode);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(log.writer.run(async { ended.await.unwrap_or(()) }));
    let rate = ask(&Arc::new(pdp(log.recorder)), flood).await;
    let _ended = end.send(());
    writer.await.unwrap().unwrap();
    let whole = verify(&AuditFiles::new(&data.path().join("audit")), None, None).unwrap();
    println!(
        "    {mode:?}: {rate:.0}/s, {} records, {} lost",
        whole.last.sequence, whole.lost
    );
    rate
}

/// A log of so many records, put away as a server would; an id near its middle.
async fn fill(data: &Path, records: u64) -> DecisionId {
    let log = open(data, AuditMode::Required);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(log.writer.run(async { ended.await.unwrap_or(()) }));
    let sealer = tokio::spawn(log.sealer.run(async { finished.await.unwrap_or(()) }));
    let pdp = Arc::new(pdp(log.recorder));
    let mut tasks = Vec::new();
    let callers = u64::try_from(CALLERS).unwrap();
    for n in 0..callers {
        let pdp = Arc::clone(&pdp);
        tasks.push(tokio::spawn(async move {
            let mut middle = None;
            let each = records / callers;
            for m in 0..each {
                let answer = pdp
                    .answer(request(n * each + m), Timestamp::now())
                    .await
                    .unwrap();
                if m == each / 2 {
                    middle = Some(answer.decision_id());
                }
            }
            middle.unwrap()
        }));
    }
    let mut middle = None;
    for task in tasks {
        middle = Some(task.await.unwrap());
    }
    let _ended = end.send(());
    writer.await.unwrap().unwrap();
    let _finished = finish.send(());
    sealer.await.unwrap();
    middle.unwrap()
}

fn judged(what: &str, found: f64, holds: bool) -> bool {
    println!("{} {what}: {found:.2}", if holds { "ok  " } else { "MISS" });
    holds
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(16 << 20)
        .build()
        .unwrap();
    let ok = runtime.block_on(async {
        let metrics = Arc::new(Metrics::new());
        let counting = || Recorder::counting(Arc::clone(&metrics), Timestamp::now);
        let _warm = ask(&Arc::new(pdp(counting())), false).await;
        let off = ask(&Arc::new(pdp(counting())), false).await;
        println!("    off: {off:.0}/s");
        let best = with_log(AuditMode::BestEffort, false).await;
        let required = with_log(AuditMode::Required, false).await;
        let flooded = with_log(AuditMode::Required, true).await;
        let mut ok = judged("best_effort / off", best / off, best >= 0.8 * off);
        ok &= judged("required / off", required / off, required >= 0.5 * off);
        ok &= judged(
            "with garbage / without",
            flooded / required,
            flooded >= 0.9 * required,
        );
        let records = std::env::var("DOORWARD_RECORDS").map_or(1_000_000, |it| it.parse().unwrap());
        let data = tempfile::tempdir_in(".").unwrap();
        let id = fill(data.path(), records).await;
        let files = AuditFiles::new(&data.path().join("audit"));
        let began = Instant::now();
        let found = find(&files, id).unwrap();
        let taken = began.elapsed().as_secs_f64() * 1e3;
        assert!(matches!(found, Some(Told::Record(_))), "{id}");
        ok &= judged("ms to find one decision", taken, taken <= 50.0);
        let began = Instant::now();
        let whole = verify(&files, None, None).unwrap();
        let taken = began.elapsed().as_secs_f64();
        let rate = whole.bytes as f64 / taken / 1e6;
        println!(
            "    {} records, {} MB",
            whole.last.sequence,
            whole.bytes / 1_000_000
        );
        ok &= judged("MB/s verified", rate, rate >= 200.0);
        let began = Instant::now();
        let query = Query {
            resource: Some("Doc::\"d77\"".to_owned()),
            ..Query::default()
        };
        let mut count = 0;
        select(&files, &query, &mut |_| {
            count += 1;
            true
        })
        .unwrap();
        println!("    {count} found by resource in {:?}", began.elapsed());
        ok
    });
    match ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

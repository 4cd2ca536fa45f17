//! What the decision log costs: questions a second in each mode, at 100 callers in the process; what
//! garbage takes from them, and adds to the log; one decision found by its id among `LOG_RECORDS`
//! (default a million), and some by what they are about; verification.
//!
//! `cargo bench --bench audit`, alone on the machine. It ends with 1 when a figure is not reached:
//! `required` at least half of `off`, `best_effort` at least 0.8 of it, garbage tokens from another
//! peer (a million a minute) take no more than a tenth from others, nor add a tenth to the median of
//! their latency, and `GARBAGE` of them (default a million) take no more than 2 bytes each in the
//! log; a query by id at most 50 ms, verification at least 200 MB/s.

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

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// From another peer: tokens that are none, and some that look like one.
fn garbage(n: u64) -> AccessRequest {
    // {"alg":"ES256","typ":"at+jwt","kid":"k"}
    let header = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImsifQ";
    let token = match n % 2 {
        0 => "a.b.c".to_owned(),
        _ => format!("{header}.eyJpc3MiOiJ4In0.{n:0>86}"),
    };
    AccessRequest {
        credential: CallerCredential {
            peer: Some(([127, 0, 0, 2], 1).into()),
            ..CallerCredential::default()
        },
        subject: Subject::Token(AccessToken::new(token)),
        ..request(0)
    }
}

fn pdp(recorder: Recorder) -> Pdp {
    let name = BundleName::new("bench");
    let live = LiveBundles::new([name.clone()]);
    let shape = common::Shape {
        policies: 1000,
        candidates: 50,
        comparisons: 2,
    };
    let snapshot = Arc::new(shape.snapshot());
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

/// How callers fared.
struct Fared {
    /// Questions a second.
    rate: f64,
    /// Processor time for each, with all that is done for it, in microseconds.
    taken: f64,
    /// The median and the 99th percentile of their latency, in microseconds.
    median: f64,
    late: f64,
}

/// Processor time that this process took so far (proc(5): in ticks of 10 ms).
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|it| it.parse().unwrap())
        .collect();
    Duration::from_millis(10 * ticks.iter().sum::<u64>())
}

/// How so many callers fare, while others send garbage or not.
async fn ask(pdp: &Arc<Pdp>, flood: bool) -> Fared {
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for n in 0..CALLERS {
        let (pdp, stop, count) = (Arc::clone(pdp), Arc::clone(&stop), Arc::clone(&count));
        tasks.push(tokio::spawn(async move {
            let mut asked = u64::try_from(n).unwrap();
            let mut taken = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                let answer = pdp.answer(request(asked), Timestamp::now()).await;
                assert!(answer.is_ok(), "{answer:?}");
                taken.push(began.elapsed().as_secs_f64() * 1e6);
                count.fetch_add(1, Ordering::Relaxed);
                asked += 7;
                tokio::task::yield_now().await;
            }
            taken
        }));
    }
    let mut flooding = None;
    if flood {
        let (pdp, stop) = (Arc::clone(pdp), Arc::clone(&stop));
        flooding = Some(tokio::spawn(async move {
            // A million a minute.
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                for _ in 0..167 {
                    sent += 1;
                    assert!(pdp.answer(garbage(sent), Timestamp::now()).await.is_err());
                }
            }
            sent
        }));
    }
    let (began, before) = (Instant::now(), busy());
    tokio::time::sleep(LONG).await;
    let asked = count.load(Ordering::Relaxed);
    let seconds = began.elapsed().as_secs_f64();
    let taken = busy() - before;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    if let Some(flooding) = flooding {
        let sent = flooding.await.unwrap();
        println!("    {:.0} garbage tokens/s", sent as f64 / seconds);
    }
    times.sort_unstable_by(f64::total_cmp);
    let part = |hundredths: usize| times.get(times.len() * hundredths / 100).copied();
    Fared {
        rate: asked as f64 / seconds,
        taken: taken.as_secs_f64() * 1e6 / asked as f64,
        median: part(50).unwrap(),
        late: part(99).unwrap(),
    }
}

/// Bytes that each of so many garbage tokens takes in the log, and how many a second there are.
async fn garbage_alone(tokens: u64) -> (f64, f64) {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let log = open(data.path(), AuditMode::Required);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(log.writer.run(async { ended.await.unwrap_or(()) }));
    let pdp = Arc::new(pdp(log.recorder));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for n in 0..4 {
        let pdp = Arc::clone(&pdp);
        tasks.push(tokio::spawn(async move {
            for m in 0..tokens / 4 {
                let answer = pdp.answer(garbage(4 * m + n), Timestamp::now()).await;
                assert!(answer.is_err());
                if m % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let rate = tokens as f64 / began.elapsed().as_secs_f64();
    let _ended = end.send(());
    writer.await.unwrap().unwrap();
    let whole = verify(&AuditFiles::new(&data.path().join("audit")), None, None).unwrap();
    (whole.bytes as f64 / tokens as f64, rate)
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

async fn with_log(mode: AuditMode, flood: bool) -> Fared {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let log = open(data.path(), mode);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(log.writer.run(async { ended.await.unwrap_or(()) }));
    let fared = ask(&Arc::new(pdp(log.recorder)), flood).await;
    let _ended = end.send(());
    writer.await.unwrap().unwrap();
    let whole = verify(&AuditFiles::new(&data.path().join("audit")), None, None).unwrap();
    let Fared {
        rate,
        taken,
        median,
        late,
    } = fared;
    println!(
        "    {mode:?}: {rate:.0}/s, {taken:.1} µs of processors each, p50 {median:.0} µs, p99 {late:.0} µs, {} records, {} lost",
        whole.last.sequence, whole.lost
    );
    fared
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
        let (off, taken) = (off.rate, off.taken);
        println!("    off: {off:.0}/s, {taken:.1} µs of processors each");
        let best = with_log(AuditMode::BestEffort, false).await.rate;
        let required = with_log(AuditMode::Required, false).await;
        let flooded = with_log(AuditMode::Required, true).await;
        let quiet = required.median;
        let slowed = flooded.median;
        let (required, flooded) = (required.rate, flooded.rate);
        let mut ok = judged("best_effort / off", best / off, best >= 0.8 * off);
        ok &= judged("required / off", required / off, required >= 0.5 * off);
        ok &= judged(
            "with garbage / without",
            flooded / required,
            flooded >= 0.9 * required,
        );
        ok &= judged(
            "median latency with garbage / without",
            slowed / quiet,
            slowed <= 1.1 * quiet,
        );
        let tokens = std::env::var("GARBAGE").map_or(1_000_000, |it| it.parse().unwrap());
        let (bytes, rate) = garbage_alone(tokens).await;
        println!("    {tokens} garbage tokens at {rate:.0}/s");
        ok &= judged("bytes of log for each", bytes, bytes <= 2.0);
        let records = std::env::var("LOG_RECORDS").map_or(1_000_000, |it| it.parse().unwrap());
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
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

//! The table of faults for native gRPC: each is injected while callers ask, and none of them makes
//! an allow of what would not be one.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    path::PathBuf,
    sync::atomic::{AtomicI64, AtomicUsize, Ordering},
};

use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::{
    authn::{Callers, Mint, TokenVerifier},
    bundle::{BundleFiles, CompileOptions, LiveBundles},
    config::{BundleConfig, FetchConfig, IdentityHeaders, IssuerConfig, KeySource},
    model::{BundleName, EntityRef, SignedDuration, Timestamp},
    pap::publish,
    pdp::Pdp,
    proto::v1::{
        CheckRequest, NamedQuestion, Outcome,
        check_request::{Question, Subject},
        decision_service_client::DecisionServiceClient,
    },
};

const FILES: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        "entity User; entity Order; action ReadOrder appliesTo { principal: User, resource: Order };",
    ),
    (
        "orders.cedar",
        "permit (principal == User::\"alice\", action, resource);",
    ),
    (
        "bundle.toml",
        "name = \"orders\"\n[[principal]]\ntype = \"User\"\nid = \"{sub}\"",
    ),
];

/// Callers at once, and questions of each before and after the fault.
const CALLERS: usize = 4;
const EACH: usize = 25;

/// What a fault needs to be injected while the server runs.
struct Fixture {
    dir: tempfile::TempDir,
    live: LiveBundles,
    metrics: Arc<Metrics>,
}

/// One row: how the server is built, what goes wrong, and what every answer must then be.
struct Fault {
    name: &'static str,
    build: fn(&mut Built),
    inject: fn(&Fixture),
    alice: &'static str,
    bob: &'static str,
}

/// What a server is built of.
struct Built {
    published: bool,
    issuer: IssuerConfig,
    recorder: fn(&Fixture) -> Recorder,
    clock: fn() -> Timestamp,
    bounds: Bounds,
    waiting: usize,
}

static JUMP: AtomicI64 = AtomicI64::new(0);
static BROKEN: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

fn jumping() -> Timestamp {
    clock::now() + SignedDuration::from_secs(JUMP.load(Ordering::Relaxed))
}

/// Panics here and there, once it is broken: within handlers, and where they record.
fn breaking() -> Timestamp {
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let broken = BROKEN.load(Ordering::Relaxed) == 1;
    assert!(!broken || call.is_multiple_of(3), "the clock broke");
    clock::now()
}

fn counting(fixture: &Fixture) -> Recorder {
    Recorder::counting(Arc::clone(&fixture.metrics), clock::now)
}

const SOUND: Fault = Fault {
    name: "none",
    build: |_| {},
    inject: |_| {},
    alice: "allow",
    bob: "deny",
};

#[expect(
    clippy::disallowed_methods,
    reason = "the writer under test is a task of the test"
)]
fn faults() -> Vec<Fault> {
    let all = |name, build, inject, word| Fault {
        name,
        build,
        inject,
        alice: word,
        bob: word,
    };
    let nothing: fn(&Fixture) = |_| {};
    vec![
        SOUND,
        all(
            "rules were never published",
            |built| built.published = false,
            nothing,
            "Unavailable",
        ),
        all(
            "keys were never read",
            |built| {
                built.issuer.keys = KeySource::Url {
                    url: "https://127.0.0.1:1/keys".parse().unwrap(),
                    fetch: FetchConfig::default(),
                };
            },
            nothing,
            "Unavailable",
        ),
        all(
            "the clock jumps a day ahead",
            |built| built.clock = jumping,
            |_| JUMP.store(86_400, Ordering::Relaxed),
            "Unauthenticated",
        ),
        all(
            "the clock falls a day behind",
            |built| built.clock = jumping,
            |_| JUMP.store(-86_400, Ordering::Relaxed),
            "Unauthenticated",
        ),
        all(
            "handlers panic",
            |built| {
                built.recorder =
                    |fixture| Recorder::counting(Arc::clone(&fixture.metrics), breaking);
            },
            |_| BROKEN.store(1, Ordering::Relaxed),
            "Unavailable",
        ),
        all(
            "no time is left",
            |built| built.bounds.deadline = Duration::ZERO,
            nothing,
            "DeadlineExceeded",
        ),
        all(
            "too many are worked on",
            |built| built.bounds.checks = 0,
            nothing,
            "ResourceExhausted",
        ),
        all(
            "too many wait",
            |built| built.waiting = 0,
            nothing,
            "ResourceExhausted",
        ),
        Fault {
            // Best effort: answers do not wait for records, whose loss is counted.
            name: "the decision log is full",
            build: |built| {
                built.recorder = |fixture| {
                    let full = PathBuf::from("/dev/full");
                    let metrics = Arc::clone(&fixture.metrics);
                    let (recorder, writer) = audit::open(&full, metrics, clock::now).unwrap();
                    tokio::spawn(writer.run(std::future::pending()));
                    recorder
                };
            },
            ..SOUND
        },
    ]
}

fn issuer(dir: &Path) -> DevIssuer {
    DevIssuer::open(dir).unwrap()
}

fn token(dir: &Path, sub: &str) -> String {
    let mint = Mint {
        sub: sub.to_owned(),
        scope: String::new(),
        client_id: "test".to_owned(),
        ttl: SignedDuration::from_mins(5),
        claims: Vec::new(),
    };
    issuer(dir).mint(&mint, clock::now()).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "what keeps the keys fresh is a task of the test"
)]
async fn listen(fixture: &Fixture, built: Built) -> (Listener, axum::Router) {
    let Built {
        published,
        issuer,
        recorder,
        clock,
        bounds,
        waiting,
    } = built;
    let bundle = BundleConfig {
        name: BundleName::new("orders"),
        path: PathBuf::new(),
        hosts: Vec::new(),
        issuers: None,
        audiences: None,
        callers: None,
    };
    if published {
        let options = CompileOptions {
            issuers: Some(vec![issuer.name.clone()]),
            ..CompileOptions::default()
        };
        let (_, place) = fixture.live.get("orders").unwrap();
        publish(place, &BundleFiles::new(FILES.iter().copied()), &options).unwrap();
    }
    let recorder = recorder(fixture);
    let tokens = Arc::new(TokenVerifier::new(&[issuer]).unwrap());
    for task in tokens.tasks() {
        tokio::spawn(task.run(clock::now));
    }
    let pdp = Pdp::new(
        std::slice::from_ref(&bundle),
        Some(bundle.name.clone()),
        fixture.live.clone(),
        Callers::new(&[], false),
        tokens,
        recorder.clone(),
    );
    let (pdp, admission) = (Arc::new(pdp), Admission::new(bounds));
    let envoy = ExtAuthzFace::new(
        Arc::clone(&pdp),
        recorder.clone(),
        IdentityHeaders::default(),
        clock,
    )
    .with_admission(admission.clone());
    let face = DecisionFace::new(pdp, recorder, clock).with_admission(admission);
    let limits = LimitsConfig::default();
    let router = grpc::router(face, envoy, HealthReporter::new(), limits.message).unwrap();
    let setup = Setup {
        name: "grpc",
        protocol: Protocol::Grpc,
        tls: None,
        hosts: Vec::new(),
        limits,
        metrics: Arc::clone(&fixture.metrics),
        waiting: Waiting::new(waiting),
    };
    let address = "127.0.0.1:0".parse().unwrap();
    (Listener::bind(&address, setup).await.unwrap(), router)
}

type Client = DecisionServiceClient<Channel>;

async fn client(address: &ListenAddress) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    DecisionServiceClient::new(endpoint.connect().await.unwrap())
}

/// One word for the answer to whether the holder of `token` may read an order.
async fn ask(client: &mut Client, token: &str) -> String {
    let request = CheckRequest {
        subject: Some(Subject::AccessToken(token.to_owned())),
        question: Some(Question::Named(NamedQuestion {
            action: "ReadOrder".to_owned(),
            resource: Some(EntityRef::new("Order", "o-1").into()),
        })),
        ..CheckRequest::default()
    };
    match client.check(request).await {
        Ok(response) => match response.into_inner().decision.unwrap().outcome() {
            Outcome::Allow => "allow".to_owned(),
            Outcome::Deny => "deny".to_owned(),
            Outcome::Unspecified => "unspecified".to_owned(),
        },
        Err(status) => format!("{:?}", status.code()),
    }
}

/// How often each word was the answer: before the fault is injected, and after.
type Tally = BTreeMap<String, usize>;

async fn load(address: &ListenAddress, token: &str) -> Tally {
    let one = || async {
        let mut client = client(address).await;
        let mut words = Vec::new();
        for _ in 0..EACH {
            words.push(ask(&mut client, token).await);
        }
        words
    };
    let mut tally = Tally::new();
    for words in futures_util::future::join_all((0..CALLERS).map(|_| one())).await {
        for word in words {
            *tally.entry(word).or_default() += 1;
        }
    }
    tally
}

#[expect(
    clippy::disallowed_methods,
    reason = "the listener under test is a task of the test"
)]
async fn run(fault: &Fault) -> io::Result<(Tally, Tally)> {
    JUMP.store(0, Ordering::Relaxed);
    BROKEN.store(0, Ordering::Relaxed);
    let fixture = Fixture {
        dir: tempfile::tempdir()?,
        live: LiveBundles::new([BundleName::new("orders")]),
        metrics: Arc::new(Metrics::new()),
    };
    let dir = fixture.dir.path();
    let mut built = Built {
        published: true,
        issuer: issuer(dir).issuer_config(),
        recorder: counting,
        clock: clock::now,
        bounds: Bounds::default(),
        waiting: 1024,
    };
    (fault.build)(&mut built);
    let (alice, bob) = (token(dir, "alice"), token(dir, "bob"));
    let (listener, router) = listen(&fixture, built).await;
    let address = listener.address()?;
    let serving = tokio::spawn(listener.serve(router, std::future::pending()));
    let happens = async {
        tokio::task::yield_now().await;
        (fault.inject)(&fixture);
    };
    let (during, ()) = tokio::join!(load(&address, &alice), happens);
    let expected = ["allow", fault.alice];
    assert!(
        during.keys().all(|word| expected.contains(&word.as_str())),
        "{during:?}"
    );
    let found = tokio::join!(load(&address, &alice), load(&address, &bob));
    serving.abort();
    let lost = fixture.metrics.render();
    let none = lost.contains("doorward_records_dropped_total 0");
    assert_eq!(none, !fault.name.contains("log is full"), "{}", fault.name);
    Ok(found)
}

fn only(tally: &Tally, word: &str) -> bool {
    tally.len() == 1 && tally.contains_key(word)
}

/// Each row is `who may`: by a policy, without the fault; `who may not`: by none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_makes_an_allow() {
    let mut table = String::from("fault | who may | who may not\n");
    let mut wrong = Vec::new();
    for fault in faults() {
        let (alice, bob) = run(&fault).await.unwrap();
        writeln!(table, "{} | {alice:?} | {bob:?}", fault.name).unwrap();
        if !only(&alice, fault.alice) || !only(&bob, fault.bob) {
            wrong.push(fault.name);
        }
    }
    eprintln!("{table}");
    assert!(wrong.is_empty(), "{wrong:?}\n{table}");
}

//! A server on real listeners whose parts can be broken one by one.

use std::{
    cell::Cell,
    path::PathBuf,
    sync::atomic::{AtomicI64, AtomicU8, Ordering},
};

use crate::{
    authn::{Callers, Mint, TokenVerifier},
    bundle::{BundleFiles, CompileOptions, LiveBundles},
    config::{
        BundleConfig, CallerConfig, HttpConfig, IdentityHeaders, IssuerConfig, Proof, TokenProof,
        VouchScope,
    },
    ledger::{
        NotAppended,
        record::{LedgerRecord, Revocation, Revoked},
        testing::FakeDisk,
    },
    model::{BundleName, CallerName, Digest, Right, SignedDuration, Timestamp},
    pap::publish,
    pdp::Pdp,
    server::*,
    store::{Store, StoreOptions, Written},
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
        "name = \"orders\"
         [[principal]]\ntype = \"User\"\nid = \"{sub}\"
         [[route]]\npath = \"/orders/{order}\"\naction = \"ReadOrder\"
         resource = { type = \"Order\", id = \"{order}\" }",
    ),
];

/// The secret of the caller that is a gateway.
pub(super) const SECRET: &str = "s3cret";

/// What one caller of one subject presents.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) sub: &'static str,
    /// The subject's token.
    pub(super) token: String,
    /// The token of a caller that vouches for subjects.
    pub(super) pep: String,
    /// The revision that it asks for, where one can be asked for; empty: none.
    pub(super) at_least: String,
}

/// What a fault can reach while the server runs.
pub(super) struct Fixture {
    pub(super) dir: tempfile::TempDir,
    pub(super) live: LiveBundles,
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Arc<Store>,
    /// Where the ledger is.
    pub(super) disk: FakeDisk,
}

/// What a server is built of.
pub(super) struct Built {
    pub(super) published: bool,
    pub(super) issuer: IssuerConfig,
    pub(super) recorder: fn(&Fixture) -> Recorder,
    pub(super) clock: fn() -> Timestamp,
    pub(super) bounds: Bounds,
    pub(super) waiting: usize,
}

/// How far the clock is off, in seconds.
pub(super) static JUMP: AtomicI64 = AtomicI64::new(0);
/// What breaks: [`SOUND`], [`HANDLERS`] or [`RECORDS`].
pub(super) static BROKEN: AtomicU8 = AtomicU8::new(SOUND);
pub(super) const SOUND: u8 = 0;
pub(super) const HANDLERS: u8 = 1;
pub(super) const RECORDS: u8 = 2;

pub(super) fn jumping() -> Timestamp {
    clock::now() + SignedDuration::from_secs(JUMP.load(Ordering::Relaxed))
}

/// A recorder's clock. It is asked within a handler first, and again when what became of that is
/// recorded, on the same thread and without a pause in between: so it can break the one or both.
pub(super) fn breaking() -> Timestamp {
    thread_local! {
        static JUST_BROKE: Cell<bool> = const { Cell::new(false) };
    }
    match BROKEN.load(Ordering::Relaxed) {
        SOUND => JUST_BROKE.set(false),
        HANDLERS if JUST_BROKE.replace(false) => {}
        _ => {
            JUST_BROKE.set(true);
            panic!("the clock broke");
        }
    }
    clock::now()
}

pub(super) fn counting(fixture: &Fixture) -> Recorder {
    Recorder::counting(Arc::clone(&fixture.metrics), clock::now)
}

impl Fixture {
    pub(super) fn new() -> Self {
        JUMP.store(0, Ordering::Relaxed);
        BROKEN.store(SOUND, Ordering::Relaxed);
        let dir = tempfile::tempdir().unwrap();
        let disk = FakeDisk::default();
        let options = StoreOptions {
            disk: Arc::new(disk.clone()),
            checkpoint: false,
            ..StoreOptions::new(dir.path())
        };
        let (store, tasks) = Store::open(options, |_| ()).unwrap();
        // Its thread ends with the store.
        drop(store::run(tasks).unwrap());
        Self {
            dir,
            live: LiveBundles::new([BundleName::new("orders")]),
            metrics: Arc::new(Metrics::new()),
            store: Arc::new(store),
            disk,
        }
    }

    /// Revokes what was issued to alice up to now.
    pub(super) fn revoke_alice(&self) -> Result<Written, NotAppended> {
        let now = clock::now();
        let record = LedgerRecord::Revocation(Revocation {
            time: now,
            by: "test".to_owned(),
            issuer: self.issuer().issuer_config().issuer,
            what: Revoked::Subject {
                subject: "alice".to_owned(),
                before: now,
            },
            until: Store::kept_until(now, SignedDuration::from_hours(1)),
        });
        wait(self.store.write(&record))
    }

    fn issuer(&self) -> DevIssuer {
        DevIssuer::open(self.dir.path()).unwrap()
    }

    /// A sound server.
    pub(super) fn sound(&self) -> Built {
        Built {
            published: true,
            issuer: self.issuer().issuer_config(),
            recorder: counting,
            clock: clock::now,
            bounds: Bounds::default(),
            waiting: 1024,
        }
    }

    fn mint(&self, sub: &str, scope: &str, claims: Vec<(String, String)>) -> String {
        let mint = Mint {
            sub: sub.to_owned(),
            scope: scope.to_owned(),
            client_id: "test".to_owned(),
            ttl: SignedDuration::from_mins(5),
            claims,
        };
        self.issuer().mint(&mint, clock::now()).unwrap()
    }

    pub(super) fn credentials(&self, sub: &'static str) -> Credentials {
        let audience = ("aud".to_owned(), "\"pdp\"".to_owned());
        Credentials {
            sub,
            token: self.mint(sub, "", Vec::new()),
            pep: self.mint("pep", "ask", vec![audience]),
            at_least: String::new(),
        }
    }
}

/// Waits where a fault is injected, which no async function does; on a thread of its own, since on
/// this one it would take the wake-ups of whoever is asking meanwhile.
pub(super) fn wait<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(work));
        waiting.join().unwrap()
    })
}

/// A gateway that is known by its secret, and a service that is known by its token.
fn callers(issuer: &IssuerConfig) -> [CallerConfig; 2] {
    let sha = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRET.as_bytes());
    let caller = |name, proof, may: [Right; 2]| CallerConfig {
        name: CallerName::new(name),
        proof,
        bundles: None,
        may: may.into(),
        vouch: VouchScope::default(),
    };
    let secret = Proof {
        token_sha256: Some(Digest::new(sha.as_ref().try_into().unwrap())),
        ..Proof::default()
    };
    let token = Proof {
        token: Some(TokenProof {
            issuer: issuer.name.clone(),
            audience: "pdp".to_owned(),
            scope: "ask".to_owned(),
            subject: None,
        }),
        ..Proof::default()
    };
    [
        caller("gateway", secret, [Right::Check, Right::Gateway]),
        caller("service", token, [Right::Check, Right::Vouch]),
    ]
}

/// Serves what was built until the test ends; where, and what is admitted.
#[expect(
    clippy::disallowed_methods,
    reason = "listeners, and what keeps keys fresh, are tasks of the test"
)]
pub(super) async fn serve(fixture: &Fixture, built: Built) -> (Addresses, Admission) {
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
    let callers = Callers::new(&callers(&issuer), false);
    let tokens = Arc::new(TokenVerifier::new(&[issuer]).unwrap());
    for task in tokens.tasks() {
        tokio::spawn(task.run(clock::now));
    }
    let pdp = Pdp::new(
        std::slice::from_ref(&bundle),
        Some(bundle.name.clone()),
        fixture.live.clone(),
        callers,
        tokens,
        recorder.clone(),
    );
    let pdp = Arc::new(pdp.with_store(Arc::clone(&fixture.store)));
    let admission = Admission::new(bounds);
    let identity = IdentityHeaders::default();
    let faces = http::Faces {
        http: HttpConfig::default(),
        identity: identity.clone(),
        bundles: vec![bundle.name],
    };
    let http_router = faces.router(&pdp, &recorder, &admission, clock);
    let envoy = ExtAuthzFace::new(Arc::clone(&pdp), recorder.clone(), identity, clock)
        .with_admission(admission.clone());
    let face = DecisionFace::new(pdp, recorder, clock).with_admission(admission.clone());
    let limits = LimitsConfig::default();
    let grpc_router = grpc::router(face, envoy, HealthReporter::new(), &limits).unwrap();
    let waiting = Waiting::new(waiting);
    let mut addresses = Vec::new();
    for (name, protocol, router) in [
        ("grpc", Protocol::Grpc, grpc_router),
        ("http", Protocol::Http, http_router),
    ] {
        let setup = Setup {
            name,
            protocol,
            tls: None,
            hosts: Vec::new(),
            limits,
            metrics: Arc::clone(&fixture.metrics),
            waiting: waiting.clone(),
        };
        let local = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&local, setup).await.unwrap();
        addresses.push(listener.address().unwrap());
        // It ends with the test's runtime.
        drop(tokio::spawn(listener.serve(router, std::future::pending())));
    }
    let [grpc, http] = addresses.try_into().unwrap();
    let at = Addresses {
        probe: http.clone(),
        admin: http.clone(),
        grpc,
        http,
    };
    (at, admission)
}

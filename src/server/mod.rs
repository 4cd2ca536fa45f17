//! The composition root: everything is built here, in the order of its dependencies.
//!
//! The end is ordered too: stop accepting → finish what is in flight, as long as `limits.drain` →
//! write the records that wait → flush. A task that dies ends the process, by its name.

mod backup;
pub mod clock;
mod data_dir;
mod decision_log;
mod engine;
mod error;
mod example;
mod grpc;
mod http;
mod keys;
mod listen;
mod reload;
mod sink;
mod store;
mod tasks;
pub mod telemetry;
mod tls;
mod traces;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc, time::Duration};

use tokio::sync::watch;
use tonic_health::server::HealthReporter;

use crate::{
    admin::{audit::AuditFace, probe},
    audit::Recorder,
    authn::DevIssuer,
    config::{Config, LimitsConfig, ListenAddress, ListenConfig},
    metrics::Metrics,
    pep::{
        admission::{Admission, Bounds},
        ext_authz::ExtAuthzFace,
        grpc::DecisionFace,
    },
};
pub use backup::{backup, restore};
pub use data_dir::prepare as prepare_data;
use engine::{Engine, Parts};
pub use error::ServerError;
pub use keys::read_keys;
use listen::{Listener, Protocol, Setup, Waiting};
use store::Kept;
use tasks::Tasks;
use tls::Certificates;

/// Threads that decide have room for the deepest policy that may be loaded, in bytes.
const STACK: usize = 16 * 1024 * 1024;
/// How long the rest may take to end.
const LAST: Duration = Duration::from_secs(5);

/// How far the end has come; tasks wait for their phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Closing,
    Draining,
    /// The last record is on the disk.
    Written,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Native gRPC, health and reflection.
    pub grpc: ListenAddress,
    /// AuthZEN and forward-auth.
    pub http: ListenAddress,
    /// Probes and metrics.
    pub probe: ListenAddress,
    /// Operators.
    pub admin: ListenAddress,
}

/// A server that holds its ports and is ready to run.
pub struct Server {
    grpc: Listener,
    http: Listener,
    faces: http::Faces,
    probe: Listener,
    admin: Listener,
    kept: Kept,
    tls: Option<Arc<Certificates>>,
    limits: LimitsConfig,
    waiting: Waiting,
    engine: Engine,
    recorder: Recorder,
    log: Option<decision_log::Keeping>,
    metrics: Arc<Metrics>,
}

impl Server {
    /// Builds everything that can fail, up to the open ports.
    ///
    /// # Errors
    /// [`ServerError`] with what is wrong and how to change it.
    pub async fn open(config: Config) -> Result<Self, ServerError> {
        let configuration = data_dir::digest(&config.print());
        let Config {
            bundles,
            default_bundle,
            data,
            listen,
            tls,
            limits,
            otlp: _,
            mut issuers,
            callers,
            audit,
            ledger,
            decide,
            reload,
            bundle_limits,
            identity_headers,
            http,
            admin_bundle,
            dev,
        } = config;
        prepare_data(&data, dev)?;
        if dev {
            issuers.push(DevIssuer::open(&data)?.issuer_config());
        }
        let faces = http::Faces {
            http,
            identity: identity_headers,
            bundles: bundles.iter().map(|bundle| bundle.name.clone()).collect(),
        };
        let metrics = Arc::new(Metrics::new());
        let ListenConfig {
            grpc,
            http,
            probe,
            admin,
            hosts,
        } = listen;
        let probe_tls = tls.as_ref().is_some_and(|tls| tls.probe);
        let tls = tls.map(Certificates::load).transpose();
        let tls = tls.map_err(ServerError::Tls)?.map(Arc::new);
        let waiting = Waiting::new(limits.queued);
        let setup = |name, protocol, tls: Option<&Arc<Certificates>>, hosts| Setup {
            name,
            protocol,
            tls: tls.map(Arc::clone),
            hosts,
            limits,
            metrics: Arc::clone(&metrics),
            waiting: waiting.clone(),
        };
        let rpc = setup("grpc", Protocol::Grpc, tls.as_ref(), Vec::new());
        let grpc = bind(grpc, rpc, "--grpc").await?;
        let known_by = faces.http.authzen_url.as_deref().and_then(host_of);
        let named = own_hosts(&http, &hosts, known_by);
        let asked = setup("http", Protocol::Http, tls.as_ref(), named);
        let http = bind(http, asked, "--http").await?;
        let hosts = own_hosts(&probe, &hosts, None);
        let probed = setup(
            "probe",
            Protocol::Http,
            tls.as_ref().filter(|_| probe_tls),
            hosts,
        );
        let probe = bind(probe, probed, "--probe").await?;
        let operated = setup("admin", Protocol::Grpc, tls.as_ref(), Vec::new());
        let admin = bind(admin, operated, "--admin").await?;
        let kept = store::open(data.clone(), ledger).await?;
        let (recorder, log) = decision_log::open(audit, &data, configuration, &metrics)?;
        let engine = engine::assemble(Parts {
            bundles,
            default_bundle,
            issuers,
            callers,
            decide,
            reload,
            limits: bundle_limits,
            explanations_per_minute: limits.explanations_per_minute,
            data,
            dev,
            recorder: recorder.clone(),
            metrics: Arc::clone(&metrics),
            deadline: limits.deadline,
            store: Arc::clone(&kept.store),
            admin_bundle,
        })
        .await?;
        Ok(Self {
            grpc,
            http,
            faces,
            probe,
            admin,
            kept,
            tls,
            limits,
            waiting,
            engine,
            recorder,
            log,
            metrics,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            grpc: self.grpc.address()?,
            http: self.http.address()?,
            probe: self.probe.address()?,
            admin: self.admin.address()?,
        })
    }

    /// Serves until `shutdown` resolves, then ends in order.
    ///
    /// # Errors
    /// [`ServerError::Task`] when a task dies before that.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Self {
            grpc,
            http,
            faces,
            probe,
            admin,
            kept:
                Kept {
                    store,
                    tasks: keeping,
                    config: ledger_config,
                },
            tls,
            limits,
            waiting,
            engine:
                Engine {
                    pdp,
                    readiness,
                    keepers,
                    key_tasks,
                    tokens,
                    desk,
                },
            recorder,
            log,
            metrics,
        } = self;
        let (phase, _) = watch::channel(Phase::Serving);
        let health = HealthReporter::new();
        let mut tasks = Tasks::default();

        let kept = log.as_ref().map(|log| log.files.clone());
        if let Some(log) = log {
            log.start(&mut tasks, &phase);
        }
        let ledger = store::run(keeping).map_err(ServerError::Threads)?;
        tasks.spawn("ledger", ledger);
        let compacted = Arc::clone(&store);
        let closing = reached(&phase, Phase::Closing);
        tasks.spawn("compaction", async move {
            tokio::select! {
                () = store::compact(compacted, ledger_config) => {}
                () = closing => {}
            }
            Ok(())
        });
        for keeper in keepers {
            let closing = reached(&phase, Phase::Closing);
            tasks.spawn("reload", keeper.run(closing));
        }
        for task in key_tasks {
            tasks.spawn("issuer keys", async move {
                task.run(clock::now).await;
                Ok(())
            });
        }
        if let Some(tls) = &tls {
            tasks.spawn("certificates", Arc::clone(tls).watch(Arc::clone(&metrics)));
        }
        let admission = Admission::new(bounds(&limits));
        let readiness = decision_log::told_in(with_certificates(readiness, tls), recorder.clone());
        let readiness = store::told_in(readiness, Arc::clone(&store));
        let sample = telemetry::sampler(telemetry::Sampled {
            readiness: Arc::clone(&readiness),
            recorder: recorder.clone(),
            store: Arc::clone(&store),
            admission: admission.clone(),
            waiting,
            tokens,
        });
        let router = probe::router(Arc::clone(&readiness), Arc::clone(&metrics), sample);
        let stop = reached(&phase, Phase::Draining);
        tasks.spawn("probe listener", probe.serve(router, stop));
        let announced = health.clone();
        let closing = reached(&phase, Phase::Closing);
        tasks.spawn("health", async move {
            tokio::select! {
                () = grpc::announce(announced, readiness) => {}
                () = closing => return Ok(()),
            }
            std::future::pending().await
        });
        let (close_streams, closing_streams) = watch::channel(false);
        let ext_authz = ExtAuthzFace::new(
            Arc::clone(&pdp),
            recorder.clone(),
            faces.identity.clone(),
            clock::now,
        )
        .with_admission(admission.clone());
        let router = faces.router(&pdp, &recorder, &admission, clock::now);
        let stop = reached(&phase, Phase::Closing);
        tasks.spawn("http listener", http.serve(router, stop));
        let read = AuditFace::new(desk.clone(), kept, closing_streams.clone());
        let face = DecisionFace::new(pdp, recorder, clock::now)
            .with_admission(admission)
            .with_closing(closing_streams);
        let router = grpc::router(face, ext_authz, health.clone(), &limits)
            .map_err(|why| ServerError::task("grpc listener", why))?;
        let stop = reached(&phase, Phase::Closing);
        tasks.spawn("grpc listener", grpc.serve(router, stop));

        let stop = reached(&phase, Phase::Closing);
        tasks.spawn(
            "admin listener",
            admin.serve(grpc::admin_router(desk, read), stop),
        );

        let served = tokio::select! {
            death = tasks.first_death() => Err(death),
            () = shutdown => Ok(()),
        };
        tracing::info!("stopping");
        grpc::withdraw(&health).await;
        phase.send_replace(Phase::Closing);
        close_streams.send_replace(true);
        let doors = ["grpc listener", "http listener", "admin listener"];
        let closed = tasks.finish(&doors, limits.drain).await;
        phase.send_replace(Phase::Draining);
        let drained = tasks.finish(&["decision log"], LAST).await;
        phase.send_replace(Phase::Written);
        store.end().await;
        let stored = tasks.finish(&["ledger"], LAST).await;
        let left = [
            "probe listener",
            "decision log segments",
            "decision log receivers",
        ];
        let left = tasks.finish(&left, LAST).await;
        tracing::info!("stopped");
        served.and(closed).and(drained).and(stored).and(left)
    }
}

/// What faces admit.
fn bounds(limits: &LimitsConfig) -> Bounds {
    Bounds {
        checks: limits.checks,
        batches: limits.batches,
        streams: limits.streams,
        explanations: limits.explanations,
        deadline: limits.deadline,
        batch: limits.batch,
        evaluations: limits.evaluations,
    }
}

/// Readiness that also tells of certificates that could not be taken up.
fn with_certificates(
    readiness: probe::ReadinessSource,
    tls: Option<Arc<Certificates>>,
) -> probe::ReadinessSource {
    let Some(tls) = tls else { return readiness };
    Arc::new(move || {
        let mut state = readiness();
        state
            .degraded
            .extend(tls.fault().map(|detail| probe::Degraded {
                bundle: None,
                what: "certificates",
                detail,
                faults: Vec::new(),
            }));
        state
    })
}

/// The hosts that requests to `listener` may name: those `listed`, and any if none is. Where only this
/// machine can ask, its own names in any case, and nothing beyond them and the one it is `known_by`,
/// lest a page in a browser here asks under a name that it had resolved to us.
fn own_hosts(listener: &ListenAddress, listed: &[String], known_by: Option<String>) -> Vec<String> {
    let local = matches!(listener, ListenAddress::Tcp(_)) && listener.is_local();
    let own: &[&str] = match (local, listed) {
        (true, _) => &["localhost", "127.0.0.1", "[::1]"],
        (false, []) => return Vec::new(),
        (false, _) => &[],
    };
    let own = own.iter().map(|it| (*it).to_owned());
    listed.iter().cloned().chain(known_by).chain(own).collect()
}

/// The host of an address that the configuration has checked.
fn host_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    url.host_str().map(str::to_owned)
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// Runs `work` on threads with stacks that evaluation cannot exhaust.
///
/// # Errors
/// [`ServerError::Threads`] when they cannot be started, and the errors of `work`.
pub fn block_on<T, F>(work: F) -> Result<T, ServerError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ServerError>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("doorward")
        .thread_stack_size(STACK)
        .build()
        .map_err(ServerError::Threads)?;
    // Not on this thread, whose stack is the operating system's choice.
    let done = runtime.block_on(runtime.spawn(work));
    // A connection that was cut off must not hold the process.
    runtime.shutdown_background();
    done.unwrap_or_else(|why| Err(ServerError::task("main", why.to_string())))
}

/// Resolves when the process is asked to end (SIGTERM or SIGINT).
///
/// # Errors
/// [`ServerError::Threads`] when signals cannot be listened for.
pub fn asked_to_end() -> Result<impl Future<Output = ()>, ServerError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Threads)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Threads)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn bind(
    address: ListenAddress,
    setup: Setup,
    flag: &'static str,
) -> Result<Listener, ServerError> {
    let bound = Listener::bind(&address, setup).await;
    bound.map_err(|source| ServerError::Listen {
        address,
        flag,
        source,
    })
}

fn reached(phase: &watch::Sender<Phase>, wanted: Phase) -> impl Future<Output = ()> + use<> {
    let mut phase = phase.subscribe();
    async move {
        // An error means that the server is gone, which is the last phase of all.
        let _gone = phase.wait_for(|now| *now >= wanted).await;
    }
}

//! The composition root: everything is built here, in the order of its dependencies.
//!
//! The end is ordered too: stop accepting → finish what is in flight, for ten seconds at most →
//! write the records that wait → flush. A task that dies ends the process, by its name.

mod accept;
pub mod clock;
mod data_dir;
mod engine;
mod example;
mod grpc;
mod http;
mod tasks;
pub mod telemetry;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch};
use tonic_health::server::HealthReporter;

use crate::{
    admin::probe,
    audit::{self, Recorder, Writer},
    authn::{DevFault, DevIssuer, KeysFault},
    config::{AuditConfig, AuditMode, Config, ListenConfig},
    metrics::Metrics,
    pep::{ext_authz::ExtAuthzFace, grpc::DecisionFace},
    policy::Fault,
};
pub use data_dir::prepare as prepare_data;
use engine::{Engine, Parts};
use tasks::Tasks;

/// Threads that decide have room for the deepest policy that may be loaded, in bytes.
const STACK: usize = 16 * 1024 * 1024;
/// How long calls in flight may take once the server is told to stop.
const IN_FLIGHT: Duration = Duration::from_secs(10);
/// How long the rest may take to end.
const LAST: Duration = Duration::from_secs(5);

/// Faults of a bundle that are told at once.
const SHOWN_FAULTS: usize = 20;

/// Why the server does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`: {source}; choose another with `{flag}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory `{}`: {source}", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A development data directory for a server that is not one.
    #[error(
        "`{}` belongs to `--dev`, whose keys must not be trusted here: give another directory with `--data`",
        .0.display()
    )]
    DevData(PathBuf),
    /// The data directory of a real server for a development one.
    #[error(
        "`{}` is not a development directory: give an empty or new one with `--data`",
        .0.display()
    )]
    NotDevData(PathBuf),
    /// The decision log cannot be opened.
    #[error("cannot write the decision log `{}`: {source}", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A bundle that must not be served.
    #[error("`{}` is not valid:\n{}", path.display(), lines(faults))]
    Invalid {
        /// Its directory.
        path: PathBuf,
        /// What is wrong with it.
        faults: Vec<Fault>,
    },
    /// The keys of an issuer cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysFault),
    /// The development issuer cannot work.
    #[error(transparent)]
    DevIssuer(#[from] DevFault),
    /// Logging cannot start.
    #[error("{0}")]
    Log(String),
    /// The threads cannot be started.
    #[error("cannot start threads: {0}")]
    Threads(io::Error),
    /// A task that must run has died.
    #[error("the task `{name}` died: {why}")]
    Task {
        /// The task.
        name: &'static str,
        /// How.
        why: String,
    },
}

fn lines(faults: &[Fault]) -> String {
    let shown = faults.iter().take(SHOWN_FAULTS);
    let mut lines: Vec<_> = shown.map(|fault| format!("  {fault}")).collect();
    if faults.len() > SHOWN_FAULTS {
        lines.push(format!("  and {} more", faults.len() - SHOWN_FAULTS));
    }
    lines.join("\n")
}

impl ServerError {
    fn task(name: &'static str, why: impl Into<String>) -> Self {
        Self::Task {
            name,
            why: why.into(),
        }
    }
}

/// How far the end has come; tasks wait for their phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Closing,
    Draining,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Native gRPC, health and reflection.
    pub grpc: SocketAddr,
    /// AuthZEN and forward-auth.
    pub http: SocketAddr,
    /// Probes and metrics.
    pub probe: SocketAddr,
}

/// A server that holds its ports and is ready to run.
pub struct Server {
    grpc: TcpListener,
    http: TcpListener,
    faces: http::Faces,
    probe: TcpListener,
    engine: Engine,
    recorder: Recorder,
    writer: Option<Writer>,
    metrics: Arc<Metrics>,
}

impl Server {
    /// Builds everything that can fail, up to the open ports.
    ///
    /// # Errors
    /// [`ServerError`] with what is wrong and how to change it.
    pub async fn open(config: Config) -> Result<Self, ServerError> {
        let Config {
            bundles,
            default_bundle,
            data,
            listen,
            mut issuers,
            callers,
            audit,
            decide,
            identity_headers,
            http,
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
        let ListenConfig { grpc, http, probe } = listen;
        let grpc = bind(grpc, "--grpc").await?;
        let http = bind(http, "--http").await?;
        let probe = bind(probe, "--probe").await?;
        for (name, listener) in [("grpc", &grpc), ("http", &http), ("probe", &probe)] {
            if let Ok(address) = listener.local_addr() {
                tracing::info!(name, %address, "listening");
            }
        }
        let metrics = Arc::new(Metrics::new());
        let (recorder, writer) = open_audit(audit, &data, &metrics)?;
        let engine = engine::assemble(Parts {
            bundles,
            default_bundle,
            issuers,
            callers,
            decide,
            dev,
            recorder: recorder.clone(),
        })?;
        Ok(Self {
            grpc,
            http,
            faces,
            probe,
            engine,
            recorder,
            writer,
            metrics,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            grpc: self.grpc.local_addr()?,
            http: self.http.local_addr()?,
            probe: self.probe.local_addr()?,
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
            engine: Engine { pdp, readiness },
            recorder,
            writer,
            metrics,
        } = self;
        let (phase, _) = watch::channel(Phase::Serving);
        let health = HealthReporter::new();
        let mut tasks = Tasks::default();

        if let Some(writer) = writer {
            let drain = reached(&phase, Phase::Draining);
            tasks.spawn("decision log", async move {
                writer.run(drain).await.map_err(|why| why.to_string())
            });
        }
        let router = probe::router(Arc::clone(&readiness), metrics);
        let stop = reached(&phase, Phase::Draining);
        tasks.spawn("probe listener", async move {
            let served = axum::serve(probe, router).with_graceful_shutdown(stop);
            served.await.map_err(|why| why.to_string())
        });
        let announced = health.clone();
        let closing = reached(&phase, Phase::Closing);
        tasks.spawn("health", async move {
            grpc::announce(announced, readiness).await;
            closing.await;
            Ok(())
        });
        let ext_authz = ExtAuthzFace::new(
            Arc::clone(&pdp),
            recorder.clone(),
            faces.identity.clone(),
            clock::now,
        );
        let router = faces.router(&pdp, &recorder);
        let stop = reached(&phase, Phase::Closing);
        tasks.spawn("http listener", http::serve(http, router, stop));
        let face = DecisionFace::new(pdp, recorder, clock::now);
        let stop = reached(&phase, Phase::Closing);
        tasks.spawn(
            "grpc listener",
            grpc::serve(grpc, face, ext_authz, health.clone(), stop),
        );

        tokio::select! {
            death = tasks.first_death() => return Err(death),
            () = shutdown => tracing::info!("stopping"),
        }
        grpc::withdraw(&health).await;
        phase.send_replace(Phase::Closing);
        tasks.finish("grpc listener", IN_FLIGHT).await?;
        tasks.finish("http listener", IN_FLIGHT).await?;
        phase.send_replace(Phase::Draining);
        tasks.finish("decision log", LAST).await?;
        tasks.finish("probe listener", LAST).await?;
        tracing::info!("stopped");
        Ok(())
    }
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

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::Listen {
            address,
            flag,
            source,
        })
}

fn open_audit(
    audit: AuditConfig,
    data: &Path,
    metrics: &Arc<Metrics>,
) -> Result<(Recorder, Option<Writer>), ServerError> {
    let AuditConfig { mode, file } = audit;
    match mode {
        AuditMode::Off => Ok((Recorder::counting(Arc::clone(metrics), clock::now), None)),
        AuditMode::BestEffort => {
            let path = file.unwrap_or_else(|| data.join("decisions.jsonl"));
            let (recorder, writer) = audit::open(&path, Arc::clone(metrics), clock::now)
                .map_err(|source| ServerError::Audit { path, source })?;
            Ok((recorder, Some(writer)))
        }
    }
}

fn reached(phase: &watch::Sender<Phase>, wanted: Phase) -> impl Future<Output = ()> + use<> {
    let mut phase = phase.subscribe();
    async move {
        // An error means that the server is gone, which is the last phase of all.
        let _gone = phase.wait_for(|now| *now >= wanted).await;
    }
}

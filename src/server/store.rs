//! What is stored: opened before anything is decided, and the threads that keep it.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{ServerError, clock, reload::build};
use crate::{
    admin::probe::{Degraded, ReadinessSource},
    config::LedgerConfig,
    ledger::LogError,
    model::Timestamp,
    store::{Part, Progress, Store, StoreError, StoreOptions, StoreTasks},
};

/// How long a start waits for a process that is about to let go of the ledger.
const PATIENCE: Duration = Duration::from_secs(2);
const BETWEEN: Duration = Duration::from_millis(100);
/// Between two log lines of a long start.
const TELL: Duration = Duration::from_secs(1);
/// How often it is looked whether the ledger should be compacted.
const LOOK: Duration = Duration::from_secs(10);

/// The store of a data directory, with what must run for it.
pub(super) struct Kept {
    pub(super) store: Arc<Store>,
    pub(super) tasks: StoreTasks,
    pub(super) config: LedgerConfig,
}

/// Opens the store, off the threads that decide.
pub(super) async fn open(data: PathBuf, config: LedgerConfig) -> Result<Kept, ServerError> {
    let until = clock::instant() + PATIENCE;
    loop {
        let options = StoreOptions {
            both,
            ..StoreOptions::new(&data)
        };
        let opened = build(move || Store::open(options, teller())).await;
        match opened.map_err(|why| ServerError::task("store", why))? {
            Err(StoreError::Ledger(LogError::Locked(_))) if clock::instant() < until => {
                tokio::time::sleep(BETWEEN).await;
            }
            Err(why) => return Err(ServerError::Store(why)),
            Ok((store, tasks)) => {
                let store = Arc::new(store);
                return Ok(Kept {
                    store,
                    tasks,
                    config,
                });
            }
        }
    }
}

/// Does two pieces of work at the same time.
fn both(one: &mut (dyn FnMut() + Send), other: &mut (dyn FnMut() + Send)) {
    thread::scope(|scope| {
        scope.spawn(one);
        other();
    });
}

/// Readiness that also tells what is wrong with the store.
pub(super) fn told_in(readiness: ReadinessSource, store: Arc<Store>) -> ReadinessSource {
    Arc::new(move || {
        let mut state = readiness();
        for (part, detail) in store.troubles() {
            state.unreadable |= part == Part::Records;
            state.degraded.push(Degraded {
                bundle: None,
                what: part.name(),
                detail,
                faults: Vec::new(),
            });
        }
        state
    })
}

/// Tells how far a start has come: at once what is unusual, the rest now and then.
fn teller() -> impl FnMut(Progress) {
    let mut told: Option<Instant> = None;
    move |progress| match progress {
        Progress::Cut(cut) => tracing::warn!(
            file = %cut.path.display(),
            offset = cut.offset,
            bytes = cut.bytes,
            "the ledger ended in half a write, which nobody was told is durable: cut off"
        ),
        Progress::Loaded { entities } => tracing::info!(entities, "checkpoint read"),
        Progress::Rebuilding => tracing::info!("no checkpoint: replaying the ledger"),
        Progress::Replayed {
            sequence,
            last,
            entities,
        } => {
            let now = clock::instant().into_std();
            if sequence == last || told.is_none_or(|at| now.duration_since(at) > TELL) {
                told = Some(now);
                tracing::info!(sequence, last, entities, "ledger replayed");
            }
        }
    }
}

/// Starts the threads that write; resolves when the ledger's has ended.
pub(super) fn run(
    tasks: StoreTasks,
) -> Result<impl Future<Output = Result<(), String>> + use<>, io::Error> {
    let StoreTasks { writer, checkpoint } = tasks;
    let (done, ended) = oneshot::channel();
    let name = |name: &str| thread::Builder::new().name(name.into());
    name("doorward-ledger").spawn(move || {
        // Nobody waits any more when the server is gone.
        let _unheard = done.send(writer.run());
    })?;
    let (closed, checkpointed) = oneshot::channel();
    if let Some(task) = checkpoint {
        name("doorward-checkpoint").spawn(move || {
            task.run();
            let _unheard = closed.send(());
        })?;
    }
    Ok(async move {
        let ended = ended
            .await
            .unwrap_or_else(|_| Err("it panicked".to_owned()));
        // Without it the next start replays more of the ledger, and no more than that.
        let _closed = checkpointed.await;
        ended
    })
}

/// Compacts the ledger when it is worth it, until it is dropped.
pub(super) async fn compact(store: Arc<Store>, config: LedgerConfig) {
    loop {
        tokio::time::sleep(LOOK).await;
        if !store.wants_compaction() {
            continue;
        }
        store.rotate().await;
        let compacted = Arc::clone(&store);
        let since = config.keep_age.map(|age| {
            let since = clock::now().checked_sub(age);
            since.unwrap_or(Timestamp::MIN)
        });
        let work = move || match since {
            Some(since) => compacted.compact_and_keep(since),
            None => compacted.compact(),
        };
        match build(work).await {
            Ok(Ok(())) => tracing::info!("ledger compacted"),
            Ok(Err(why)) => tracing::error!(%why, "cannot compact the ledger"),
            Err(why) => tracing::error!(why, "cannot compact the ledger"),
        }
    }
}

//! Opening the store, writing to it, and waiting for what was written.

use std::{
    collections::VecDeque,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    apply::{Delta, Outcome},
    checkpoint::{self, Checkpoint, CheckpointTask},
    revision::{Reach, RevisionKey},
    revocations, state,
    version::Version,
};
use crate::{
    ledger::{
        Appended, Appender, Apply, Chain, Cut, Disk, Entry, Log, LogError, LogOptions, NotAppended,
        Opened, Reader, RealDisk, SnapshotWriter, Writer, record::LedgerRecord,
    },
    model::{Revision, SignedDuration, Timestamp},
};

/// The folder in the data directory.
pub(super) const DIR: &str = "ledger";
/// Changes after which compacting is worth its writing, at least.
const WORTH: usize = 200_000;
/// Records between two tellings of progress.
const STEP: u64 = 1_000;
/// Hashes of records by which revisions of a lost future are told, beyond their epoch.
const RECENT: usize = 4_096;

/// What is stored, as of now.
pub struct Store {
    current: Arc<ArcSwap<Version>>,
    reached: watch::Receiver<u64>,
    recent: Arc<Recent>,
    key: Arc<RevisionKey>,
    appender: Appender<Outcome>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// How much had changed when the ledger was last compacted.
    compacted: AtomicUsize,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The data directory.
    pub data: PathBuf,
    /// Where the ledger's files are.
    pub disk: Arc<dyn Disk>,
    /// How the ledger is kept.
    pub log: LogOptions,
    /// Whether there is a checkpoint.
    pub checkpoint: bool,
}

impl StoreOptions {
    /// As a server has it.
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            disk: Arc::new(RealDisk),
            log: LogOptions::default(),
            checkpoint: true,
        }
    }
}

/// What must run on threads of its own as long as the store is used.
#[derive(Debug)]
pub struct StoreTasks {
    /// Writes the ledger.
    pub writer: Writer<Applier>,
    /// Writes the checkpoint.
    pub checkpoint: Option<CheckpointTask>,
}

/// How far opening has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The ledger ended in half a write, which was cut off.
    Cut(Cut),
    /// The checkpoint was read.
    Loaded {
        /// How many entities it has.
        entities: usize,
    },
    /// There is no checkpoint, so the ledger is replayed.
    Rebuilding,
    /// So many records were replayed.
    Replayed {
        /// The record.
        sequence: u64,
        /// The last one there is.
        last: u64,
        /// How many entities there are now.
        entities: usize,
    },
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LogError),
    /// A record is of no known kind.
    #[error("record {sequence} of the ledger: {why}; use the program that wrote it")]
    Record {
        /// The record.
        sequence: u64,
        /// Why it cannot be read.
        why: String,
    },
    /// The checkpoint cannot even be begun.
    #[error("cannot write the checkpoint: {0}")]
    Checkpoint(String),
    /// The key of revisions cannot be had.
    #[error("cannot use `revision.key` in the data directory: {0}")]
    Key(std::io::Error),
}

/// What was written, by what it is known, and what became of it.
#[derive(Clone, Debug)]
pub struct Written {
    /// The revision that has it.
    pub revision: Revision,
    /// Its sequence.
    pub sequence: u64,
    /// What became of it.
    pub outcome: Outcome,
}

type Recent = Mutex<VecDeque<(u64, [u8; 8])>>;

impl Store {
    /// Opens the store of a data directory: checks the ledger, reads the checkpoint, replays what it
    /// lacks. It blocks, for as long as `progress` is told of progress.
    ///
    /// # Errors
    /// [`StoreError`]: a store that is not whole is not opened.
    pub fn open(
        options: StoreOptions,
        mut progress: impl FnMut(Progress),
    ) -> Result<(Self, StoreTasks), StoreError> {
        let StoreOptions {
            data,
            disk,
            log,
            checkpoint,
        } = options;
        let dir = data.join(DIR);
        let Opened { log, recovery } = Log::open(Arc::clone(&disk), &dir, log)?;
        let key = Arc::new(RevisionKey::open(&data).map_err(StoreError::Key)?);
        if let Some(cut) = recovery.cut {
            progress(Progress::Cut(cut));
        }
        let opened = match checkpoint {
            true => Some(open_checkpoint(&disk, &data, &dir, recovery.first)?),
            false => None,
        };
        let (checkpoint, task, loaded) = match opened {
            Some(it) => (Some(it.checkpoint), Some(it.task), it.version),
            None => (None, None, None),
        };
        let is_loaded = loaded.is_some();
        let (mut version, reader) = match loaded {
            Some(version) => {
                let entities = version.entities();
                progress(Progress::Loaded { entities });
                let reader = Reader::after(Arc::clone(&disk), &dir, version.chain.sequence)?;
                (version, reader)
            }
            None => {
                if log.chain().sequence > 0 {
                    progress(Progress::Rebuilding);
                }
                rebuild(&disk, &dir)?
            }
        };
        let mut deltas = is_loaded.then(Vec::new);
        replay(
            &mut version,
            reader,
            log.chain(),
            deltas.as_mut(),
            &mut progress,
        )?;
        if version.epochs.last() != Some(&log.epoch()) {
            let known = version.epochs.iter().copied();
            version.epochs = known.chain([log.epoch()]).collect();
        }
        version.revision = key.make(log.epoch(), log.chain());
        let version = Arc::new(version);
        let (publish, reached) = watch::channel(version.chain.sequence);
        let current = Arc::new(ArcSwap::from(Arc::clone(&version)));
        let recent: Arc<Recent> = Arc::default();
        let applier = Applier {
            current: Arc::clone(&current),
            reached: publish,
            recent: Arc::clone(&recent),
            key: Arc::clone(&key),
            checkpoint,
            behind: match deltas {
                Some(deltas) => Behind::By(version, deltas),
                None => Behind::All(version),
            },
        };
        let (appender, writer) = log.start(applier);
        let store = Self {
            current,
            reached,
            recent,
            key,
            appender,
            disk,
            dir,
            compacted: AtomicUsize::new(0),
        };
        let tasks = StoreTasks {
            writer,
            checkpoint: task,
        };
        Ok((store, tasks))
    }

    /// What is stored as of now, for one request to hold on to.
    pub fn pin(&self) -> Arc<Version> {
        self.current.load_full()
    }

    /// Writes a record; when this returns it is durable, and every request that is asked from now on
    /// sees it.
    ///
    /// # Errors
    /// [`NotAppended`].
    pub async fn write(&self, record: &LedgerRecord) -> Result<Written, NotAppended> {
        let payload = record.encode().map_err(NotAppended::Disk)?;
        let receipt = self.appender.append(payload).await?;
        let Appended {
            chain,
            epoch,
            outcome,
        } = receipt.durable().await?;
        Ok(Written {
            revision: self.key.make(epoch, chain),
            sequence: chain.sequence,
            outcome,
        })
    }

    /// Where a revision stands to what is stored, after waiting at most `patience` for it to come.
    pub async fn reach(&self, revision: &str, patience: Duration) -> Reach {
        let mut reached = self.reached.clone();
        let wait = async {
            loop {
                match self.stands(revision) {
                    Reach::Later => {}
                    reach => return reach,
                }
                if reached.changed().await.is_err() {
                    return Reach::Later;
                }
            }
        };
        let waited = tokio::time::timeout(patience, wait).await;
        waited.unwrap_or(Reach::Later)
    }

    /// Where a revision stands to what is stored now.
    pub fn stands(&self, revision: &str) -> Reach {
        match self.key.reach(revision, &self.pin()) {
            Reach::Reached if self.is_other(revision) => Reach::Lost,
            reach => reach,
        }
    }

    /// Whether the record of a revision's sequence is known to be another one.
    fn is_other(&self, revision: &str) -> bool {
        let Some((sequence, hash)) = self.key.record(revision) else {
            return true;
        };
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent
            .iter()
            .any(|(n, known)| *n == sequence && *known != hash)
    }

    /// Until when a revocation of tokens issued up to `last` is kept, if they live `longest`.
    pub fn kept_until(last: Timestamp, longest: SignedDuration) -> Timestamp {
        revocations::kept_until(last, longest)
    }

    /// Whether so much has changed since that the ledger should be compacted.
    pub fn wants_compaction(&self) -> bool {
        let version = self.pin();
        let compacted = self.compacted.load(Ordering::Relaxed);
        version.since_snapshot.saturating_sub(compacted) >= WORTH.max(version.entities())
    }

    /// Writes everything as a snapshot of the ledger and removes the segments that it stands for. It
    /// blocks.
    ///
    /// # Errors
    /// [`LogError`]; a snapshot that cannot be finished changes nothing.
    pub fn compact(&self) -> Result<(), LogError> {
        let version = self.pin();
        let epoch = version.epochs.last().copied().unwrap_or_default();
        let disk = Arc::clone(&self.disk);
        let mut snapshot = SnapshotWriter::begin(disk, &self.dir, version.chain, epoch)?;
        state::write(&version, |part| snapshot.add(part))?;
        snapshot.finish()?;
        self.compacted
            .store(version.since_snapshot, Ordering::Relaxed);
        Ok(())
    }

    /// Asks for a new segment, so that a snapshot can stand for those before it.
    pub async fn rotate(&self) {
        self.appender.rotate().await;
    }

    /// Ends the writer after what is queued.
    pub async fn end(&self) {
        self.appender.end().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("version", &self.pin())
            .finish_non_exhaustive()
    }
}

fn open_checkpoint(
    disk: &Arc<dyn Disk>,
    data: &Path,
    dir: &Path,
    first: u64,
) -> Result<checkpoint::Opened, StoreError> {
    let fits = |version: &Version| {
        let chain = version.chain;
        let reader = Reader::after(Arc::clone(disk), dir, chain.sequence);
        let is_here = reader.is_ok_and(|reader| {
            reader.chain() == chain && reader.epoch().as_ref() == version.epochs.last()
        });
        chain.sequence + 1 >= first && is_here
    };
    checkpoint::open(data, fits).map_err(StoreError::Checkpoint)
}

/// A version from the newest snapshot of the ledger, and the reader of what comes after it.
fn rebuild(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(Version, Reader), StoreError> {
    let mut version = Version::default();
    let mut unknown = None;
    let mut each = |chain: Chain, _, part: &[u8]| {
        if let Err(why) = state::read(&mut version, chain, part) {
            unknown.get_or_insert((chain.sequence, why));
        }
        Ok(())
    };
    let reader = Reader::from_snapshot(Arc::clone(disk), dir, &mut each)?;
    match unknown {
        Some((sequence, why)) => Err(StoreError::Record { sequence, why }),
        None => Ok((version, reader)),
    }
}

fn replay(
    version: &mut Version,
    mut reader: Reader,
    end: Chain,
    mut deltas: Option<&mut Vec<Delta>>,
    progress: &mut impl FnMut(Progress),
) -> Result<(), StoreError> {
    let mut unheeded = Vec::new();
    while let Some(entry) = reader.next()? {
        let sequence = entry.sequence;
        let applied = match &mut deltas {
            Some(deltas) => version.apply(&entry, deltas),
            None => version.apply(&entry, &mut unheeded),
        };
        unheeded.clear();
        applied.map_err(|why| StoreError::Record { sequence, why })?;
        if sequence.is_multiple_of(STEP) || sequence == end.sequence {
            progress(Progress::Replayed {
                sequence,
                last: end.sequence,
                entities: version.entities(),
            });
        }
    }
    Ok(())
}

/// Makes versions of records, on the writer's thread.
pub struct Applier {
    current: Arc<ArcSwap<Version>>,
    reached: watch::Sender<u64>,
    recent: Arc<Recent>,
    key: Arc<RevisionKey>,
    checkpoint: Option<Checkpoint>,
    behind: Behind,
}

/// What the checkpoint was not told yet of the start.
enum Behind {
    No,
    By(Arc<Version>, Vec<Delta>),
    All(Arc<Version>),
}

impl Applier {
    fn catch_up(&mut self) {
        let Some(checkpoint) = &self.checkpoint else {
            return;
        };
        match std::mem::replace(&mut self.behind, Behind::No) {
            Behind::No => {}
            Behind::By(version, deltas) => checkpoint.changes(version, deltas),
            Behind::All(version) => checkpoint.all(version),
        }
    }
}

impl Apply for Applier {
    type Outcome = Outcome;

    fn begin(&mut self) {
        self.catch_up();
    }

    fn apply(&mut self, records: &[Entry]) -> Vec<Outcome> {
        let mut version = Version::clone(&self.current.load());
        let mut deltas = Vec::new();
        let mut outcomes = Vec::with_capacity(records.len());
        for entry in records {
            // This program wrote it a moment ago.
            let applied = version.apply(entry, &mut deltas);
            outcomes.push(applied.unwrap_or(Outcome::Nothing));
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in records {
            let hash = entry.hash.first_chunk().copied().unwrap_or_default();
            recent.push_back((entry.sequence, hash));
        }
        while recent.len() > RECENT {
            recent.pop_front();
        }
        drop(recent);
        let Some(last) = records.last() else {
            return outcomes;
        };
        version.revision = self.key.make(last.epoch, version.chain);
        let version = Arc::new(version);
        self.current.store(Arc::clone(&version));
        self.reached.send_replace(version.chain.sequence);
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.changes(version, deltas);
        }
        outcomes
    }
}

impl fmt::Debug for Applier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Applier")
    }
}

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
    applier::{Applier, Behind},
    apply::{Delta, Outcome},
    checkpoint::{self, CheckpointTask},
    health::{Health, Part},
    revision::{Reach, RevisionKey},
    revocations, state,
    version::Version,
};
use crate::{
    ledger::{
        Appended, Appender, Chain, Cut, Disk, Log, LogError, LogOptions, NotAppended, Opened,
        Reader, RealDisk, SnapshotWriter, Writer, record::LedgerRecord,
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
pub(super) const RECENT: usize = 4_096;

/// What is stored, as of now.
pub struct Store {
    current: Arc<ArcSwap<Version>>,
    reached: watch::Receiver<u64>,
    recent: Arc<Recent>,
    key: Arc<RevisionKey>,
    appender: Appender<Outcome>,
    health: Arc<Health>,
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
    /// How the ledger is checked while the checkpoint is read.
    pub both: Both,
}

/// Does two pieces of work; a server does them at the same time.
pub type Both = fn(&mut (dyn FnMut() + Send), &mut (dyn FnMut() + Send));

impl StoreOptions {
    /// As a server has it.
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            disk: Arc::new(RealDisk),
            log: LogOptions::default(),
            checkpoint: true,
            both: |one, other| {
                one();
                other();
            },
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

pub(super) type Recent = Mutex<VecDeque<(u64, [u8; 8])>>;

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
            both,
        } = options;
        let dir = data.join(DIR);
        // Nobody else has the ledger from here on, so nobody else has the checkpoint.
        let mut held = Some(Log::hold(Arc::clone(&disk), &dir)?);
        let (mut opened, mut found) = (None, None);
        both(
            &mut || opened = held.take().map(|held| held.open(log)),
            &mut || found = checkpoint.then(|| checkpoint::read(&data, both)),
        );
        let late = || Log::open(Arc::clone(&disk), &dir, log);
        let Opened { log, recovery } = opened.unwrap_or_else(late)?;
        let key = Arc::new(RevisionKey::open(&data).map_err(StoreError::Key)?);
        let health = Arc::new(Health::default());
        if let Some(cut) = recovery.cut {
            progress(Progress::Cut(cut));
        }
        let opened = found.map(|found| {
            let fits = |version: &Version| is_of_ledger(&disk, &dir, recovery.first, version);
            let opened = found.open(fits, Arc::clone(&health));
            opened.map_err(StoreError::Checkpoint)
        });
        let (checkpoint, task, loaded) = match opened.transpose()? {
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
            health: Arc::clone(&health),
        };
        let (appender, writer) = log.start(applier);
        let store = Self {
            current,
            reached,
            recent,
            key,
            appender,
            health,
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
        self.compact_to(None)
    }

    /// The same, but what was stored at any moment from `since` on can still be told.
    ///
    /// # Errors
    /// As of [`Self::compact`].
    pub fn compact_and_keep(&self, since: Timestamp) -> Result<(), LogError> {
        self.compact_to(Some(since))
    }

    fn compact_to(&self, since: Option<Timestamp>) -> Result<(), LogError> {
        let compacted = self.try_compact(since);
        let trouble = compacted.as_ref().err().map(ToString::to_string);
        self.health.set(Part::Compaction, trouble);
        compacted
    }

    fn try_compact(&self, since: Option<Timestamp>) -> Result<(), LogError> {
        let version = self.pin();
        let epoch = version.epochs.last().copied().unwrap_or_default();
        let disk = Arc::clone(&self.disk);
        let mut snapshot = SnapshotWriter::begin(disk, &self.dir, version.chain, epoch)?;
        state::write(&version, |part| snapshot.add(part))?;
        match since {
            None => snapshot.finish()?,
            // What cannot be read is not known to be old.
            Some(since) => snapshot.finish_and_keep(&|entry| {
                let time = LedgerRecord::decode(&entry.payload).ok();
                time.and_then(|it| it.time()).is_some_and(|at| at <= since)
            })?,
        }
        self.compacted
            .store(version.since_snapshot, Ordering::Relaxed);
        Ok(())
    }

    /// What is not as it should be, by part, in words.
    pub fn troubles(&self) -> Vec<(Part, String)> {
        self.health.troubles()
    }

    /// Asks for a new segment, so that a snapshot can stand for those before it.
    pub async fn rotate(&self) {
        self.appender.rotate().await;
    }

    /// Ends the writer after what is queued.
    pub async fn end(&self) {
        self.appender.end().await;
    }

    /// A revision that is still to come.
    #[cfg(test)]
    pub(crate) fn revision_to_come(&self) -> Revision {
        let version = self.pin();
        let chain = Chain {
            sequence: version.chain.sequence + 1_000,
            ..version.chain
        };
        let epoch = version.epochs.last().copied().unwrap_or_default();
        self.key.make(epoch, chain)
    }

    /// Writes a record as a later version of this program could, which this one cannot read.
    #[cfg(test)]
    pub(crate) async fn write_unknown(&self) -> Result<(), NotAppended> {
        let payload = br#"{"of_a_later_version":{}}"#.to_vec();
        let receipt = self.appender.append(payload).await?;
        receipt.durable().await.map(drop)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("version", &self.pin())
            .finish_non_exhaustive()
    }
}

/// Whether the ledger has the record that a version ends with.
fn is_of_ledger(disk: &Arc<dyn Disk>, dir: &Path, first: u64, version: &Version) -> bool {
    let chain = version.chain;
    let reader = Reader::after(Arc::clone(disk), dir, chain.sequence);
    let is_here = reader.is_ok_and(|reader| {
        reader.chain() == chain && reader.epoch().as_ref() == version.epochs.last()
    });
    chain.sequence + 1 >= first && is_here
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

//! What was stored as of a revision, made of the ledger anew.
//!
//! **Invariant:** writes nothing and takes no lock, so it can be done beside a running server. What
//! the server appends meanwhile is later than any revision that is asked about; what it compacts
//! away meanwhile is noticed, and looked for anew.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{open::DIR, revision::RevisionKey, state, version::Version};
use crate::{
    ledger::{Chain, Disk, LogError, Reader, RealDisk},
    model::Revision,
};

/// How often what fails is tried, since files may have been compacted away between two looks.
const TRIES: usize = 3;

/// The ledger of a data directory, to be read for what was stored at some time.
///
/// Revisions that are asked for in their order cost one reading of the ledger, all together.
pub struct Past {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    key: RevisionKey,
    /// Where the reading stands.
    at: Option<(Reader, Version)>,
}

/// Why it cannot be told what was stored as of a revision.
#[derive(Debug, thiserror::Error)]
pub enum NotPast {
    /// It was not made here.
    #[error("its revision was not given out with the `revision.key` of this data directory")]
    Unknown,
    /// The ledger no longer begins early enough.
    #[error(
        "the ledger was compacted since: record {asked} is asked for, and it has nothing older than record {begins} (`ledger.keep_age` keeps more, from when it is set)"
    )]
    Compacted {
        /// The record of the revision.
        asked: u64,
        /// The oldest record as of which it can still be told.
        begins: u64,
    },
    /// The ledger has another record in its place.
    #[error("a restore has undone record {0} of the ledger, as of which it was")]
    Undone(u64),
    /// The ledger ends before it.
    #[error(
        "the ledger ends with record {last}, and record {asked} is asked for: it is an older copy, or was restored from one"
    )]
    Short {
        /// The record of the revision.
        asked: u64,
        /// The last record there is.
        last: u64,
    },
    /// The ledger cannot be read.
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
    /// The key of revisions cannot be read.
    #[error("cannot read `revision.key` in the data directory: {0}")]
    Key(io::Error),
}

impl Past {
    /// The past of a data directory.
    ///
    /// # Errors
    /// [`NotPast::Key`].
    pub fn open(data: &Path) -> Result<Self, NotPast> {
        Self::on(Arc::new(RealDisk), data)
    }

    /// The same, the ledger being on another disk.
    pub(super) fn on(disk: Arc<dyn Disk>, data: &Path) -> Result<Self, NotPast> {
        Ok(Self {
            disk,
            dir: data.join(DIR),
            key: RevisionKey::existing(data).map_err(NotPast::Key)?,
            at: None,
        })
    }

    /// What was stored as of a revision; it blocks while the ledger is read.
    ///
    /// # Errors
    /// [`NotPast`].
    pub fn version(&mut self, revision: &str) -> Result<Version, NotPast> {
        let record = self.key.record(revision).ok_or(NotPast::Unknown)?;
        let mut found = self.read_to(record.0, &record.1);
        for _ in 1..TRIES {
            if !matches!(found, Err(NotPast::Ledger(_))) {
                break;
            }
            found = self.read_to(record.0, &record.1);
        }
        let mut version = found?;
        version.revision = Revision::new(revision);
        Ok(version)
    }

    fn read_to(&mut self, asked: u64, hash: &[u8]) -> Result<Version, NotPast> {
        // Before the first record nothing is stored, whatever became of the ledger.
        if asked == 0 {
            return Ok(Version::default());
        }
        let held = self.at.take();
        let (mut reader, mut version) = match held {
            Some((reader, version)) if version.chain.sequence <= asked => (reader, version),
            _ => self.begin(asked)?,
        };
        let mut unheeded = Vec::new();
        while version.chain.sequence < asked {
            let Some(entry) = reader.next()? else { break };
            let sequence = entry.sequence;
            let applied = version.apply(&entry, &mut unheeded);
            applied.map_err(|why| NotPast::Record { sequence, why })?;
            unheeded.clear();
        }
        let chain = version.chain;
        self.at = Some((reader, version.clone()));
        match chain.sequence {
            last if last < asked => Err(NotPast::Short { asked, last }),
            _ if !chain.hash.starts_with(hash) => Err(NotPast::Undone(asked)),
            _ => Ok(version),
        }
    }

    /// The newest snapshot that is not too late, and the reader of what comes after it.
    fn begin(&self, asked: u64) -> Result<(Reader, Version), NotPast> {
        let mut version = Version::default();
        let mut unknown = None;
        let mut each = |chain: Chain, _, part: &[u8]| {
            if let Err(why) = state::read(&mut version, chain, part) {
                unknown.get_or_insert((chain.sequence, why));
            }
            Ok(())
        };
        let disk = Arc::clone(&self.disk);
        let reader = Reader::from_snapshot_by(disk, &self.dir, asked, &mut each)?;
        if let Some((sequence, why)) = unknown {
            return Err(NotPast::Record { sequence, why });
        }
        if reader.chain() == version.chain {
            return Ok((reader, version));
        }
        let begins = reader.snapshot_after(asked)?;
        Err(NotPast::Compacted { asked, begins })
    }
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past").finish_non_exhaustive()
    }
}

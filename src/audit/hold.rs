//! Holds: what must be kept, whatever its age and size, until someone says otherwise.
//!
//! They stand in a file beside the log, which is read anew before anything is removed, so that a hold
//! counts at once and needs no server. Where it cannot be read, nothing is removed.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    decode::{Passed, told},
    files::{AuditFiles, Segment, write_whole},
    terms::span,
};
use crate::{
    ledger::{HEADER, read_frame},
    model::{DecisionId, Timestamp},
};

const FILE: &str = "holds.json";
/// Held while holds are changed, and while segments are removed by them.
const LOCK: &str = "holds.lock";
/// How long a record may wait for the segment that it is written to.
const LATE: Duration = Duration::from_secs(120);
/// Enough bytes for the first entry of a segment.
const FIRST: u64 = 64 * 1024;

/// Records that must be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// By which it is known.
    pub name: String,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The decision whose record is kept; `None`: all of a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// Records from this time on; `None`: from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Records before this time; `None`: and all that will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The holds of a log.
///
/// # Errors
/// When they are there and cannot be read.
pub fn holds(files: &AuditFiles) -> io::Result<Vec<Hold>> {
    match fs::read(files.dir().join(FILE)) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(why) => Err(why),
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, format!("`{FILE}`: {why}"))),
    }
}

/// Changes the holds of a log; durable when it returns.
///
/// # Errors
/// When they cannot be read or written, and what `change` says.
pub fn change_holds<T>(
    files: &AuditFiles,
    change: impl FnOnce(&mut Vec<Hold>) -> io::Result<T>,
) -> io::Result<T> {
    let _locked = lock(files.dir())?;
    let mut all = holds(files)?;
    let done = change(&mut all)?;
    let text = serde_json::to_vec_pretty(&all).map_err(io::Error::other)?;
    write_whole(&files.dir().join(FILE), &text)?;
    File::open(files.dir())?.sync_all()?;
    Ok(done)
}

/// How many segments a hold keeps now.
///
/// # Errors
/// When the log cannot be read.
pub fn kept_by(files: &AuditFiles, hold: &Hold) -> io::Result<usize> {
    let segments = files.segments()?;
    let held = Held(vec![hold.clone()]);
    let kept = (0..segments.len()).filter(|n| held.keeps(&segments, *n));
    Ok(kept.count())
}

/// Keeps others from changing holds until it is dropped.
pub(super) fn lock(dir: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(dir.join(LOCK))?;
    file.lock()?;
    Ok(file)
}

/// What segments are held by.
pub(super) struct Held(Vec<Hold>);

impl Held {
    /// The holds of a log as they are now.
    pub(super) fn now(files: &AuditFiles) -> io::Result<Self> {
        holds(files).map(Self)
    }

    /// Whether some hold refers to a segment. One of which the time cannot be told is held by any.
    pub(super) fn keeps(&self, segments: &[Segment], n: usize) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let begun = |n: usize| segments.get(n).and_then(|it| time_of_first(it).ok());
        let Some(first) = begun(n) else {
            return true;
        };
        let ended = begun(n + 1);
        let first = first.checked_sub(LATE).unwrap_or(Timestamp::MIN);
        self.0.iter().any(|hold| {
            let (since, until) = match &hold.decision {
                Some(id) => (Some(id.time()), Some(id.time())),
                None => (hold.since, hold.until),
            };
            let is_before = until.is_some_and(|until| until < first);
            let is_behind = match (since, ended) {
                (Some(since), Some(ended)) => since > ended,
                _ => false,
            };
            !is_before && !is_behind
        })
    }
}

/// The time of a segment's first entry, which says that it began.
fn time_of_first(segment: &Segment) -> io::Result<Timestamp> {
    let mut file = File::open(&segment.path)?;
    let mut header = [0; HEADER];
    file.read_exact(&mut header)?;
    let mut bytes = Vec::new();
    match segment.sealed {
        false => file.take(FIRST).read_to_end(&mut bytes)?,
        true => zstd::stream::read::Decoder::new(file)?
            .take(FIRST)
            .read_to_end(&mut bytes)?,
    };
    let whole = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let frame = read_frame(&bytes).map_err(|why| whole(format!("{why:?}")))?;
    let entry = told(&frame, &Passed::default()).map_err(whole)?;
    Ok(span(&entry).0)
}

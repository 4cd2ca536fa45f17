//! Whether the log is the one that was written: all of it, unchanged, in its order.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    blocks::Block,
    files::{AuditFiles, Records},
    format::{Checkpoint, Entry, Ref},
    keys::is_signed,
};
use crate::ledger::{Chain, Frame, LogError, NoFrame, frame_size, read_frame};

/// A log that is whole.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Segments.
    pub segments: usize,
    /// The first record that is there.
    pub first: u64,
    /// The last.
    pub last: Chain,
    /// Bytes of records.
    pub bytes: u64,
    /// Signatures that hold.
    pub checkpoints: u64,
    /// The last record that is signed.
    pub signed: u64,
    /// The keys that signed, in hexadecimal.
    pub keys: BTreeSet<String>,
    /// Facts that were erased.
    pub erased: u64,
    /// Records that the log itself says are missing, as counted in gaps.
    pub lost: u64,
    /// Bytes of half a write at the end, which no answer stood on.
    pub torn: u64,
    /// The process that wrote it ended in order.
    pub closed: bool,
}

/// The first thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub path: PathBuf,
    /// The record.
    pub record: u64,
    /// Where in its segment's records, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            record,
            offset,
            what,
        } = self;
        write!(
            f,
            "record {record} in `{}` at byte {offset}: {what}",
            path.display()
        )
    }
}

impl std::error::Error for Broken {}

/// Reads all of the log and checks it. `key` is the node's public key where it is known from
/// elsewhere; `anchor` a record and its hash that were noted before.
///
/// # Errors
/// The first thing that is [`Broken`].
pub fn verify(
    files: &AuditFiles,
    key: Option<[u8; 32]>,
    anchor: Option<(u64, [u8; 32])>,
) -> Result<Verified, Broken> {
    // Before anything is read, since the log may grow meanwhile.
    let durable = files.written();
    let mut walk = Walk {
        key,
        anchor,
        durable,
        ..Walk::default()
    };
    let in_dir = |what: String| Broken {
        path: files.dir().to_owned(),
        record: 0,
        offset: 0,
        what,
    };
    let segments = files
        .segments()
        .map_err(|why| in_dir(format!("cannot be read: {why}")))?;
    for (n, segment) in segments.iter().enumerate() {
        let records = segment
            .load()
            .map_err(|why| walk.unreadable(&segment.path, &why))?;
        walk.segment(&records, n + 1 == segments.len())?;
    }
    let end = segments.last().map(|it| it.path.clone());
    let broken = |record: u64, what: String| Broken {
        path: end.clone().unwrap_or_else(|| files.dir().to_owned()),
        record,
        offset: walk.found.bytes,
        what,
    };
    let last = walk.found.last.sequence;
    if durable > last {
        let what =
            format!("the log ends here, but {durable} records were durable: its tail is cut off");
        return Err(broken(last + 1, what));
    }
    if let Some((sequence, _)) = walk.anchor.filter(|(sequence, _)| *sequence > last) {
        let what = "it was there when it was noted, and is missing: the tail is cut off";
        return Err(broken(sequence, what.to_owned()));
    }
    if walk.found.first > 1
        && walk
            .removed
            .is_none_or(|removed| removed + 1 < walk.found.first)
    {
        let path = segments
            .first()
            .map(|it| it.path.clone())
            .unwrap_or_default();
        return Err(Broken {
            path,
            record: 1,
            offset: 0,
            what: format!(
                "records 1 to {} are missing, and the log does not say that they were removed",
                walk.found.first - 1
            ),
        });
    }
    Ok(walk.found)
}

#[derive(Default)]
struct Walk {
    key: Option<[u8; 32]>,
    anchor: Option<(u64, [u8; 32])>,
    durable: u64,
    /// The key that the log says signs it.
    named: Option<[u8; 32]>,
    /// Up to where the log says that it was removed.
    removed: Option<u64>,
    /// Commitments of the open segment, by record.
    commitments: std::collections::HashMap<(u64, u8), [u8; 32]>,
    found: Verified,
}

impl Walk {
    fn unreadable(&self, path: &Path, why: &LogError) -> Broken {
        Broken {
            path: path.to_owned(),
            record: self.found.last.sequence + 1,
            offset: 0,
            what: why.to_string(),
        }
    }

    fn segment(&mut self, records: &Records, is_last: bool) -> Result<(), Broken> {
        let before = records.before;
        let expected = self.found.last;
        let broken = |record: u64, offset: usize, what: String| Broken {
            path: records.path.clone(),
            record,
            offset: u64::try_from(offset).unwrap_or(u64::MAX),
            what,
        };
        if self.found.segments == 0 {
            self.found.first = before.sequence + 1;
        } else if before.sequence > expected.sequence {
            let (from, to) = (expected.sequence + 1, before.sequence);
            let what = format!("records {from} to {to} are missing before this segment");
            return Err(broken(from, 0, what));
        } else if before != expected {
            let what = "the segment does not go on from the one before".to_owned();
            return Err(broken(expected.sequence + 1, 0, what));
        }
        self.found.segments += 1;
        self.found.last = before;
        self.commitments.clear();
        let mut offset = 0;
        while offset < records.bytes.len() {
            let rest = records.bytes.get(offset..).unwrap_or_default();
            let next = self.found.last.sequence + 1;
            let frame = match read_frame(rest) {
                Ok(frame) => frame,
                Err(_) if is_last && self.may_be_torn(rest, next) => {
                    self.found.torn = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                    break;
                }
                Err(NoFrame::Short(_)) => {
                    return Err(broken(next, offset, "it is cut off".to_owned()));
                }
                Err(NoFrame::Damaged(why)) => {
                    return Err(broken(next, offset, format!("it is damaged: {why}")));
                }
            };
            if let Err(why) = frame.follows(&self.found.last) {
                let what = misplaced(&frame, next, rest).unwrap_or(why);
                return Err(broken(next, offset, what));
            }
            self.entry(&frame)
                .map_err(|what| broken(next, offset, what))?;
            offset += frame.size();
            self.found.bytes += u64::try_from(frame.size()).unwrap_or(u64::MAX);
            self.found.last = Chain {
                sequence: frame.sequence,
                hash: frame.hash,
            };
            if self
                .anchor
                .is_some_and(|(at, hash)| at == frame.sequence && hash != frame.hash)
            {
                let what = "it is not the one that was noted: the log was rewritten".to_owned();
                return Err(broken(next, offset, what));
            }
        }
        Ok(())
    }

    /// Whether what is no record at the end may be half a write, of which nobody was told.
    fn may_be_torn(&self, rest: &[u8], next: u64) -> bool {
        if self.durable >= next {
            return false;
        }
        // A whole record behind it that calls it durable says that it was.
        let later = |at: usize| {
            let frame = read_frame(rest.get(at..).unwrap_or_default());
            frame.is_ok_and(|frame| frame.sequence > next && frame.durable > next)
        };
        match frame_size(rest) {
            Ok(size) if size < rest.len() => !(1..rest.len()).any(later),
            _ => true,
        }
    }

    fn entry(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        let entry = Entry::decode(frame.payload).map_err(|why| why.to_string())?;
        self.found.closed = false;
        let mut own: Vec<Option<Ref>> = Vec::new();
        match entry {
            Entry::Start(start) => {
                self.named = Some(start.key);
            }
            Entry::Decision(_, line) => own = vec![line.subject, line.asked, line.words],
            Entry::Repeated(it) => own = vec![Some(it.subject)],
            Entry::Gap(gap) => self.found.lost += gap.lost,
            Entry::Checkpoint(checkpoint) => self.checkpoint(&checkpoint)?,
            Entry::Pruned(pruned) => self.removed = self.removed.max(Some(pruned.sequence)),
            Entry::Refusals(_) => {}
        }
        let blocks: Vec<Block<'_>> = Block::all(frame.loose).collect();
        for at in own.into_iter().flatten() {
            let there = frame.sequence.saturating_sub(at.back);
            let key = (there, at.slot);
            match at.back {
                0 => {
                    let block = blocks
                        .get(usize::from(at.slot))
                        .ok_or("its facts are missing")?;
                    if block.is_erased() {
                        self.found.erased += 1;
                    } else if !block.is(&at.commitment) {
                        return Err("its facts are not those that were written".to_owned());
                    }
                    self.commitments.insert(key, at.commitment);
                }
                _ if self.commitments.get(&key) == Some(&at.commitment) => {}
                _ => return Err("the facts that it refers to are not there".to_owned()),
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), String> {
        let last = self.found.last;
        if (checkpoint.sequence, checkpoint.hash) != (last.sequence, last.hash) {
            return Err("the signature is of another log".to_owned());
        }
        let key = match (self.key, self.named) {
            (Some(key), _) | (None, Some(key)) => key,
            (None, None) => return Err("nothing says by which key it is signed".to_owned()),
        };
        if !is_signed(&key, &checkpoint.message(), &checkpoint.signature) {
            return Err("the signature does not hold".to_owned());
        }
        self.found
            .keys
            .insert(key.iter().map(|byte| format!("{byte:02x}")).collect());
        self.found.checkpoints += 1;
        self.found.signed = checkpoint.sequence;
        self.found.closed = checkpoint.closing;
        Ok(())
    }
}

/// What it means that `frame` stands where `next` should, by what else is in `rest`.
fn misplaced(frame: &Frame<'_>, next: u64, rest: &[u8]) -> Option<String> {
    if frame.sequence == next {
        return Some(
            "it or the one before was changed: it does not follow from that one".to_owned(),
        );
    }
    let mut at = 0;
    while let Ok(later) = read_frame(rest.get(at..)?) {
        if later.sequence == next {
            let stands = frame.sequence;
            return Some(format!(
                "records were reordered: record {stands} stands in its place"
            ));
        }
        at += later.size();
    }
    let missing = frame.sequence.checked_sub(1)?;
    (missing >= next).then(|| format!("records {next} to {missing} are missing"))
}

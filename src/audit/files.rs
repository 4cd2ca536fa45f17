//! The log's files, as readers see them: open segments, and those that were put away. Writes whole ones.
//!
//! A segment that was put away is the header and then frames of zstd, each of whole records; an index
//! beside it says where they begin, and a summary what they can be found by. Both speed up looking
//! and prove nothing.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::{
    format::{ID_AT, KIND_AT, id_in},
    parts::Chunk,
    terms::Summary,
};
use crate::ledger::{
    Chain, Frame, HEADER, LogError, NoFrame, chain_before, frame_size, read_frame,
};

/// The ending of segments that are written to, or were until just now.
pub(super) const OPEN: &str = "seg";
/// The ending of segments that were put away.
pub(super) const SEALED: &str = "segz";
/// The ending of their indexes.
pub(super) const INDEX: &str = "idx";
/// The ending of their summaries.
pub(super) const SUMMARY: &str = "sum";
/// The form of summaries; those of another are not used.
pub(super) const SUMMARY_FORM: u8 = 1;
/// Bytes of records in one frame of zstd.
pub(super) const CHUNK: usize = 1024 * 1024;

/// The log in one folder.
#[derive(Clone, Debug)]
pub struct AuditFiles {
    dir: PathBuf,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) sealed: bool,
}

/// The records of a segment, in memory.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) path: PathBuf,
    pub(super) before: Chain,
    /// From the first record on.
    pub(super) bytes: Vec<u8>,
}

impl AuditFiles {
    /// The log in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its segments, in their order. One that is just being put away is there once.
    pub(super) fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut found: Vec<Segment> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let ending = path.extension().and_then(|it| it.to_str());
            let sealed = match ending {
                Some(SEALED) => true,
                Some(OPEN) => false,
                _ => continue,
            };
            let first = path.file_stem().and_then(|it| it.to_str()?.parse().ok());
            if let Some(first) = first {
                found.push(Segment {
                    first,
                    path,
                    sealed,
                });
            }
        }
        found.sort_by_key(|it| (it.first, !it.sealed));
        found.dedup_by_key(|it| it.first);
        Ok(found)
    }

    /// The sequence up to which the log was durable when its writer last noted it.
    pub fn written(&self) -> u64 {
        // The note of the ledger: a sequence, a hash, and the CRC-32 of both. Its writer may be
        // writing it just now.
        let noted = || {
            let note = fs::read(self.dir.join("head")).ok()?;
            let (covered, checksum) = note.split_last_chunk::<4>()?;
            let sequence = covered.first_chunk()?;
            let is_whole = crc32fast::hash(covered) == u32::from_le_bytes(*checksum);
            is_whole.then(|| u64::from_le_bytes(*sequence))
        };
        (0..3).find_map(|_| noted()).unwrap_or(0)
    }
}

impl Segment {
    /// All of its records.
    pub(super) fn load(&self) -> Result<Records, LogError> {
        let failed = |source| LogError::Io {
            doing: "read",
            path: self.path.clone(),
            source,
        };
        let (header, rest) = match self.read() {
            // It was put away since it was found.
            Err(why) if why.kind() == io::ErrorKind::NotFound && !self.sealed => {
                return self.put_away().load();
            }
            read => read.map_err(failed)?,
        };
        let before = chain_before(&self.path, &header)?;
        let bytes = match self.sealed {
            false => rest,
            true => {
                let mut plain = Vec::with_capacity(rest.len() * 3);
                let mut decoder = zstd::stream::read::Decoder::new(&*rest).map_err(failed)?;
                decoder.read_to_end(&mut plain).map_err(failed)?;
                plain
            }
        };
        Ok(Records {
            path: self.path.clone(),
            before,
            bytes,
        })
    }

    /// Its header, as far as it is there, and what comes after it.
    fn read(&self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut file = fs::File::open(&self.path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        let (mut header, mut rest) = (Vec::new(), Vec::with_capacity(len));
        let of_header = u64::try_from(HEADER).unwrap_or(u64::MAX);
        (&mut file).take(of_header).read_to_end(&mut header)?;
        file.read_to_end(&mut rest)?;
        Ok((header, rest))
    }

    /// Where its records stand, by its index; `None` without one.
    pub(super) fn chunks(&self) -> Option<Vec<Chunk>> {
        let index = fs::read(self.path.with_extension(INDEX)).ok()?;
        self.sealed.then(|| postcard::from_bytes(&index).ok())?
    }

    /// What each of its chunks can be found by; `None` without a summary of it.
    pub(super) fn summaries(&self) -> Option<Vec<Summary>> {
        let bytes = fs::read(self.path.with_extension(SUMMARY)).ok()?;
        let (form, bytes) = bytes.split_first()?;
        (*form == SUMMARY_FORM).then(|| postcard::from_bytes(bytes).ok())?
    }

    /// As it is once it was put away.
    pub(super) fn put_away(&self) -> Self {
        Self {
            path: self.path.with_extension(SEALED),
            sealed: true,
            ..self.clone()
        }
    }
}

impl Records {
    /// The record at `offset`, fully checked.
    pub(super) fn frame(&self, offset: usize) -> Result<Frame<'_>, NoFrame> {
        read_frame(self.bytes.get(offset..).unwrap_or_default())
    }

    /// Every record by its own word, without a check: the offset, and the bytes.
    pub(super) fn hop(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            let rest = self.bytes.get(offset..)?;
            let bytes = rest.get(..frame_size(rest).ok()?)?;
            let at = offset;
            offset += bytes.len();
            Some((at, bytes))
        })
    }

    /// Where the record of that number should stand.
    pub(super) fn find(&self, sequence: u64) -> Option<Frame<'_>> {
        let (offset, _) = self
            .hop()
            .find(|(_, bytes)| claimed(bytes) == Some(sequence))?;
        self.frame(offset).ok()
    }

    /// The record of a decision.
    pub(super) fn find_id(&self, id: &[u8; 16]) -> Option<Frame<'_>> {
        let mut found = self.hop().filter(|(_, bytes)| id_of(bytes) == Some(*id));
        let (offset, _) = found.next()?;
        self.frame(offset).ok()
    }
}

/// Where a record has its sequence.
const SEQUENCE_AT: usize = 8;
/// Where a record has its payload.
const PAYLOAD_AT: usize = 60;
/// Bytes of a record by which it is found.
pub(super) const HEAD: usize = PAYLOAD_AT + ID_AT + 16;

pub(super) fn claimed(record: &[u8]) -> Option<u64> {
    let field = record.get(SEQUENCE_AT..)?.first_chunk()?;
    Some(u64::from_le_bytes(*field))
}

pub(super) fn id_of(record: &[u8]) -> Option<[u8; 16]> {
    id_in(record.get(PAYLOAD_AT..)?)
}

/// Which kind of entry a record says it has.
pub(super) fn kind_of(record: &[u8]) -> Option<u8> {
    record.get(PAYLOAD_AT + KIND_AT).copied()
}

/// Writes aside and renames: half a key, or half an index, must never be taken for one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut side = path.as_os_str().to_owned();
    side.push(".aside");
    let side = PathBuf::from(side);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&side)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&side, path)
}

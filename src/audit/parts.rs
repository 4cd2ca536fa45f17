//! A segment in parts, so that nobody who looks for a little reads all of it.
//!
//! Where the parts of one that was put away are is said by its index. Of any other one it is found by
//! the heads of its records, which are read and held a little at a time.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    files::{CHUNK, HEAD, Records, Segment, claimed, id_of},
    terms::{Field, Summary},
};
use crate::{
    ledger::{Chain, HEADER, LogError, frame_size},
    model::Timestamp,
};

/// Where in a segment records stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// In the file.
    pub(super) at: Range<u64>,
    /// The first record.
    pub(super) first: u64,
    /// The least and the greatest decision id, if it has any.
    pub(super) ids: Option<([u8; 16], [u8; 16])>,
}

/// A segment that is open to be read in parts.
#[derive(Debug)]
pub(super) struct Parts {
    path: PathBuf,
    source: Source,
    chunks: Vec<Chunk>,
    summaries: Option<Vec<Summary>>,
}

#[derive(Debug)]
enum Source {
    /// Each chunk is a frame of zstd.
    Packed(File),
    /// Records as they were written. It can be read even after it was put away.
    Open(File),
    /// Records of a segment that has no index, unpacked, each behind where a header would be.
    Plain(Vec<u8>),
}

impl Chunk {
    /// Takes in one more record, which begins `record`.
    pub(super) fn add(&mut self, record: &[u8]) {
        if self.first == 0 {
            self.first = claimed(record).unwrap_or_default();
        }
        if let Some(id) = id_of(record) {
            let (least, most) = self.ids.unwrap_or((id, id));
            self.ids = Some((least.min(id), most.max(id)));
        }
    }

    /// Whether a decision may be in it.
    pub(super) fn may_have(&self, id: &[u8; 16]) -> bool {
        let within = |(least, most): ([u8; 16], [u8; 16])| least <= *id && *id <= most;
        self.ids.is_some_and(within)
    }
}

impl Parts {
    /// Opens a segment, which may be put away meanwhile.
    pub(super) fn open(segment: &Segment) -> Result<Self, LogError> {
        let failed = |path: &Path, source| LogError::io("read", path)(source);
        let (source, indexed) = match File::open(&segment.path) {
            Ok(file) if segment.sealed => match segment.chunks() {
                Some(chunks) => (Source::Packed(file), Some(chunks)),
                None => (Source::Plain(segment.load()?.bytes), None),
            },
            Ok(file) => (Source::Open(file), None),
            Err(why) if why.kind() == io::ErrorKind::NotFound && !segment.sealed => {
                return Self::open(&segment.put_away());
            }
            Err(why) => return Err(failed(&segment.path, why)),
        };
        let surveyed = || survey(&source).map_err(|why| failed(&segment.path, why));
        let chunks = indexed.map_or_else(surveyed, Ok)?;
        Ok(Self {
            path: segment.path.clone(),
            source,
            chunks,
            summaries: None,
        })
    }

    /// Opens a segment with what its chunks can be found by, where that was summed up.
    pub(super) fn summed_up(segment: &Segment) -> Result<Self, LogError> {
        let mut parts = Self::open(segment)?;
        let summaries = segment.sealed.then(|| segment.summaries()).flatten();
        parts.summaries = summaries.filter(|it| it.len() == parts.chunks.len());
        Ok(parts)
    }

    pub(super) fn is_summed_up(&self) -> bool {
        self.summaries.is_some()
    }

    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Whether an entry with all of these terms, within these times, may be in a chunk.
    pub(super) fn may_have(
        &self,
        n: usize,
        wanted: &[(Field, &str)],
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> bool {
        let summary = self.summaries.as_ref().and_then(|it| it.get(n));
        summary.is_none_or(|it| it.may_have(wanted, since, until))
    }

    /// Which chunk has a record, if any does.
    pub(super) fn of(&self, sequence: u64) -> Option<usize> {
        let behind = self.chunks.partition_point(|it| it.first <= sequence);
        behind.checked_sub(1)
    }

    /// The records of a chunk.
    pub(super) fn load(&self, n: usize) -> Result<Records, LogError> {
        let chunk = self.chunks.get(n).cloned().unwrap_or_default();
        let bytes = self.bytes(&chunk.at);
        Ok(Records {
            path: self.path.clone(),
            before: Chain {
                sequence: chunk.first.saturating_sub(1),
                ..Chain::default()
            },
            bytes: bytes.map_err(LogError::io("read", &self.path))?,
        })
    }

    fn bytes(&self, at: &Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(at.end.saturating_sub(at.start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let read = self.source.read(at.start, &mut bytes)?;
        bytes.truncate(read);
        match self.source {
            Source::Packed(_) => zstd::stream::decode_all(&*bytes),
            Source::Open(_) | Source::Plain(_) => Ok(bytes),
        }
    }
}

impl Source {
    /// Fills `buffer` as far as there is something; how far.
    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|it| !it.is_empty()) {
            let at = at + u64::try_from(filled).map_err(io::Error::other)?;
            match self.read_some(at, rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
        }
        Ok(filled)
    }

    fn read_some(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Packed(file) | Self::Open(file) => file.read_at(buffer, at),
            Self::Plain(bytes) => {
                let at = usize::try_from(at).map_err(io::Error::other)?;
                let rest = at.checked_sub(HEADER).and_then(|at| bytes.get(at..));
                let rest = rest.unwrap_or_default();
                let length = rest.len().min(buffer.len());
                let (some, from) = (buffer.get_mut(..length), rest.get(..length));
                if let (Some(some), Some(from)) = (some, from) {
                    some.copy_from_slice(from);
                }
                Ok(length)
            }
        }
    }
}

/// Where records stand, by their own word, in chunks as they would be put away in.
fn survey(source: &Source) -> io::Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    let mut open = Chunk::default();
    let mut buffer = vec![0; CHUNK];
    let mut at = u64::try_from(HEADER).map_err(io::Error::other)?;
    let most = u64::try_from(CHUNK).map_err(io::Error::other)?;
    loop {
        let filled = source.read(at, &mut buffer)?;
        let mut passed = 0;
        // The heads that are here, of records that are here or go on behind.
        while let Some(size) = buffer.get(passed..filled).map(frame_size) {
            let Ok(size) = size else { break };
            let head = buffer.get(passed..filled.min(passed + size.min(HEAD)));
            let Some(head) = head.filter(|it| it.len() == size.min(HEAD)) else {
                break;
            };
            let start = at + u64::try_from(passed).map_err(io::Error::other)?;
            let end = start + u64::try_from(size).map_err(io::Error::other)?;
            if open.first == 0 {
                open.at = start..start;
            }
            open.add(head);
            open.at.end = end;
            if end - open.at.start >= most {
                chunks.push(std::mem::take(&mut open));
            }
            passed += size;
        }
        if passed == 0 {
            break;
        }
        at += u64::try_from(passed).map_err(io::Error::other)?;
    }
    if open.first > 0 {
        chunks.push(open);
    }
    Ok(chunks)
}

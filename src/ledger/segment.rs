//! Segments: files of records, each with a header that says where in the chain it begins.

use std::path::{Path, PathBuf};

use super::{
    disk::{Disk, DiskFile},
    frame::{self, Chain},
    log::LogError,
};

/// The format of segments and snapshots.
pub(super) const VERSION: u32 = 1;
/// Bytes of a header.
pub const HEADER: usize = 76;
const MAGIC: &[u8; 8] = b"DOORLOG\n";
/// Where the checksum of a header stands.
const CHECKSUM: usize = HEADER - 4;
/// The file that says how far the log was durable when it was last asked to be.
const HEAD: &str = "head";
const HEAD_SIZE: usize = 44;

/// A stretch of the log without a restore in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// A random number, so that two futures of one backup are told apart.
    pub id: u64,
    /// The first sequence that belongs to it.
    pub from: u64,
}

/// What a file of frames is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Segment,
    Snapshot,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) epoch: Epoch,
    /// A segment: the record before its first one. A snapshot: the last record that it stands for.
    pub(super) chain: Chain,
}

/// A segment, from the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The sequence of its first record, whether or not it has one yet.
    pub first: u64,
    /// The file.
    pub path: PathBuf,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
    /// Where the next record goes.
    pub(super) offset: u64,
    pub(super) chain: Chain,
    pub(super) epoch: Epoch,
    pub(super) head: Box<dyn DiskFile>,
}

impl Header {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let kind: u32 = match self.kind {
            Kind::Segment => 0,
            Kind::Snapshot => 1,
        };
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(self.epoch.id.to_le_bytes());
        bytes.extend(self.epoch.from.to_le_bytes());
        bytes.extend(self.chain.sequence.to_le_bytes());
        bytes.extend(self.chain.hash);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Reads the header of `path`; `None` when the file is too short to have one.
    pub(super) fn read(path: &Path, file: &dyn DiskFile) -> Result<Option<Self>, LogError> {
        let mut bytes = [0; HEADER];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let offset = u64::try_from(filled).unwrap_or(u64::MAX);
            match file
                .read_at(offset, rest)
                .map_err(LogError::io("read", path))?
            {
                0 => return Ok(None),
                read => filled += read,
            }
        }
        Self::parse(path, &bytes).map(Some)
    }

    fn parse(path: &Path, bytes: &[u8; HEADER]) -> Result<Self, LogError> {
        let damaged = |why: &str| LogError::damaged(path, 0, why);
        let (covered, checksum) = bytes
            .split_last_chunk()
            .ok_or_else(|| damaged("its header is short"))?;
        if covered.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(damaged("it does not begin as a log does"));
        }
        let field = |from: usize| covered.get(from..).and_then(|it| it.first_chunk::<8>());
        let number = |from| field(from).map_or(0, |it| u64::from_le_bytes(*it));
        let small = |from: usize| {
            let field = covered.get(from..).and_then(|it| it.first_chunk::<4>());
            field.map_or(0, |it| u32::from_le_bytes(*it))
        };
        if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
            return Err(damaged("the checksum of its header is wrong"));
        }
        if small(8) != VERSION {
            return Err(LogError::Format {
                path: path.to_owned(),
                found: small(8),
            });
        }
        let hash = covered.get(40..CHECKSUM).and_then(|it| it.first_chunk());
        Ok(Self {
            kind: match small(12) {
                0 => Kind::Segment,
                1 => Kind::Snapshot,
                _ => return Err(damaged("its header names no kind")),
            },
            epoch: Epoch {
                id: number(16),
                from: number(24),
            },
            chain: Chain {
                sequence: number(32),
                hash: hash.copied().unwrap_or_default(),
            },
        })
    }
}

/// The record before the first one of the segment that begins `bytes`; `path` is told in errors.
///
/// # Errors
/// [`LogError`] when they are not the header of one.
pub fn chain_before(path: &Path, bytes: &[u8]) -> Result<Chain, LogError> {
    let header = bytes
        .first_chunk::<HEADER>()
        .map(|bytes| Header::parse(path, bytes))
        .transpose()?;
    match header {
        Some(header) if header.kind == Kind::Segment => Ok(header.chain),
        _ => Err(LogError::damaged(path, 0, "it is no segment of a log")),
    }
}

/// The segments in `dir`, in their order.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<SegmentInfo>, LogError> {
    files(disk, dir, ".seg")
}

/// The snapshots in `dir`, in their order; `first` is the last record that one stands for.
pub(super) fn snapshots(disk: &dyn Disk, dir: &Path) -> Result<Vec<SegmentInfo>, LogError> {
    files(disk, dir, ".snap")
}

fn files(disk: &dyn Disk, dir: &Path, ending: &str) -> Result<Vec<SegmentInfo>, LogError> {
    let names = disk.names(dir).map_err(LogError::io("list", dir))?;
    let mut found: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let first = name.strip_suffix(ending)?.parse().ok()?;
            let path = dir.join(name);
            Some(SegmentInfo { first, path })
        })
        .collect();
    found.sort_by_key(|it| it.first);
    Ok(found)
}

pub(super) fn path_of(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.seg"))
}

pub(super) fn snapshot_path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:020}.snap"))
}

/// Begins a segment; durable when this returns.
pub(super) fn begin(
    disk: &dyn Disk,
    dir: &Path,
    chain: Chain,
    epoch: Epoch,
) -> Result<(PathBuf, Box<dyn DiskFile>), LogError> {
    let path = path_of(dir, chain.sequence + 1);
    let header = Header {
        kind: Kind::Segment,
        epoch,
        chain,
    };
    let file = (|| {
        let mut file = disk.create(&path)?;
        file.write_at(0, &header.bytes())?;
        file.sync()?;
        disk.sync_dir(dir)?;
        Ok(file)
    })();
    Ok((path.clone(), file.map_err(LogError::io("begin", &path))?))
}

/// Opens the note of how far the log was durable.
pub(super) fn open_head(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskFile>, LogError> {
    let path = dir.join(HEAD);
    let opened = disk.open(&path, true).or_else(|why| match why.kind() {
        std::io::ErrorKind::NotFound => disk.create(&path),
        _ => Err(why),
    });
    opened.map_err(LogError::io("open", &path))
}

/// What the note says to whoever only reads.
pub(super) fn open_head_to_read(disk: &dyn Disk, dir: &Path) -> Result<Option<Chain>, LogError> {
    let path = dir.join(HEAD);
    match disk.open(&path, false) {
        Ok(head) => read_head(&*head).map_err(LogError::io("read", &path)),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(LogError::io("open", &path)(why)),
    }
}

/// What the note says; nothing when it was not written whole.
pub(super) fn read_head(head: &dyn DiskFile) -> std::io::Result<Option<Chain>> {
    let mut bytes = [0; HEAD_SIZE];
    if head.read_at(0, &mut bytes)? < HEAD_SIZE {
        return Ok(None);
    }
    let Some((covered, checksum)) = bytes.split_last_chunk() else {
        return Ok(None);
    };
    if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
        return Ok(None);
    }
    let Some((sequence, hash)) = covered.split_first_chunk() else {
        return Ok(None);
    };
    Ok(Some(Chain {
        sequence: u64::from_le_bytes(*sequence),
        hash: hash.first_chunk().copied().unwrap_or_default(),
    }))
}

/// Notes that the log is durable up to `chain`. The note need not be durable itself: any one that
/// survives is true.
pub(super) fn write_head(head: &mut dyn DiskFile, chain: Chain) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(HEAD_SIZE);
    bytes.extend(chain.sequence.to_le_bytes());
    bytes.extend(chain.hash);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    head.write_at(0, &bytes)
}

/// A number that no other epoch has.
pub(super) fn new_epoch(from: u64) -> Result<Epoch, LogError> {
    let mut id = [0; 8];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| LogError::Io {
        doing: "draw a random number for",
        path: PathBuf::from("the epoch"),
        source: std::io::ErrorKind::Other.into(),
    })?;
    Ok(Epoch {
        id: u64::from_le_bytes(id),
        from,
    })
}

/// The hash that the first record of a snapshot goes on from.
pub(super) fn snapshot_chain(header: &Header) -> Chain {
    Chain {
        sequence: 0,
        hash: frame::sha256(&header.bytes()),
    }
}

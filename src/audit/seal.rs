//! Segments that ended are put away: compressed, with an index, and removed when they are old.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task,
    time::timeout,
};

use super::{
    Queued, Shared,
    files::{AuditFiles, CHUNK, Chunk, INDEX, OPEN, SEALED, Segment, claimed, id_of, write_whole},
};
use crate::{
    config::AuditConfig,
    ledger::{HEADER, LogError},
    model::Timestamp,
};

/// How often the age of segments is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// How hard to compress: what is faster than the disk.
const LEVEL: i32 = 1;

/// Puts ended segments away. Run it in one task.
#[derive(Debug)]
pub struct Sealer {
    files: AuditFiles,
    config: AuditConfig,
    queue: mpsc::Sender<Queued>,
    shared: Arc<Shared>,
    clock: fn() -> Timestamp,
}

impl Sealer {
    pub(super) fn new(
        dir: PathBuf,
        config: AuditConfig,
        queue: mpsc::Sender<Queued>,
        shared: Arc<Shared>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            files: AuditFiles::new(&dir),
            config,
            queue,
            shared,
            clock,
        }
    }

    /// Works until `end` resolves. What fails is told, and tried again a minute later.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            if let Err(why) = self.look().await {
                tracing::error!(error = %why, "segments of the decision log cannot be put away");
            }
            tokio::select! {
                () = &mut end => return,
                _ = timeout(LOOK, self.shared.sealed.notified()) => {}
            }
        }
    }

    async fn look(&self) -> io::Result<()> {
        let files = self.files.clone();
        let sealed = task::spawn_blocking(move || seal_ended(&files));
        sealed.await.map_err(io::Error::other)??;
        if self.config.hold {
            return Ok(());
        }
        let old = self.old()?;
        let Some(last) = old.last() else {
            return Ok(());
        };
        // The log says that they are gone before they are.
        let next = self
            .files
            .segments()?
            .into_iter()
            .find(|it| it.first > last.first);
        let Some(next) = next else { return Ok(()) };
        let before = next.load().map_err(io::Error::other)?.before;
        let (reply, done) = oneshot::channel();
        let prune = Queued::Prune {
            sequence: before.sequence,
            hash: before.hash,
            reply,
        };
        if self.queue.send(prune).await.is_err() {
            return Ok(());
        }
        let done = done.await.map_err(io::Error::other)?;
        done.map_err(io::Error::other)?;
        for segment in old {
            fs::remove_file(&segment.path)?;
            // One without an index is as good as one with it.
            let _no_index = fs::remove_file(segment.path.with_extension(INDEX));
        }
        Ok(())
    }

    /// Those that are older than is kept, or too much: a beginning of the log, never the open one.
    fn old(&self) -> io::Result<Vec<Segment>> {
        let sealed: Vec<Segment> = self
            .files
            .segments()?
            .into_iter()
            .filter(|it| it.sealed)
            .collect();
        let mut bytes = 0_u64;
        let mut keep = 0;
        let now = (self.clock)();
        for segment in sealed.iter().rev() {
            let data = fs::metadata(&segment.path)?;
            bytes += data.len();
            let too_much = self.config.keep_bytes.is_some_and(|most| bytes > most);
            let ended = Timestamp::try_from(data.modified()?).map_err(io::Error::other)?;
            let age = now.duration_since(ended);
            let too_old = self
                .config
                .keep_age
                .is_some_and(|most| !age.is_negative() && age.unsigned_abs() > most);
            if too_much || too_old {
                break;
            }
            keep += 1;
        }
        let gone = sealed.len() - keep;
        Ok(sealed.into_iter().take(gone).collect())
    }
}

/// Puts away every segment but the last.
pub(super) fn seal_ended(files: &AuditFiles) -> io::Result<()> {
    remove_leftovers(files.dir())?;
    let segments = files.segments()?;
    let ended = segments.iter().zip(segments.iter().skip(1));
    for (segment, _) in ended.filter(|(it, _)| !it.sealed) {
        seal(segment).map_err(io::Error::other)?;
    }
    Ok(())
}

/// A segment that was put away while a crash kept the open one from being removed.
fn remove_leftovers(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_open = path.extension().is_some_and(|it| it == OPEN);
        if is_open && path.with_extension(SEALED).exists() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Writes the packed form aside, renames it, and only then removes the segment.
fn seal(segment: &Segment) -> Result<(), LogError> {
    let failed = |source| LogError::Io {
        doing: "put away",
        path: segment.path.clone(),
        source,
    };
    let bytes = fs::read(&segment.path).map_err(failed)?;
    let header = bytes.get(..HEADER).unwrap_or_default();
    let records = segment.load()?;
    let (mut packed, mut chunks) = (header.to_vec(), Vec::new());
    let mut open = Packing::default();
    for (offset, record) in records.hop() {
        // What is not whole must stay where it can be found.
        if let Err(why) = records.frame(offset) {
            let why = format!("{why:?} at byte {}", offset + HEADER);
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        open.add(record);
        if open.is_full() {
            chunks.extend(open.pack(&mut packed).map_err(failed)?);
        }
    }
    if records.hop().map(|(_, record)| record.len()).sum::<usize>() != records.bytes.len() {
        let why = "it ends within a record";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)));
    }
    chunks.extend(open.pack(&mut packed).map_err(failed)?);
    place(segment, &packed, &chunks).map_err(failed)
}

/// Puts a packed segment in its place.
pub(super) fn place(segment: &Segment, packed: &[u8], chunks: &[Chunk]) -> io::Result<()> {
    let index = postcard::to_stdvec(chunks).map_err(io::Error::other)?;
    write_whole(&segment.path.with_extension(INDEX), &index)?;
    write_whole(&segment.path.with_extension(SEALED), packed)?;
    if let Some(dir) = segment.path.parent() {
        File::open(dir)?.sync_all()?;
    }
    match segment.sealed {
        true => Ok(()),
        false => fs::remove_file(&segment.path),
    }
}

/// Records on their way into one chunk.
#[derive(Default)]
pub(super) struct Packing {
    bytes: Vec<u8>,
    first: Option<u64>,
    ids: Option<([u8; 16], [u8; 16])>,
}

impl Packing {
    pub(super) fn add(&mut self, record: &[u8]) {
        self.bytes.extend(record);
        self.first = self.first.or(claimed(record));
        if let Some(id) = id_of(record) {
            let (least, most) = self.ids.unwrap_or((id, id));
            self.ids = Some((least.min(id), most.max(id)));
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK
    }

    pub(super) fn pack(&mut self, packed: &mut Vec<u8>) -> io::Result<Option<Chunk>> {
        let Self { bytes, first, ids } = std::mem::take(self);
        let Some(first) = first else { return Ok(None) };
        let offset = |packed: &Vec<u8>| u64::try_from(packed.len()).unwrap_or(u64::MAX);
        let start = offset(packed);
        packed.extend(zstd::stream::encode_all(&*bytes, LEVEL)?);
        Ok(Some(Chunk {
            at: start..offset(packed),
            first,
            ids,
        }))
    }
}

//! Segments that ended are put away: compressed, with an index, and removed when they are old.

use std::{
    fs::{self, File},
    io::{self, Read as _},
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
    decode::{Passed, told},
    files::{AuditFiles, CHUNK, INDEX, OPEN, SEALED, SUMMARY, SUMMARY_FORM, Segment, write_whole},
    hold::{Held, lock},
    parts::Chunk,
    terms::Summary,
};
use crate::{
    config::AuditConfig,
    ledger::{Chain, HEADER, LogError, NoFrame, chain_before, read_frame},
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
        let (files, config, now) = (self.files.clone(), self.config.clone(), (self.clock)());
        let looked = task::spawn_blocking(move || {
            seal_ended(&files)?;
            match config.hold {
                true => Ok(None),
                false => old(&files, &config, now),
            }
        });
        let looked: io::Result<Option<Old>> = looked.await.map_err(io::Error::other)?;
        let Some(old) = looked? else { return Ok(()) };
        // The log says that they are gone before they are.
        let (reply, done) = oneshot::channel();
        let prune = Queued::Prune {
            sequence: old.before.sequence,
            hash: old.before.hash,
            reply,
        };
        if self.queue.send(prune).await.is_err() {
            return Ok(());
        }
        let done = done.await.map_err(io::Error::other)?;
        done.map_err(io::Error::other)?;
        let files = self.files.clone();
        let removed = task::spawn_blocking(move || remove(&files, old.segments));
        removed.await.map_err(io::Error::other)?
    }
}

/// Segments to be removed.
struct Old {
    segments: usize,
    /// The last record of them.
    before: Chain,
}

/// Those that are older than is kept, or too much: a beginning of the log, never the open one, up to
/// the first that is held.
fn old(files: &AuditFiles, config: &AuditConfig, now: Timestamp) -> io::Result<Option<Old>> {
    let segments = files.segments()?;
    let sealed = segments.iter().take_while(|it| it.sealed).count();
    let mut bytes = 0_u64;
    let mut gone = sealed;
    for segment in segments.iter().take(sealed).rev() {
        let data = fs::metadata(&segment.path)?;
        bytes += data.len();
        let too_much = config.keep_bytes.is_some_and(|most| bytes > most);
        let ended = Timestamp::try_from(data.modified()?).map_err(io::Error::other)?;
        let age = now.duration_since(ended);
        let too_old = config
            .keep_age
            .is_some_and(|most| !age.is_negative() && age.unsigned_abs() > most);
        if too_much || too_old {
            break;
        }
        gone -= 1;
    }
    let held = Held::now(files)?;
    let gone = (0..gone)
        .find(|n| held.keeps(&segments, *n))
        .unwrap_or(gone);
    let Some(next) = segments.get(gone).filter(|_| gone > 0) else {
        return Ok(None);
    };
    let mut header = vec![0; HEADER];
    File::open(&next.path)?.read_exact(&mut header)?;
    let before = chain_before(&next.path, &header).map_err(io::Error::other)?;
    Ok(Some(Old {
        segments: gone,
        before,
    }))
}

/// Removes so many segments, the first ones, unless one was held since.
fn remove(files: &AuditFiles, count: usize) -> io::Result<()> {
    let _no_hold_meanwhile = lock(files.dir())?;
    let held = Held::now(files)?;
    let segments = files.segments()?;
    for (n, segment) in segments.iter().enumerate().take(count) {
        if held.keeps(&segments, n) {
            break;
        }
        fs::remove_file(&segment.path)?;
        for side in [INDEX, SUMMARY] {
            // A segment without them is as good as one with them.
            let _none = fs::remove_file(segment.path.with_extension(side));
        }
    }
    Ok(())
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
        if let Err(why) = open.add(record) {
            let why = format!("{why:?} at byte {}", offset + HEADER);
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        if open.is_full() {
            chunks.extend(open.pack(&mut packed).map_err(failed)?);
        }
    }
    if records.hop().map(|(_, record)| record.len()).sum::<usize>() != records.bytes.len() {
        let why = "it ends within a record";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)));
    }
    chunks.extend(open.pack(&mut packed).map_err(failed)?);
    place(segment, &packed, chunks).map_err(failed)
}

/// Puts a packed segment in its place.
pub(super) fn place(
    segment: &Segment,
    packed: &[u8],
    chunks: Vec<(Chunk, Summary)>,
) -> io::Result<()> {
    let sides = [INDEX, SUMMARY].map(|ending| segment.path.with_extension(ending));
    // What speeds up looking must be of these very bytes: an older one goes before them.
    for side in &sides {
        match fs::remove_file(side) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
    }
    write_whole(&segment.path.with_extension(SEALED), packed)?;
    let (chunks, summaries): (Vec<Chunk>, Vec<Summary>) = chunks.into_iter().unzip();
    let index = postcard::to_stdvec(&chunks).map_err(io::Error::other)?;
    let summary = postcard::to_extend(&summaries, vec![SUMMARY_FORM]).map_err(io::Error::other)?;
    for (side, bytes) in sides.iter().zip([index, summary]) {
        write_whole(side, &bytes)?;
    }
    if let Some(dir) = segment.path.parent() {
        File::open(dir)?.sync_all()?;
    }
    match segment.sealed {
        true => Ok(()),
        false => fs::remove_file(&segment.path),
    }
}

/// Records on their way into chunks.
#[derive(Default)]
pub(super) struct Packing {
    open: Part,
    /// Facts of the segment's records so far.
    passed: Passed,
}

/// One chunk.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    chunk: Chunk,
    summary: Summary,
}

impl Packing {
    pub(super) fn add(&mut self, record: &[u8]) -> Result<(), NoFrame> {
        let frame = read_frame(record)?;
        self.passed.pass(&frame);
        let open = &mut self.open;
        if let Ok(entry) = told(&frame, &self.passed) {
            open.summary.add(&entry);
        }
        open.bytes.extend(record);
        open.chunk.add(record);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.bytes.len() >= CHUNK
    }

    pub(super) fn pack(&mut self, packed: &mut Vec<u8>) -> io::Result<Option<(Chunk, Summary)>> {
        let Part {
            bytes,
            mut chunk,
            mut summary,
        } = std::mem::take(&mut self.open);
        if bytes.is_empty() {
            return Ok(None);
        }
        let offset = |packed: &Vec<u8>| u64::try_from(packed.len()).unwrap_or(u64::MAX);
        let start = offset(packed);
        packed.extend(zstd::stream::encode_all(&*bytes, LEVEL)?);
        chunk.at = start..offset(packed);
        summary.sort();
        Ok(Some((chunk, summary)))
    }
}

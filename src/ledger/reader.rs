//! Reading a log from any record on, also beside the process that writes it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::{Disk, DiskFile},
    frame::{self, Chain, NoFrame},
    log::LogError,
    segment::{self, Epoch, HEADER, Header, Kind, SegmentInfo},
};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

/// A record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order of all.
    pub sequence: u64,
    /// What it commits to: itself and everything before it.
    pub hash: [u8; 32],
    /// The epoch that it belongs to.
    pub epoch: Epoch,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// Reads a log in its order and checks each record against the one before.
///
/// At the end it says `None`, and goes on when asked again after more was written.
#[derive(Debug)]
pub struct Reader {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    chain: Chain,
    open: Option<Open>,
}

/// The segment that is being read.
#[derive(Debug)]
struct Open {
    window: Window,
    epoch: Epoch,
}

impl Reader {
    /// Reads the log in `dir` from its first record that is there.
    ///
    /// # Errors
    /// [`LogError`] when the folder cannot be read.
    pub fn first(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, LogError> {
        Self::after(disk, dir, 0)
    }

    /// Reads what comes after `sequence`, or after the oldest that is there if that is later.
    ///
    /// # Errors
    /// [`LogError`] when what is before it is damaged.
    pub fn after(disk: Arc<dyn Disk>, dir: &Path, sequence: u64) -> Result<Self, LogError> {
        let mut reader = Self {
            disk,
            dir: dir.to_owned(),
            chain: Chain::default(),
            open: None,
        };
        let segments = reader.segments()?;
        let holding = segments.iter().rev().find(|it| it.first <= sequence + 1);
        if let Some(info) = holding.or(segments.first()) {
            reader.open(info, None)?;
            while reader.chain.sequence < sequence {
                if reader.next()?.is_none() {
                    break;
                }
            }
        }
        Ok(reader)
    }

    /// The segments that are there, in their order.
    ///
    /// # Errors
    /// [`LogError`] when the folder cannot be read.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, LogError> {
        segment::list(&*self.disk, &self.dir)
    }

    /// The last record that was read.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The epoch that is being read, if there is anything to read.
    pub fn epoch(&self) -> Option<Epoch> {
        self.open.as_ref().map(|open| open.epoch)
    }

    /// The next record; `None` when there is none yet.
    ///
    /// # Errors
    /// [`LogError::Damaged`] where the chain breaks before its end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's end is final, this one is not"
    )]
    pub fn next(&mut self) -> Result<Option<Entry>, LogError> {
        loop {
            let Some(open) = &mut self.open else {
                let segments = self.segments()?;
                match segments.first() {
                    Some(info) if self.open(info, None)? => continue,
                    _ => return Ok(None),
                }
            };
            let at = open.window.offset();
            match open.window.frame()? {
                Ok(frame) => {
                    let follows = frame.follows(&self.chain);
                    let entry = Entry {
                        sequence: frame.sequence,
                        hash: frame.hash,
                        epoch: open.epoch,
                        payload: frame.payload.to_vec(),
                    };
                    let size = frame.size();
                    follows.map_err(|why| LogError::damaged(&open.window.path, at, why))?;
                    open.window.pass(size);
                    self.chain = Chain {
                        sequence: entry.sequence,
                        hash: entry.hash,
                    };
                    return Ok(Some(entry));
                }
                Err(fault) => {
                    if !self.go_on(fault, at)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Bytes behind the last record that are none themselves: half a write, or damage.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn unread(&mut self) -> Result<usize, LogError> {
        let Some(open) = &mut self.open else {
            return Ok(0);
        };
        open.window.fill_all()?;
        Ok(open.window.rest().len())
    }

    /// Whether there is more behind the place where no whole record stands.
    fn go_on(&mut self, fault: NoFrame, at: u64) -> Result<bool, LogError> {
        let Some(open) = &mut self.open else {
            return Ok(false);
        };
        let path = open.window.path.clone();
        let damaged = |why: &str| LogError::damaged(&path, at, why);
        let next = self.chain.sequence + 1;
        let segments = segment::list(&*self.disk, &self.dir)?;
        let later = match segments.iter().position(|it| it.path == path) {
            Some(n) => segments.get(n + 1),
            // It was compacted away while it was read.
            None => segments.iter().find(|it| it.first >= next),
        };
        // What was written since may have made it whole.
        let is_short = matches!(fault, NoFrame::Short(_));
        let again = open.window.refresh(is_short)?;
        let Some(later) = later else {
            let head = segment::open_head_to_read(&*self.disk, &self.dir)?;
            let was_durable = head.is_some_and(|head| head.sequence >= next);
            return match open.window.frame()? {
                Ok(_) => Ok(true),
                Err(_) if again => Ok(true),
                Err(_) if was_durable => Err(damaged("a record that was durable is not whole")),
                Err(_) => Ok(false),
            };
        };
        match open.window.frame()?.err() {
            None => return Ok(true),
            Some(NoFrame::Damaged(why)) => return Err(damaged(why)),
            Some(NoFrame::Short(_)) if !open.window.rest().is_empty() => {
                return Err(damaged("the segment ends within a record"));
            }
            Some(NoFrame::Short(_)) => {}
        }
        if later.first != next {
            return Err(damaged("records are missing behind it"));
        }
        let later = later.clone();
        self.open(&later, Some(self.chain))
    }

    /// Opens a segment, which must go on from `chain` when that is known; `false` while its header
    /// is being written.
    fn open(&mut self, info: &SegmentInfo, chain: Option<Chain>) -> Result<bool, LogError> {
        let file = self.disk.open(&info.path, false);
        let file = file.map_err(LogError::io("open", &info.path))?;
        let Some(header) = Header::read(&info.path, &*file)? else {
            return Ok(false);
        };
        if header.kind != Kind::Segment || chain.is_some_and(|chain| chain != header.chain) {
            let why = "it does not go on from the segment before";
            return Err(LogError::damaged(&info.path, 0, why));
        }
        self.chain = header.chain;
        self.open = Some(Open {
            window: Window::new(info.path.clone(), file),
            epoch: header.epoch,
        });
        Ok(true)
    }
}

/// A moving view of a file of frames.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) path: PathBuf,
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    start: u64,
    /// How much of the buffer was passed.
    passed: usize,
}

impl Window {
    pub(super) fn new(path: PathBuf, file: Box<dyn DiskFile>) -> Self {
        Self {
            path,
            file,
            buffer: Vec::new(),
            start: u64::try_from(HEADER).unwrap_or(u64::MAX),
            passed: 0,
        }
    }

    /// Where the next frame begins, in bytes from the start of the file.
    pub(super) fn offset(&self) -> u64 {
        self.start + u64::try_from(self.passed).unwrap_or(u64::MAX)
    }

    /// The frame that is next, or why there is none.
    pub(super) fn frame(&mut self) -> Result<Result<frame::Frame<'_>, NoFrame>, LogError> {
        let mut wanted = frame::OVERHEAD;
        loop {
            match frame::size(self.buffer.get(self.passed..).unwrap_or_default()) {
                Ok(size) => wanted = wanted.max(size),
                Err(NoFrame::Short(_)) => {}
                Err(damaged) => return Ok(Err(damaged)),
            }
            if self.buffer.len() - self.passed >= wanted {
                return Ok(frame::read(self.rest()));
            }
            if !self.fill(wanted)? {
                return Ok(Err(NoFrame::Short(wanted)));
            }
        }
    }

    /// Goes on behind a frame of this size.
    pub(super) fn pass(&mut self, size: usize) {
        self.passed += size;
    }

    /// What is in view.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.passed..).unwrap_or_default()
    }

    /// Brings everything up to the end of the file into view.
    pub(super) fn fill_all(&mut self) -> Result<(), LogError> {
        while self.fill(usize::MAX)? {}
        Ok(())
    }

    /// Looks at the file anew; whether it says anything else now, or more where that counts.
    fn refresh(&mut self, counts_more: bool) -> Result<bool, LogError> {
        let before = self.rest().to_vec();
        self.start = self.offset();
        self.passed = 0;
        self.buffer.clear();
        self.fill(before.len())?;
        let has_more = counts_more && self.rest().len() > before.len();
        Ok(has_more || self.rest().get(..before.len()) != Some(&before))
    }

    /// Reads on, so that at least `wanted` bytes may be in view; `false` at the end of the file.
    fn fill(&mut self, wanted: usize) -> Result<bool, LogError> {
        self.buffer.drain(..self.passed);
        self.start += u64::try_from(self.passed).unwrap_or(u64::MAX);
        self.passed = 0;
        let held = self.buffer.len();
        let at = self.start + u64::try_from(held).unwrap_or(u64::MAX);
        let length = self
            .file
            .length()
            .map_err(LogError::io("read", &self.path))?;
        let left = usize::try_from(length.saturating_sub(at)).unwrap_or(usize::MAX);
        let more = wanted
            .saturating_sub(held)
            .clamp(CHUNK, 4 * CHUNK)
            .min(left);
        if more == 0 {
            return Ok(false);
        }
        self.buffer.resize(held + more, 0);
        let space = self.buffer.get_mut(held..).unwrap_or_default();
        let read = self.file.read_at(at, space);
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        let read = read.map_err(LogError::io("read", &self.path))?;
        Ok(read > 0)
    }
}

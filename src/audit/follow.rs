//! Following the log as it grows, from any record on.
//!
//! The files are the buffer: whoever reads slowly reads what was written meanwhile later, and holds
//! nothing of it before. What was removed by then is told as missing, with its count.

use std::{collections::HashMap, fs::File, io, os::unix::fs::FileExt as _};

use super::{
    decode::{Passed, Told, needed, told},
    files::{AuditFiles, Segment},
    scan::segments,
};
use crate::ledger::{Frame, HEADER, LogError, NoFrame, read_frame};

/// Bytes read at once.
const READ: usize = 256 * 1024;
/// Records whose facts are kept at hand for later ones; beyond that they are read again.
const AT_HAND: usize = 4 * 1024;

/// What comes next in a log.
#[derive(Debug)]
pub enum Followed {
    /// An entry, and its place in the log.
    Entry(u64, Told),
    /// So many records that are not there any more, or cannot be read.
    Missing(u64),
}

/// Reads a log in its order, and goes on where it stopped when asked again.
#[derive(Debug)]
pub struct Follower {
    files: AuditFiles,
    next: u64,
    open: Option<Open>,
}

/// The segment that is being read.
#[derive(Debug)]
struct Open {
    first: u64,
    source: Source,
    /// Where the next record begins, behind the header.
    offset: usize,
    /// What was read from there on, and how much of it was passed.
    buffer: Vec<u8>,
    at: usize,
    /// Where records with facts stand, and how long they are.
    places: HashMap<u64, (usize, usize)>,
    passed: Passed,
}

/// The records of a segment.
#[derive(Debug)]
enum Source {
    /// One that grows. It can be read to its end even after it was put away.
    File(File),
    /// One that was put away, unpacked.
    Plain(Vec<u8>),
}

impl Follower {
    /// Reads what comes after the record `sequence`; 0: all that is there.
    pub fn after(files: AuditFiles, sequence: u64) -> Self {
        Self {
            files,
            next: sequence.saturating_add(1),
            open: None,
        }
    }

    /// Reads the segment that is written to from its beginning, and what comes.
    ///
    /// # Errors
    /// [`LogError`] when the log's folder cannot be read.
    pub fn at_open(files: AuditFiles) -> Result<Self, LogError> {
        let mut follower = Self::after(files, 0);
        if let Some(open) = segments(&follower.files)?.last() {
            follower.next = open.first;
        }
        Ok(follower)
    }

    /// The next record that it will give, or tell as missing.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Leaves out what comes before the record `sequence`.
    pub fn skip_to(&mut self, sequence: u64) {
        if sequence > self.next {
            self.next = sequence;
        }
    }

    /// At most `most` entries that were not given yet, none of them behind the record `until`; none:
    /// there is nothing new.
    ///
    /// # Errors
    /// [`LogError`] when a file cannot be read.
    pub fn more(&mut self, until: u64, most: usize) -> Result<Vec<Followed>, LogError> {
        let mut found = Vec::new();
        while found.len() < most && self.next <= until {
            let Some(open) = &mut self.open else {
                match self.begin(&mut found)? {
                    true => continue,
                    false => break,
                }
            };
            let failed = |open: &Open, why| {
                let name = format!("{:020}", open.first);
                LogError::io("read", &self.files.dir().join(name))(why)
            };
            match open.frame() {
                Err(why) => return Err(failed(open, why)),
                Ok(Some(sequence)) if sequence > until => break,
                Ok(Some(sequence)) => {
                    if let Some(entry) = open.take(sequence < self.next) {
                        found.push(Followed::Entry(sequence, entry));
                    }
                    self.next = self.next.max(sequence + 1);
                }
                Ok(None) => {
                    if !self.go_on(&mut found)? {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    /// Opens the segment that has the next record, or the first behind it.
    fn begin(&mut self, found: &mut Vec<Followed>) -> Result<bool, LogError> {
        let segments = segments(&self.files)?;
        let holding = segments.iter().rev().find(|it| it.first <= self.next);
        let Some(segment) = holding.or(segments.first()) else {
            return Ok(false);
        };
        self.missing_until(segment.first, found);
        self.open = Some(Open::new(segment)?);
        Ok(true)
    }

    /// Goes on in the segment behind the open one, once that has ended.
    fn go_on(&mut self, found: &mut Vec<Followed>) -> Result<bool, LogError> {
        let segments = segments(&self.files)?;
        let Some(open) = &mut self.open else {
            return Ok(true);
        };
        let Some(later) = segments.into_iter().find(|it| it.first > open.first) else {
            return Ok(false);
        };
        // What was written to it before it ended may have come only now.
        if open.frame().is_ok_and(|sequence| sequence.is_some()) {
            return Ok(true);
        }
        self.missing_until(later.first, found);
        self.open = Some(Open::new(&later)?);
        Ok(true)
    }

    fn missing_until(&mut self, first: u64, found: &mut Vec<Followed>) {
        if first > self.next {
            found.push(Followed::Missing(first - self.next));
            self.next = first;
        }
    }
}

impl Open {
    fn new(segment: &Segment) -> Result<Self, LogError> {
        let source = match segment.sealed {
            true => Source::Plain(segment.load()?.bytes),
            false => match File::open(&segment.path) {
                Ok(file) => Source::File(file),
                // It was put away since it was found.
                Err(why) if why.kind() == io::ErrorKind::NotFound => {
                    Source::Plain(segment.load()?.bytes)
                }
                Err(why) => return Err(LogError::io("open", &segment.path)(why)),
            },
        };
        Ok(Self {
            first: segment.first,
            source,
            offset: 0,
            buffer: Vec::new(),
            at: 0,
            places: HashMap::new(),
            passed: Passed::default(),
        })
    }

    /// Brings the next record into view and says which it is; `None` where no whole one stands yet.
    fn frame(&mut self) -> io::Result<Option<u64>> {
        let mut wanted = READ;
        for read_again in [false, true, true] {
            if read_again {
                self.buffer = self.source.read(self.offset, wanted)?;
                self.at = 0;
            }
            match read_frame(self.buffer.get(self.at..).unwrap_or_default()) {
                Ok(frame) => return Ok(Some(frame.sequence)),
                Err(NoFrame::Short(size)) => wanted = wanted.max(size),
                Err(NoFrame::Damaged(_)) => {}
            }
        }
        Ok(None)
    }

    /// Passes the record in view; what it tells, unless it is only passed.
    fn take(&mut self, only_pass: bool) -> Option<Told> {
        let bytes = self.buffer.get(self.at..).unwrap_or_default();
        let frame = read_frame(bytes).ok()?;
        let size = frame.size();
        if !frame.loose.is_empty() {
            self.places.insert(frame.sequence, (self.offset, size));
        }
        let entry = match only_pass {
            true => None,
            false => {
                self.passed.pass(&frame);
                bring(&frame, &self.places, &self.source, &mut self.passed);
                let entry = told(&frame, &self.passed);
                entry
                    .inspect_err(|why| {
                        tracing::warn!(record = frame.sequence, why, "cannot be read");
                    })
                    .ok()
            }
        };
        self.at += size;
        self.offset += size;
        if self.passed.len() > AT_HAND {
            self.passed.forget();
        }
        entry
    }
}

/// Brings the facts that a record refers to back to hand.
fn bring(
    frame: &Frame<'_>,
    places: &HashMap<u64, (usize, usize)>,
    source: &Source,
    passed: &mut Passed,
) {
    for sequence in needed(frame) {
        if passed.has(sequence) {
            continue;
        }
        let there = places.get(&sequence);
        let bytes = there.and_then(|(offset, size)| source.read(*offset, *size).ok());
        if let Some(Ok(frame)) = bytes.as_deref().map(read_frame) {
            passed.pass(&frame);
        }
    }
}

impl Source {
    /// Up to `length` bytes from `offset` on, behind the header.
    fn read(&self, offset: usize, length: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(bytes) => {
                let end = bytes.len().min(offset.saturating_add(length));
                Ok(bytes.get(offset..end).unwrap_or_default().to_vec())
            }
            Self::File(file) => {
                let mut buffer = vec![0; length];
                let mut filled = 0;
                while let Some(rest) = buffer.get_mut(filled..).filter(|it| !it.is_empty()) {
                    let at = u64::try_from(HEADER + offset + filled).map_err(io::Error::other)?;
                    match file.read_at(rest, at) {
                        Ok(0) => break,
                        Ok(read) => filled += read,
                        Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                        Err(why) => return Err(why),
                    }
                }
                buffer.truncate(filled);
                Ok(buffer)
            }
        }
    }
}

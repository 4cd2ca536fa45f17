//! Opening what a crash may have left: half a batch at the end is cut off, all else must be whole.
//!
//! How to tell the two apart: every record says up to where the log was durable when it was written,
//! and so does the note beside the segments. A record that something later calls durable was
//! acknowledged; if it is not whole now, the disk has lost it, and nobody may act as if it had never
//! been there. What is whole beyond that was perhaps never synced: it is, before it counts.

use std::path::{Path, PathBuf};

use super::{
    disk::Disk,
    frame::{self, Chain, NoFrame},
    log::{LogError, LogOptions},
    reader::Window,
    segment::{self, Epoch, Header, Kind, SegmentInfo, Tail},
};

/// How far ahead of the expected sequence a record may be that is looked for behind a damaged one.
const AHEAD: u64 = 1_000_000;

/// How a log was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The first record that is there, if one is.
    pub first: u64,
    /// The last record.
    pub chain: Chain,
    /// The epoch in which it goes on.
    pub epoch: Epoch,
    /// The last record that the newest snapshot stands for; 0: there is none.
    pub snapshot: u64,
    /// What was cut off at the end.
    pub cut: Option<Cut>,
}

/// Bytes at the end that were no whole record, and of which nobody was told that they are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// Where it was cut, in bytes from its start.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

/// Checks the log in `dir` and opens its last segment.
pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    options: LogOptions,
) -> Result<(Recovery, Tail), LogError> {
    remove_leftovers(disk, dir)?;
    let mut head_file = segment::open_head(disk, dir)?;
    let head = segment::read_head(&*head_file).map_err(LogError::io("read", dir))?;
    let durable = head.map_or(0, |head| head.sequence);
    let mut segments = segment::list(disk, dir)?;
    let snapshot = segment::snapshots(disk, dir)?
        .last()
        .map_or(0, |it| it.first);
    let mut cut = drop_unborn(disk, dir, &mut segments)?;
    let first = segments.first().map_or(snapshot + 1, |it| it.first);
    if first > snapshot + 1 && !options.begins_anywhere {
        let path = segment::path_of(dir, snapshot + 1);
        return Err(LogError::damaged(&path, 0, "the segment is missing"));
    }
    let mut state = Scan {
        head,
        chain: None,
        epoch: Epoch::default(),
    };
    let mut end = None;
    for (n, info) in segments.iter().enumerate() {
        let is_last = n + 1 == segments.len();
        let (offset, torn) = state.segment(disk, info, is_last)?;
        cut = torn.or(cut);
        end = Some((info, offset));
    }
    let chain = state.chain.unwrap_or_default();
    if durable > chain.sequence {
        let (path, offset) = end.map_or((dir.to_owned(), 0), |(it, at)| (it.path.clone(), at));
        let why = format!(
            "the log ends with record {}, but {durable} were durable",
            chain.sequence
        );
        return Err(LogError::damaged(&path, offset, why));
    }
    let mut tail = match end {
        Some((info, offset)) => {
            let mut file = disk
                .open(&info.path, true)
                .map_err(LogError::io("open", &info.path))?;
            if cut.as_ref().is_some_and(|cut| cut.path == info.path) {
                file.truncate(offset)
                    .map_err(LogError::io("cut", &info.path))?;
            }
            // A process that was killed leaves records, and the name of a segment, that were
            // written and maybe never synced; they must not count as durable before they are.
            file.sync()
                .and_then(|()| disk.sync_dir(dir))
                .map_err(LogError::io("sync", &info.path))?;
            if durable < chain.sequence {
                segment::write_head(&mut *head_file, chain).map_err(LogError::io("write", dir))?;
            }
            Tail {
                path: info.path.clone(),
                file,
                offset,
                chain,
                epoch: state.epoch,
                head: head_file,
            }
        }
        None => {
            let epoch = segment::new_epoch(chain.sequence + 1)?;
            let (path, file) = segment::begin(disk, dir, chain, epoch)?;
            segment::write_head(&mut *head_file, chain).map_err(LogError::io("write", dir))?;
            let offset = header_size();
            Tail {
                path,
                file,
                offset,
                chain,
                epoch,
                head: head_file,
            }
        }
    };
    if options.new_epoch && !segments.is_empty() {
        begin_epoch(disk, dir, &mut tail)?;
    }
    let recovery = Recovery {
        first,
        chain,
        epoch: tail.epoch,
        snapshot,
        cut,
    };
    Ok((recovery, tail))
}

fn begin_epoch(disk: &dyn Disk, dir: &Path, tail: &mut Tail) -> Result<(), LogError> {
    let epoch = segment::new_epoch(tail.chain.sequence + 1)?;
    if tail.offset == header_size() {
        // A segment without records would have the new one's name.
        disk.remove(&tail.path)
            .map_err(LogError::io("replace", &tail.path))?;
    }
    let (path, file) = segment::begin(disk, dir, tail.chain, epoch)?;
    (tail.path, tail.file, tail.epoch) = (path, file, epoch);
    tail.offset = header_size();
    Ok(())
}

fn header_size() -> u64 {
    u64::try_from(segment::HEADER).unwrap_or(u64::MAX)
}

/// Files that were being written aside.
fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    let names = disk.names(dir).map_err(LogError::io("list", dir))?;
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        let path = dir.join(name);
        disk.remove(&path).map_err(LogError::io("remove", &path))?;
    }
    Ok(())
}

/// Removes a last segment that a crash kept from getting its header: nothing was ever in it.
fn drop_unborn(
    disk: &dyn Disk,
    dir: &Path,
    segments: &mut Vec<SegmentInfo>,
) -> Result<Option<Cut>, LogError> {
    let Some(last) = segments.last() else {
        return Ok(None);
    };
    let file = disk.open(&last.path, false);
    let file = file.map_err(LogError::io("open", &last.path))?;
    let length = file.length().map_err(LogError::io("read", &last.path))?;
    let read = Header::read(&last.path, &*file);
    let is_unborn = length <= header_size() && !matches!(read, Ok(Some(_)));
    if !is_unborn {
        return Ok(None);
    }
    let cut = Cut {
        path: last.path.clone(),
        offset: 0,
        bytes: length,
    };
    disk.remove(&last.path)
        .and_then(|()| disk.sync_dir(dir))
        .map_err(LogError::io("remove", &last.path))?;
    segments.pop();
    Ok(Some(cut))
}

/// How far the log was found to be whole.
struct Scan {
    head: Option<Chain>,
    chain: Option<Chain>,
    epoch: Epoch,
}

impl Scan {
    /// Checks a segment; returns where its records end, and what there was beyond.
    fn segment(
        &mut self,
        disk: &dyn Disk,
        info: &SegmentInfo,
        is_last: bool,
    ) -> Result<(u64, Option<Cut>), LogError> {
        let path = &info.path;
        let file = disk.open(path, false).map_err(LogError::io("open", path))?;
        let damaged = |why: &str| LogError::damaged(path, 0, why);
        let header = Header::read(path, &*file)?.ok_or_else(|| damaged("its header is short"))?;
        if header.kind != Kind::Segment || header.chain.sequence + 1 != info.first {
            return Err(damaged("its name is not that of what it holds"));
        }
        if self.chain.is_some_and(|chain| chain != header.chain) {
            return Err(damaged(
                "it does not go on from the segment before: one is missing or cut",
            ));
        }
        self.epoch = header.epoch;
        let mut chain = header.chain;
        let length = file.length().map_err(LogError::io("read", path))?;
        let mut window = Window::new(path.clone(), file);
        let fault = loop {
            let at = window.offset();
            self.check_head(path, at, chain)?;
            match window.frame()? {
                Ok(frame) => {
                    if let Err(why) = frame.follows(&chain) {
                        return Err(LogError::damaged(path, at, why));
                    }
                    chain = Chain {
                        sequence: frame.sequence,
                        hash: frame.hash,
                    };
                    let size = frame.size();
                    window.pass(size);
                }
                Err(fault) => break fault,
            }
        };
        self.chain = Some(chain);
        let offset = window.offset();
        if offset == length {
            return Ok((offset, None));
        }
        let lost = chain.sequence + 1;
        let what = match fault {
            NoFrame::Short(_) => "is cut short",
            NoFrame::Damaged(why) => why,
        };
        let was_durable = self.head.is_some_and(|head| head.sequence >= lost);
        if !is_last || was_durable || durable_later(&mut window, lost)? {
            let why = format!("record {lost}: {what}, though it was durable");
            return Err(LogError::damaged(path, offset, why));
        }
        let cut = Cut {
            path: path.clone(),
            offset,
            bytes: length - offset,
        };
        Ok((offset, Some(cut)))
    }

    /// The record that the note names must be the one that is there.
    fn check_head(&self, path: &Path, offset: u64, chain: Chain) -> Result<(), LogError> {
        match self.head {
            Some(head) if head.sequence == chain.sequence && head.hash != chain.hash => {
                let why = format!("record {} is not the one that was written", chain.sequence);
                Err(LogError::damaged(path, offset, why))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a whole record behind the damaged one says that it had been durable.
fn durable_later(window: &mut Window, lost: u64) -> Result<bool, LogError> {
    window.fill_all()?;
    let bytes = window.rest();
    let found = (1..bytes.len()).any(|at| {
        let rest = bytes.get(at..).unwrap_or_default();
        let is_near = |sequence: &u64| (lost + 1..lost + AHEAD).contains(sequence);
        let claimed = frame::claimed_sequence(rest).filter(is_near);
        claimed.is_some() && frame::read(rest).is_ok_and(|frame| frame.durable > lost)
    });
    Ok(found)
}

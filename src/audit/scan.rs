//! Looking through the log, beside the process that writes it.

use std::path::Path;

use super::{
    decode::{Passed, Told, needed, told},
    export,
    files::{AuditFiles, Chunk, Segment},
    query::Query,
    terms::Summary,
};
use crate::ledger::{Frame, LogError};

/// Some of the entries that are looked for.
#[derive(Debug, Default)]
pub struct Page {
    /// The entries, each with its place in the log.
    pub entries: Vec<(u64, Told)>,
    /// Where to go on; `None`: there are no more.
    pub next: Option<u64>,
}

/// Is given the place of each entry that was looked at, and the entry where it is looked for; `false`
/// ends the scan.
type Look<'a> = &'a mut dyn FnMut(u64, Option<Told>) -> bool;

/// Gives `take` every entry that is looked for, in the order of the log, until it says `false`. With
/// no condition, entries that are no decisions are among them.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub fn select(
    files: &AuditFiles,
    query: &Query,
    take: &mut dyn FnMut(Told) -> bool,
) -> Result<(), LogError> {
    for segment in segments(files)? {
        if !scan(&segment, query, 0, &mut |_, it| it.is_none_or(&mut *take))? {
            break;
        }
    }
    Ok(())
}

/// At most `most` of the entries that are looked for, from the record `from` on; having looked at
/// `looks` it stops all the same.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub fn page(
    files: &AuditFiles,
    query: &Query,
    from: u64,
    most: usize,
    looks: usize,
) -> Result<Page, LogError> {
    let segments = segments(files)?;
    let mut page = Page::default();
    let mut left = looks;
    for (n, segment) in segments.iter().enumerate() {
        if segments.get(n + 1).is_some_and(|it| it.first <= from) {
            continue;
        }
        let mut next = None;
        scan(segment, query, from, &mut |sequence, entry| {
            page.entries.extend(entry.map(|entry| (sequence, entry)));
            left = left.saturating_sub(1);
            let goes_on = page.entries.len() < most && left > 0;
            if !goes_on {
                next = Some(sequence + 1);
            }
            goes_on
        })?;
        if next.is_some() {
            page.next = next;
            break;
        }
    }
    Ok(page)
}

/// As [`page`], the newest first: entries before the record `before`.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub fn page_back(
    files: &AuditFiles,
    query: &Query,
    before: u64,
    most: usize,
    looks: usize,
) -> Result<Page, LogError> {
    let segments = segments(files)?;
    let mut page = Page::default();
    let mut looked = 0;
    for segment in segments.iter().rev().filter(|it| it.first < before) {
        // Those of one segment come in its order, so the last of them are kept.
        let mut here = std::collections::VecDeque::new();
        let room = most - page.entries.len();
        scan(segment, query, 0, &mut |sequence, entry| {
            looked += 1;
            if sequence >= before {
                return false;
            }
            if let Some(entry) = entry {
                here.push_back((sequence, entry));
            }
            if here.len() > room {
                here.pop_front();
            }
            true
        })?;
        page.entries.extend(here.into_iter().rev());
        let last = page.entries.last().map(|(sequence, _)| *sequence);
        page.next = match page.entries.len() == most {
            true => last,
            false => Some(segment.first),
        }
        .filter(|next| *next > segments.first().map_or(0, |it| it.first));
        if page.entries.len() == most || looked >= looks {
            break;
        }
    }
    Ok(page)
}

/// The segments of a log, the oldest first.
pub(super) fn segments(files: &AuditFiles) -> Result<Vec<Segment>, LogError> {
    let listed = files.segments();
    listed.map_err(LogError::io("list", files.dir()))
}

/// Every entry of a segment from the record `from` on, up to the first that is not whole, but for
/// chunks that cannot have any that is looked for; `false`: `look` ended it.
pub(super) fn scan(
    segment: &Segment,
    query: &Query,
    from: u64,
    look: Look<'_>,
) -> Result<bool, LogError> {
    if let (false, Some(chunks)) = (query.is_everything(), segment.summaries()) {
        return scan_chunks(segment, &chunks, query, from, look);
    }
    let records = segment.load()?;
    let mut passed = Passed::default();
    let mut offset = 0;
    while let Ok(frame) = records.frame(offset) {
        offset += frame.size();
        passed.pass(&frame);
        if frame.sequence >= from && !look_at(&frame, &passed, query, look) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn look_at(frame: &Frame<'_>, passed: &Passed, query: &Query, look: Look<'_>) -> bool {
    let entry = match told(frame, passed) {
        Ok(entry) => query.narrow(entry),
        Err(why) => {
            tracing::warn!(record = frame.sequence, why, "cannot be read");
            None
        }
    };
    look(frame.sequence, entry)
}

fn scan_chunks(
    segment: &Segment,
    chunks: &[(Chunk, Summary)],
    query: &Query,
    from: u64,
    look: Look<'_>,
) -> Result<bool, LogError> {
    let wanted = query.wanted();
    let mut facts = Facts {
        segment,
        chunks,
        brought: vec![false; chunks.len()],
        passed: Passed::default(),
    };
    for (n, (chunk, summary)) in chunks.iter().enumerate() {
        let is_before = chunks.get(n + 1).is_some_and(|(it, _)| it.first <= from);
        if is_before || !summary.may_have(&wanted, query.since, query.until) {
            continue;
        }
        let records = segment.load_chunk(chunk);
        let records = records.map_err(LogError::io("read", &segment.path))?;
        let mut offset = 0;
        while let Ok(frame) = records.frame(offset) {
            offset += frame.size();
            facts.passed.pass(&frame);
            if frame.sequence < from {
                continue;
            }
            facts.bring(&frame)?;
            if !look_at(&frame, &facts.passed, query, look) {
                return Ok(false);
            }
        }
        facts.note(n);
    }
    Ok(true)
}

/// Facts that records of one chunk refer to in others.
struct Facts<'a> {
    segment: &'a Segment,
    chunks: &'a [(Chunk, Summary)],
    brought: Vec<bool>,
    passed: Passed,
}

impl Facts<'_> {
    /// Notes that a chunk is brought; whether it was.
    fn note(&mut self, chunk: usize) -> bool {
        let place = self.brought.get_mut(chunk);
        place.is_none_or(|place| std::mem::replace(place, true))
    }

    /// Brings what a record refers to, each chunk once.
    fn bring(&mut self, frame: &Frame<'_>) -> Result<(), LogError> {
        for sequence in needed(frame) {
            if self.passed.has(sequence) {
                continue;
            }
            let behind = self.chunks.partition_point(|(it, _)| it.first <= sequence);
            let Some(n) = behind.checked_sub(1) else {
                continue;
            };
            if self.note(n) {
                continue;
            }
            if let Some((chunk, _)) = self.chunks.get(n) {
                let records = self.segment.load_chunk(chunk);
                let records = records.map_err(LogError::io("read", &self.segment.path))?;
                let mut offset = 0;
                while let Ok(frame) = records.frame(offset) {
                    offset += frame.size();
                    self.passed.pass(&frame);
                }
            }
        }
        Ok(())
    }
}

/// All of the log as lines of JSON.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub fn lines(dir: &Path) -> Result<String, LogError> {
    let mut out = Vec::new();
    select(&AuditFiles::new(dir), &Query::default(), &mut |entry| {
        export::json(&mut out, &entry);
        true
    })?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

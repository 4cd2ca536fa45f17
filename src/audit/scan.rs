//! Looking through the log, beside the process that writes it.

use std::path::Path;

use super::{
    decode::{Passed, Told, needed, told},
    export,
    files::{AuditFiles, Records, Segment},
    parts::Parts,
    query::Query,
    terms::Field,
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
    let begins = segments.first().map_or(0, |it| it.first);
    for segment in segments.iter().rev().filter(|it| it.first < before) {
        let parts = Parts::summed_up(segment)?;
        let mut reading = Reading::new(&parts, query);
        for (n, chunk) in parts.chunks().iter().enumerate().rev() {
            if chunk.first >= before || !reading.may_have(n) {
                continue;
            }
            reading.chunk(n, Order::NewestFirst, &mut |sequence, entry| {
                if sequence < before {
                    looked += 1;
                    page.entries.extend(entry().map(|entry| (sequence, entry)));
                }
                page.entries.len() < most
            })?;
            let is_full = page.entries.len() >= most;
            if is_full || looked >= looks {
                let last = page.entries.last().map(|(sequence, _)| *sequence);
                let next = if is_full { last } else { Some(chunk.first) };
                page.next = next.filter(|next| *next > begins);
                return Ok(page);
            }
        }
    }
    Ok(page)
}

/// The segments of a log, the oldest first.
pub(super) fn segments(files: &AuditFiles) -> Result<Vec<Segment>, LogError> {
    let listed = files.segments();
    listed.map_err(LogError::io("list", files.dir()))
}

/// Every entry of a segment from the record `from` on, but for chunks that cannot have any that is
/// looked for; `false`: `look` ended it.
fn scan(segment: &Segment, query: &Query, from: u64, look: Look<'_>) -> Result<bool, LogError> {
    // Where nothing can be left out, no index need be believed.
    let by_parts = !segment.sealed || !query.is_everything();
    let parts = by_parts.then(|| Parts::summed_up(segment)).transpose()?;
    let Some(parts) = parts.filter(|it| !segment.sealed || it.is_summed_up()) else {
        return scan_all(&segment.load()?, query, from, look);
    };
    let mut reading = Reading::new(&parts, query);
    let later = |n: usize| parts.chunks().get(n + 1).map(|it| it.first);
    for n in 0..parts.chunks().len() {
        let is_before = later(n).is_some_and(|first| first <= from);
        if is_before || !reading.may_have(n) {
            continue;
        }
        let goes_on = reading.chunk(n, Order::OldestFirst, &mut |sequence, entry| {
            sequence < from || look(sequence, entry())
        })?;
        if !goes_on {
            return Ok(false);
        }
    }
    Ok(true)
}

fn scan_all(records: &Records, query: &Query, from: u64, look: Look<'_>) -> Result<bool, LogError> {
    let mut passed = Passed::default();
    let mut offset = 0;
    while let Ok(frame) = records.frame(offset) {
        offset += frame.size();
        passed.pass(&frame);
        if frame.sequence >= from && !look(frame.sequence, looked_for(&frame, &passed, query)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn looked_for(frame: &Frame<'_>, passed: &Passed, query: &Query) -> Option<Told> {
    match told(frame, passed) {
        Ok(entry) => query.narrow(entry),
        Err(why) => {
            tracing::warn!(record = frame.sequence, why, "cannot be read");
            None
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// A look through the parts of one segment, with the facts that their records refer to.
struct Reading<'a> {
    parts: &'a Parts,
    query: &'a Query,
    wanted: Vec<(Field, &'a str)>,
    /// Chunks whose facts were passed.
    brought: Vec<bool>,
    passed: Passed,
}

/// Is given the place of each entry, and how to read it where it is looked for; `false` ends it.
type Each<'a> = &'a mut dyn FnMut(u64, &mut dyn FnMut() -> Option<Told>) -> bool;

impl<'a> Reading<'a> {
    fn new(parts: &'a Parts, query: &'a Query) -> Self {
        Self {
            parts,
            query,
            wanted: query.wanted(),
            brought: vec![false; parts.chunks().len()],
            passed: Passed::default(),
        }
    }

    fn may_have(&self, n: usize) -> bool {
        let Query { since, until, .. } = self.query;
        self.parts.may_have(n, &self.wanted, *since, *until)
    }

    /// Every entry of a chunk, up to the first that is not whole; `false`: `each` ended it.
    fn chunk(&mut self, n: usize, order: Order, each: Each<'_>) -> Result<bool, LogError> {
        let records = self.parts.load(n)?;
        self.note(n);
        let mut frames = Vec::new();
        let mut offset = 0;
        while let Ok(frame) = records.frame(offset) {
            offset += frame.size();
            self.passed.pass(&frame);
            frames.push(frame);
        }
        if order == Order::NewestFirst {
            frames.reverse();
        }
        for frame in frames {
            let mut failed = None;
            let goes_on = each(frame.sequence, &mut || {
                failed = self.bring(&frame).err();
                looked_for(&frame, &self.passed, self.query)
            });
            if let Some(why) = failed {
                return Err(why);
            }
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Notes that a chunk's facts are passed; whether they were.
    fn note(&mut self, n: usize) -> bool {
        let place = self.brought.get_mut(n);
        place.is_none_or(|place| std::mem::replace(place, true))
    }

    /// Brings what a record refers to, each chunk once.
    fn bring(&mut self, frame: &Frame<'_>) -> Result<(), LogError> {
        for sequence in needed(frame) {
            if self.passed.has(sequence) {
                continue;
            }
            let Some(n) = self.parts.of(sequence) else {
                continue;
            };
            if self.note(n) {
                continue;
            }
            let records = self.parts.load(n)?;
            let mut offset = 0;
            while let Ok(frame) = records.frame(offset) {
                offset += frame.size();
                self.passed.pass(&frame);
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

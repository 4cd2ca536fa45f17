//! Erasing what was kept of one subject, while the chain still holds.

use std::{collections::HashMap, fs, path::PathBuf};

use super::{
    blocks::{Block, erase as erase_block},
    decode::{Passed, Told, told},
    files::{AuditFiles, Records, SEALED, Segment},
    format::{Entry, Ref},
    hold::{Held, lock},
    seal::{Packing, place, seal_ended},
};
use crate::{
    ledger::{HEADER, LogError, loosen},
    model::{AskedFacts, AskedQuestion, EntityFacts, EntityRef, SubjectFacts, Value},
};

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Facts that are gone.
    pub facts: usize,
    /// Facts of the open segment that are still there: they can be erased once it has ended.
    pub left: usize,
    /// Facts of segments that are held, which are still there.
    pub held: usize,
}

/// Who refers to one block of facts.
#[derive(Default)]
struct Use {
    by_subject: bool,
    by_others: bool,
    tells_of_subject: bool,
}

/// Erases the facts of `subject`, and those that name it, from every segment that has ended and is
/// not held.
///
/// What is left of its decisions is when, by which rules and how they came out; the log says that
/// facts of them were erased, and is still whole.
///
/// # Errors
/// [`LogError`] when a file cannot be read or replaced.
pub fn erase(files: &AuditFiles, subject: &EntityRef) -> Result<Erased, LogError> {
    let in_dir = |what| LogError::io(what, files.dir());
    seal_ended(files).map_err(in_dir("put segments away in"))?;
    let mut erased = Erased::default();
    let _no_hold_meanwhile = lock(files.dir()).map_err(in_dir("lock the holds in"))?;
    let held = Held::now(files).map_err(in_dir("read the holds in"))?;
    let segments = files.segments().map_err(in_dir("list"))?;
    for (n, segment) in segments.iter().enumerate() {
        let records = segment.load()?;
        let goners = blocks_of(&records, subject);
        if goners.is_empty() {
            continue;
        }
        match segment.sealed {
            _ if held.keeps(&segments, n) => erased.held += goners.len(),
            true => {
                rewrite(segment, records, &goners)?;
                erased.facts += goners.len();
            }
            false => erased.left += goners.len(),
        }
    }
    Ok(erased)
}

/// The facts of a segment that tell of `subject` and of nobody else who was decided about.
fn blocks_of(records: &Records, subject: &EntityRef) -> Vec<(u64, u8)> {
    let mut uses: HashMap<(u64, u8), Use> = HashMap::new();
    let mut passed = Passed::default();
    let mut offset = 0;
    while let Ok(frame) = records.frame(offset) {
        offset += frame.size();
        passed.pass(&frame);
        let refs = match Entry::decode(frame.payload) {
            Ok(Entry::Decision(_, line)) => [line.subject, line.asked, line.words],
            Ok(Entry::Repeated(it)) => [Some(it.subject), None, None],
            _ => continue,
        };
        let (who, asked) = match told(&frame, &passed) {
            Ok(Told::Record(record)) => (record.facts.subject, record.facts.asked),
            Ok(Told::Repeated(it)) => (it.subject, None),
            _ => (None, None),
        };
        let is_subject = who.as_ref().is_some_and(|it| it.entity.uid == *subject);
        let at = |it: Ref| (frame.sequence.saturating_sub(it.back), it.slot);
        for it in refs.into_iter().flatten() {
            let found = uses.entry(at(it)).or_default();
            found.by_subject |= is_subject;
            found.by_others |= !is_subject;
        }
        let [of_subject, of_asked, _] = refs;
        let tells = |found: bool, it: Option<Ref>, uses: &mut HashMap<(u64, u8), Use>| {
            if let (true, Some(it)) = (found, it) {
                uses.entry(at(it)).or_default().tells_of_subject = true;
            }
        };
        tells(
            who.is_some_and(|it| subject_names(&it, subject)),
            of_subject,
            &mut uses,
        );
        tells(
            asked.is_some_and(|it| asked_names(&it, subject)),
            of_asked,
            &mut uses,
        );
    }
    let goners = uses
        .into_iter()
        .filter(|(_, it)| it.tells_of_subject || (it.by_subject && !it.by_others));
    let mut goners: Vec<(u64, u8)> = goners.map(|(at, _)| at).collect();
    goners.retain(|(sequence, slot)| {
        let frame = records.find(*sequence);
        let block = frame.and_then(|frame| {
            Block::all(frame.loose)
                .nth(usize::from(*slot))
                .map(|it| it.is_erased())
        });
        block == Some(false)
    });
    goners
}

/// Puts the segment away again without these facts.
fn rewrite(segment: &Segment, mut records: Records, goners: &[(u64, u8)]) -> Result<(), LogError> {
    let failed = |source| LogError::io("replace", &segment.path)(source);
    let header = fs::read(&segment.path).map_err(failed)?;
    let mut packed = header.get(..HEADER).unwrap_or_default().to_vec();
    let (mut open, mut chunks, mut offset) = (Packing::default(), Vec::new(), 0);
    while let Ok(frame) = records.frame(offset) {
        let (sequence, size) = (frame.sequence, frame.size());
        let end = offset + size;
        if let Some(record) = records.bytes.get_mut(offset..end) {
            for (_, slot) in goners.iter().filter(|(at, _)| *at == sequence) {
                // The record was read a moment ago.
                let _whole = loosen(record, |loose| {
                    erase_block(loose, *slot);
                });
            }
            // It was whole a moment ago, and erasing keeps it so.
            open.add(record)
                .map_err(|why| failed(std::io::Error::other(format!("{why:?}"))))?;
        }
        if open.is_full() {
            chunks.extend(open.pack(&mut packed).map_err(failed)?);
        }
        offset = end;
    }
    chunks.extend(open.pack(&mut packed).map_err(failed)?);
    let path: PathBuf = segment.path.with_extension(SEALED);
    place(
        &Segment {
            path,
            ..segment.clone()
        },
        &packed,
        chunks,
    )
    .map_err(failed)
}

fn subject_names(facts: &SubjectFacts, uid: &EntityRef) -> bool {
    entity_names(&facts.entity, uid)
}

fn asked_names(facts: &AskedFacts, uid: &EntityRef) -> bool {
    let stated = match &facts.question {
        AskedQuestion::Named {
            properties,
            resource,
            ..
        } => entity_names(resource, uid) || properties.values().any(|it| value_names(it, uid)),
        AskedQuestion::Http { .. } => false,
    };
    stated
        || facts.resource.as_ref() == Some(uid)
        || facts.entities.iter().any(|it| entity_names(it, uid))
        || facts.context.values().any(|it| value_names(it, uid))
}

fn entity_names(facts: &EntityFacts, uid: &EntityRef) -> bool {
    facts.uid == *uid
        || facts.parents.contains(uid)
        || facts.attributes.values().any(|it| value_names(it, uid))
}

fn value_names(value: &Value, uid: &EntityRef) -> bool {
    match value {
        Value::Entity(named) => named == uid,
        Value::Set(values) => values.iter().any(|it| value_names(it, uid)),
        Value::Record(members) => members.values().any(|it| value_names(it, uid)),
        _ => false,
    }
}

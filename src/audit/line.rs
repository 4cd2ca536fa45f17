//! A record as one line of JSON that is safe to show on a terminal.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use crate::model::{Record, RecordOutcome, Timestamp};

/// Texts that others send are cut to so many bytes, which keeps a record's size bounded.
pub(super) const MAX_TEXT: usize = 1024;

/// Says that records are missing here.
#[derive(Serialize)]
struct Gap {
    kind: &'static str,
    time: Timestamp,
    lost: u64,
}

/// Cuts every text of `record` that others can make long.
pub(super) fn shorten(record: &mut Record) {
    let texts = [
        &mut record.request_id,
        &mut record.token_id,
        &mut record.principal,
        &mut record.action,
        &mut record.resource,
    ];
    texts.into_iter().flatten().for_each(cut);
    if let RecordOutcome::Refusal { detail, .. } = &mut record.outcome {
        cut(detail);
    }
}

fn cut(text: &mut String) {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
}

/// Appends `record` and a newline.
pub(super) fn write_record(out: &mut Vec<u8>, record: &Record) -> serde_json::Result<()> {
    write_line(out, record)
}

/// Appends the line that says so many records are missing.
pub(super) fn write_gap(out: &mut Vec<u8>, time: Timestamp, lost: u64) -> serde_json::Result<()> {
    let kind = "gap";
    write_line(out, &Gap { kind, time, lost })
}

fn write_line(out: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    let start = out.len();
    let written = value.serialize(&mut Serializer::with_formatter(&mut *out, Visible));
    match written {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(start),
    }
    written
}

/// Compact JSON in which whatever could steer a terminal or reorder text is escaped: besides
/// JSON's own, DEL, the C1 controls, line separators and bidirectional marks.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| is_unseen(*char)) {
            let (before, from) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, before)?;
            // All of them are within the basic plane, so one escape each.
            write!(writer, "\\u{:04x}", u32::from(char))?;
            rest = from.get(char.len_utf8()..).unwrap_or_default();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

fn is_unseen(char: char) -> bool {
    matches!(char,
        '\u{7f}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}')
}

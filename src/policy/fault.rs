//! What is wrong with a bundle, as a value that people, tools and logs can each read.

use std::{fmt, sync::Arc};

use miette::Diagnostic;
use serde::Serialize;

/// A place in a bundle's file; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, relative to the bundle's directory.
    pub file: Arc<str>,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The place of a byte offset in a file's text; for many places, see [`Lines`].
    pub fn at(file: &Arc<str>, text: &str, offset: usize) -> Self {
        Lines::new(file, text).place(offset)
    }

    /// The first character of a file.
    pub fn start(file: &Arc<str>) -> Self {
        Self {
            file: Arc::clone(file),
            line: 1,
            column: 1,
        }
    }
}

/// A file's text with its line starts, for finding many places in it.
#[derive(Clone, Debug)]
pub struct Lines<'t> {
    file: Arc<str>,
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Finds the lines of a text.
    pub fn new(file: &Arc<str>, text: &'t str) -> Self {
        let after_newline = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            file: Arc::clone(file),
            text,
            starts: std::iter::once(0).chain(after_newline).collect(),
        }
    }

    /// The place of a byte offset.
    pub fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied();
        let before = self.text.get(start.unwrap_or(0)..offset).unwrap_or("");
        Place {
            file: Arc::clone(&self.file),
            line,
            column: before.chars().count() + 1,
        }
    }

    /// How many characters so many bytes are.
    fn characters(&self, offset: usize, bytes: usize) -> usize {
        let text = self.text.get(offset..offset.saturating_add(bytes));
        text.map_or(0, |text| text.chars().count())
    }

    /// The byte offset of a place of this file.
    pub fn offset(&self, place: &Place) -> Option<usize> {
        let start = *self.starts.get(place.line.checked_sub(1)?)?;
        let line = self.text.get(start..)?;
        let mut chars = line.char_indices().map(|(at, _)| at);
        Some(
            start
                + chars
                    .nth(place.column.checked_sub(1)?)
                    .unwrap_or(line.len()),
        )
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One thing wrong with a bundle: it is not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The rule that is broken, stable for scripts.
    pub rule: &'static str,
    /// Where; `None` when it is about the bundle as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// How many characters from there on are at fault; 0 when that is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub length: usize,
    /// What is the matter with just those, for the margin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Box<str>>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Fault {
    /// A fault at a place.
    pub fn at(rule: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            rule,
            place: Some(place),
            length: 0,
            label: None,
            message: message.into(),
            help: None,
        }
    }

    /// A fault of a whole file.
    pub fn in_file(rule: &'static str, file: &str, message: impl Into<String>) -> Self {
        Self::at(rule, Place::start(&Arc::from(file)), message)
    }

    /// A fault of the bundle as a whole.
    pub fn general(rule: &'static str, message: impl Into<String>) -> Self {
        Self {
            rule,
            place: None,
            length: 0,
            label: None,
            message: message.into(),
            help: None,
        }
    }

    /// The same at a place.
    #[must_use]
    pub fn placed(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }

    /// The same over so many characters.
    #[must_use]
    pub fn over(mut self, length: usize) -> Self {
        self.length = length;
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The faults of a Cedar diagnostic and those related to it, placed by their first label, which
    /// counts from `base`.
    pub(crate) fn from_diagnostic(
        rule: &'static str,
        lines: &Lines<'_>,
        base: usize,
        diagnostic: &dyn Diagnostic,
    ) -> Vec<Self> {
        let label = diagnostic.labels().and_then(|mut labels| labels.next());
        let (offset, bytes) = label
            .as_ref()
            .map_or((0, 0), |label| (label.offset(), label.len()));
        let first = Self {
            rule,
            place: Some(lines.place(base + offset)),
            length: lines.characters(base + offset, bytes),
            label: label.and_then(|label| label.label().map(Box::from)),
            message: diagnostic.to_string(),
            help: diagnostic.help().map(|help| help.to_string()),
        };
        let related = diagnostic.related().into_iter().flatten();
        std::iter::once(first)
            .chain(related.flat_map(|other| Self::from_diagnostic(rule, lines, base, other)))
            .collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "error[{}]: {}", self.rule, self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n    help: {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let file = Arc::from("a.cedar");
        for (offset, line, column) in [(0, 1, 1), (3, 1, 3), (4, 2, 1), (6, 2, 3), (99, 2, 3)] {
            let place = Place::at(&file, "éa\nbc", offset);
            assert_eq!(
                (place.line, place.column),
                (line, column),
                "offset {offset}"
            );
            let lines = Lines::new(&file, "éa\nbc");
            assert_eq!(lines.offset(&place), Some(offset.min(6)));
        }
    }
}

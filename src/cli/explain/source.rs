//! A policy's own lines with marks under them, as a compiler shows them.

use crate::cli::output::{Style, shown};

/// The most lines that are shown without a gap.
const WHOLE: usize = 16;

/// How a mark looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
}

/// Something said about a piece of the text.
#[derive(Debug)]
pub(super) struct Mark {
    /// Where it begins and ends, in bytes of the text.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) tone: Tone,
    /// What is said, one line each.
    pub(super) says: Vec<String>,
}

/// The text, whose first line has the number `first`, with its marks.
pub(super) fn marked(text: &str, first: u32, marks: &[Mark], style: Style) -> String {
    let lines = lines(text);
    let begins = head_line(&lines);
    let marked = |n: usize| {
        lines
            .get(n)
            .is_some_and(|line| marks.iter().any(|it| line.has(it)))
    };
    let last = lines.len().saturating_sub(1);
    let whole = lines.len().saturating_sub(begins) <= WHOLE;
    let is_shown = |n: usize| {
        let beside = marked(n) || marked(n + 1) || (n > 0 && marked(n - 1));
        n >= begins && (whole || n == begins || n == last || beside)
    };
    let width = (usize::try_from(first).unwrap_or(1) + last)
        .to_string()
        .len();
    let mut out = String::new();
    let mut gap = false;
    for (n, line) in lines.iter().enumerate() {
        if !is_shown(n) {
            gap |= n >= begins;
            continue;
        }
        if std::mem::take(&mut gap) {
            out.push_str(&style.dim(&format!("{:>width$} ┆\n", "")));
        }
        let number = usize::try_from(first).unwrap_or(1) + n;
        let gutter = style.dim(&format!("{number:>width$} │"));
        out.push_str(&format!("{gutter} {}\n", plain(line.text)));
        for mark in marks.iter().filter(|mark| line.has(mark)) {
            out.push_str(&underlined(line, mark, width, style));
        }
    }
    out
}

struct Line<'t> {
    start: usize,
    text: &'t str,
}

impl Line<'_> {
    /// Whether a mark begins here.
    fn has(&self, mark: &Mark) -> bool {
        (self.start..=self.start + self.text.len()).contains(&mark.start)
    }
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for text in text.split('\n') {
        lines.push(Line { start, text });
        start += text.len() + 1;
    }
    lines
}

/// The first line that is no annotation.
fn head_line(lines: &[Line<'_>]) -> usize {
    let head = lines.iter().position(|line| {
        let text = line.text.trim_start();
        text.starts_with("permit") || text.starts_with("forbid")
    });
    head.unwrap_or(0)
}

fn underlined(line: &Line<'_>, mark: &Mark, width: usize, style: Style) -> String {
    let begin = mark.start - line.start;
    let end = mark.end.saturating_sub(line.start).min(line.text.len());
    let before = line.text.get(..begin).unwrap_or_default();
    let within = line.text.get(begin..end).unwrap_or_default().trim_end();
    let indent = plain(before).chars().count();
    let carets = "^".repeat(plain(within).chars().count().max(1));
    let carets = match mark.tone {
        Tone::Good => style.good(&carets),
        Tone::Bad => style.bad(&carets),
    };
    let gutter = style.dim(&format!("{:>width$} │", ""));
    let mut says = mark.says.iter();
    let first = says.next().map(String::as_str).unwrap_or_default();
    let mut out = format!("{gutter} {:indent$}{carets} {first}", "")
        .trim_end()
        .to_owned();
    out.push('\n');
    for more in says {
        out.push_str(&format!("{gutter} {:indent$}{more}\n", ""));
    }
    out
}

/// Text of which each character takes one place.
fn plain(text: &str) -> String {
    shown(&text.trim_end_matches('\r').replace('\t', "    "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, marks: &[(&str, &[&str])], expected: &str) {
        let marks: Vec<Mark> = marks
            .iter()
            .map(|(of, says)| {
                let start = text.find(of).unwrap();
                Mark {
                    start,
                    end: start + of.len(),
                    tone: Tone::Bad,
                    says: says.iter().map(ToString::to_string).collect(),
                }
            })
            .collect();
        assert_eq!(marked(text, 9, &marks, Style::plain()), expected);
    }

    #[test]
    fn annotations_are_left_out_and_marks_stand_under_their_text() {
        check(
            "@id(\"a\")\npermit (\n  principal in G::\"é\",\n  action,\n  resource\n);",
            &[("principal in G::\"é\"", &["no", "never"])],
            "10 │ permit (\n11 │   principal in G::\"é\",\n   │   ^^^^^^^^^^^^^^^^^^^ no\n   │   never\n12 │   action,\n13 │   resource\n14 │ );\n",
        );
    }

    #[test]
    fn long_policies_have_gaps_and_escapes_are_shown_as_such() {
        let middle = "  a &&\n".repeat(20);
        let text = format!(
            "permit (principal, action, resource) when {{\n{middle}\tb == \"\u{1b}[2J\"\n}};"
        );
        let shown = marked(
            &text,
            1,
            &[Mark {
                start: text.find("b ==").unwrap(),
                end: text.len(),
                tone: Tone::Bad,
                says: Vec::new(),
            }],
            Style::plain(),
        );
        assert_eq!(
            shown,
            " 1 │ permit (principal, action, resource) when {\n   ┆\n21 │   a &&\n22 │     b == \"\\u{1b}[2J\"\n   │     ^^^^^^^^^^^^^^^^\n23 │ };\n"
        );
    }
}

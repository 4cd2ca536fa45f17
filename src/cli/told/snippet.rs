//! One fault with the author's own lines under it.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Teller, Weight, name};
use crate::{
    cli::output::{Style, shown_lines},
    policy::{Fault, Lines, Place},
};

/// How many lines of one fault are shown.
const LINES: usize = 8;

/// Renders one fault as a compiler would.
pub(super) fn render(teller: Teller<'_>, fault: &Fault, weight: Weight, style: Style) -> String {
    let level = match weight {
        Weight::Error => Level::ERROR,
        Weight::Warning => Level::WARNING,
    };
    let message = shown_lines(&fault.message);
    let title = level.primary_title(message.as_str()).id(fault.rule);
    let window = fault
        .place
        .as_ref()
        .map(|place| Window::of(teller, place, fault.length));
    let help = fault.help.as_deref().map(shown_lines);
    let label = fault.label.as_deref().map(shown_lines);
    let mut group = match &window {
        Some(window) => {
            let span = window.start..window.end;
            let primary = AnnotationKind::Primary.span(span).label(label.as_deref());
            let snippet = Snippet::source(window.text.as_str())
                .line_start(window.line)
                .path(window.path.as_str())
                .annotation(primary);
            title.element(snippet)
        }
        None => annotate_snippets::Group::with_title(title),
    };
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = match style.is_on() {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    renderer.render(&[group])
}

/// The lines of a fault, which are all that the renderer sees of the file.
struct Window {
    path: String,
    line: usize,
    text: String,
    start: usize,
    end: usize,
}

impl Window {
    fn of(teller: Teller<'_>, place: &Place, length: usize) -> Self {
        let text = teller.files.get(&place.file).unwrap_or_default();
        let lines = Lines::new(&place.file, text);
        let first = Place {
            column: 1,
            ..place.clone()
        };
        let rest = lines.offset(&first).and_then(|at| text.get(at..));
        let kept: Vec<&str> = rest.unwrap_or_default().lines().take(LINES).collect();
        // One character stays one, so columns stay as they are.
        let kept = kept.join("\n").chars().map(visible).collect::<String>();
        let column = place.column.saturating_sub(1);
        let at = |column| {
            kept.char_indices()
                .nth(column)
                .map_or(kept.len(), |it| it.0)
        };
        let start = at(column);
        let end = at(column.saturating_add(length.max(1)));
        let last = kept.get(end..).and_then(|rest| rest.find('\n'));
        Self {
            path: name(&teller.path(&place.file)),
            line: place.line,
            text: kept
                .get(..last.map_or(kept.len(), |more| end + more))
                .unwrap_or(&kept)
                .to_owned(),
            start,
            end: end.max(start),
        }
    }
}

/// What would steer a terminal, and is not for the renderer to see.
fn visible(char: char) -> char {
    match char {
        '\n' | '\t' => char,
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' => '\u{fffd}',
        other => other,
    }
}

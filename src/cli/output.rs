//! Text for people: colour only on a terminal, and nothing that others sent may steer it.

use std::io::{self, IsTerminal as _, Write as _};

use super::Failure;

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    on: bool,
}

impl Style {
    /// Colour when standard output is a terminal and `NO_COLOR` does not ask for none.
    pub(super) fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            on: io::stdout().is_terminal() && !refused,
        }
    }

    /// None.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { on: false }
    }

    /// Whether there is colour.
    pub(super) fn is_on(self) -> bool {
        self.on
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint("1;32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self.on {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// `text` on one line, its control characters escaped.
pub(super) fn shown(text: &str) -> String {
    escaped(text, char::is_control)
}

/// `text` on as many lines as it has, its other control characters escaped.
pub(super) fn shown_lines(text: &str) -> String {
    escaped(text, |char| char.is_control() && char != '\n')
}

fn escaped(text: &str, steers: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        // The bidirectional controls (UAX #9) are none of Unicode's control characters.
        let reorders = matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match steers(char) || reorders {
            true => out.extend(char.escape_debug()),
            false => out.push(char),
        }
    }
    out
}

/// Prints to standard output; a reader that has gone is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write the output: {why}")))
        }
        _ => Ok(()),
    }
}

//! Checks of a file's text before a recursive parser sees it.
//!
//! Cedar's parser recurses on nesting without a limit and would overflow the stack of its thread,
//! which no `catch_unwind` survives.

use std::sync::Arc;

use super::fault::{Fault, Place};

/// How much text, and how deeply nested, one file of a bundle may have.
#[derive(Clone, Copy, Debug)]
pub struct TextLimits {
    /// The greatest size of one file, in bytes.
    pub file_bytes: usize,
    /// The greatest size of one policy, in bytes.
    pub policy_bytes: usize,
    /// The greatest nesting of brackets and `if`.
    pub nesting: usize,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            policy_bytes: 64 << 10,
            nesting: 64,
        }
    }
}

/// Checks size, nesting and characters of Cedar text: policies or a schema.
///
/// # Errors
/// The first [`Fault`] found.
pub fn check_text(file: &Arc<str>, text: &str, limits: TextLimits) -> Result<(), Fault> {
    let fault =
        |rule, offset, message: String| Fault::at(rule, Place::at(file, text, offset), message);
    if text.len() > limits.file_bytes {
        let message = format!("file is larger than {} bytes", limits.file_bytes);
        return Err(fault("file_too_large", 0, message));
    }
    let mut scan = Scan::default();
    for (offset, char) in text.char_indices() {
        if is_hidden(char) {
            let message = format!(
                "character U+{:04X} is invisible or reorders text",
                u32::from(char)
            );
            return Err(fault("hidden_character", offset, message));
        }
        scan.step(offset, char);
        if scan.depth > limits.nesting || scan.ifs > limits.nesting {
            let message = format!("nested more than {} deep", limits.nesting);
            return Err(fault("policy_too_deep", offset, message));
        }
        if offset - scan.statement_start > limits.policy_bytes {
            let message = format!("policy is larger than {} bytes", limits.policy_bytes);
            return Err(fault("policy_too_large", scan.statement_start, message));
        }
    }
    Ok(())
}

/// Byte order marks, NUL and the bidirectional controls of UAX #9 ("trojan source").
fn is_hidden(char: char) -> bool {
    matches!(char, '\0' | '\u{feff}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Follows brackets, `if`s and statements outside of strings and comments.
#[derive(Default)]
struct Scan {
    place: Where,
    depth: usize,
    ifs: usize,
    statement_start: usize,
    word: Word,
    previous: char,
}

#[derive(Default, PartialEq)]
enum Where {
    #[default]
    Code,
    String,
    Escape,
    Comment,
}

/// How much of the word `if` has been read.
#[derive(Default, PartialEq)]
enum Word {
    #[default]
    Boundary,
    I,
    If,
    Other,
}

impl Scan {
    fn step(&mut self, offset: usize, char: char) {
        match self.place {
            Where::Escape => self.place = Where::String,
            Where::String => match char {
                '\\' => self.place = Where::Escape,
                '"' => self.place = Where::Code,
                _ => {}
            },
            Where::Comment if char == '\n' => self.place = Where::Code,
            Where::Comment => {}
            Where::Code => self.code(offset, char),
        }
        self.previous = char;
    }

    fn code(&mut self, offset: usize, char: char) {
        self.word = match (&self.word, char) {
            (Word::Boundary, 'i') => Word::I,
            (Word::I, 'f') => Word::If,
            (_, c) if c.is_alphanumeric() || c == '_' => Word::Other,
            (Word::If, _) => {
                self.ifs += 1;
                Word::Boundary
            }
            _ => Word::Boundary,
        };
        match char {
            '"' => self.place = Where::String,
            '/' if self.previous == '/' => self.place = Where::Comment,
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
            ';' if self.depth == 0 => {
                self.ifs = 0;
                self.statement_start = offset;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        let limits = TextLimits {
            file_bytes: 4096,
            policy_bytes: 1024,
            nesting: 8,
        };
        let found = check_text(&Arc::from("a.cedar"), text, limits);
        assert_eq!(
            found.as_ref().map_err(|fault| fault.rule).copied(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn nesting_is_bounded_outside_of_strings_and_comments() {
        check(&format!("{}{}", "(".repeat(8), ")".repeat(8)), Ok(()));
        check(&"(".repeat(9), Err("policy_too_deep"));
        check(&"[{(".repeat(3), Err("policy_too_deep"));
        check(&format!("\"{}\"", "(".repeat(9)), Ok(()));
        check(&format!("\"\\\"{}\"", "(".repeat(9)), Ok(()));
        check(&format!("// {}\n", "(".repeat(9)), Ok(()));
        check(&format!("// \n{}", "(".repeat(9)), Err("policy_too_deep"));
        check(&"if a then b else ".repeat(9), Err("policy_too_deep"));
        check(
            &"permit(principal is X, action, resource) when { if a then b else c };".repeat(12),
            Ok(()),
        );
        check(&"ifs iff _if gif ".repeat(9), Ok(()));
    }

    #[test]
    fn sizes_are_bounded() {
        check(&" ".repeat(4097), Err("file_too_large"));
        check(&" ".repeat(1100), Err("policy_too_large"));
        check(&format!("{};", " ".repeat(1000)).repeat(4), Ok(()));
    }

    #[test]
    fn invisible_characters_are_refused() {
        for char in ['\u{feff}', '\0', '\u{202e}', '\u{2066}'] {
            check(&format!("// {char}"), Err("hidden_character"));
        }
    }
}

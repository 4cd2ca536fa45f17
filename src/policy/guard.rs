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
    /// The greatest number of operators in one policy.
    pub terms: usize,
    /// The greatest depth of an expression, in operations.
    pub depth: usize,
    /// The greatest number of policies in a bundle.
    pub policies: usize,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            policy_bytes: 64 << 10,
            nesting: 64,
            terms: 2_048,
            depth: 256,
            policies: 200_000,
        }
    }
}

/// The greatest size of a schema, in bytes.
const SCHEMA_BYTES: usize = 1 << 20;

/// Checks size, nesting, length and characters of a file of policies, and counts them.
///
/// # Errors
/// The first [`Fault`] found.
pub fn check_policies(file: &Arc<str>, text: &str, limits: TextLimits) -> Result<usize, Fault> {
    check(file, text, limits, Scan::default())
}

/// Checks size, nesting and characters of a schema.
///
/// # Errors
/// The first [`Fault`] found.
pub fn check_schema(file: &Arc<str>, text: &str, limits: TextLimits) -> Result<(), Fault> {
    let limits = TextLimits {
        file_bytes: SCHEMA_BYTES.min(limits.file_bytes),
        policy_bytes: usize::MAX,
        terms: usize::MAX,
        ..limits
    };
    let scan = Scan {
        angles: true,
        ..Scan::default()
    };
    check(file, text, limits, scan).map(drop)
}

fn check(file: &Arc<str>, text: &str, limits: TextLimits, mut scan: Scan) -> Result<usize, Fault> {
    let fault =
        |rule, offset, message: String| Fault::at(rule, Place::at(file, text, offset), message);
    if text.len() > limits.file_bytes {
        let message = format!("file is larger than {} bytes", limits.file_bytes);
        return Err(fault("file_too_large", 0, message));
    }
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
        if scan.terms > limits.terms {
            let message = format!("policy has more than {} operators", limits.terms);
            let help =
                "write long chains as a set (`[…].contains(…)`, `in […]`), or split the policy";
            return Err(fault("policy_too_long", offset, message).help(help));
        }
        if offset - scan.statement_start > limits.policy_bytes {
            let message = format!("policy is larger than {} bytes", limits.policy_bytes);
            return Err(fault("policy_too_large", scan.statement_start, message));
        }
    }
    Ok(scan.statements)
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
    /// Operators since the statement began. Cedar folds chains of them into a tree as deep as the
    /// chain is long, and walks that tree by recursion.
    terms: usize,
    statements: usize,
    statement_start: usize,
    /// Whether `<` and `>` are brackets, as they are in a schema.
    angles: bool,
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
        // `==`, `&&` and the like are one operator; a row of `!` or `-` is as many as it is long.
        let is_operator = |char| "+-*/.!&|=<>%".contains(char);
        if is_operator(char) && (!is_operator(self.previous) || matches!(char, '!' | '-')) {
            self.terms += 1;
        }
        match char {
            '"' => self.place = Where::String,
            '/' if self.previous == '/' => self.place = Where::Comment,
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
            '<' if self.angles => self.depth += 1,
            '>' if self.angles => self.depth = self.depth.saturating_sub(1),
            ';' if self.depth == 0 => {
                self.ifs = 0;
                self.terms = 0;
                self.statements += 1;
                self.statement_start = offset;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TextLimits = TextLimits {
        file_bytes: 4096,
        policy_bytes: 1024,
        nesting: 8,
        terms: 64,
        depth: 16,
        policies: 100,
    };

    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        let found = check_policies(&Arc::from("a.cedar"), text, LIMITS);
        assert_eq!(
            found.as_ref().map(drop).map_err(|fault| fault.rule),
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
    fn chains_are_bounded_within_a_policy() {
        check(&format!("{};", "a+".repeat(64)).repeat(3), Ok(()));
        for term in ["a+", "a.", "a.b()", "a&&", "!", "-", "a == "] {
            check(&term.repeat(65), Err("policy_too_long"));
        }
        check(
            &format!("\"{}\" // {}\n", "+".repeat(65), "+".repeat(65)),
            Ok(()),
        );
    }

    #[test]
    fn policies_are_counted_outside_of_brackets_strings_and_comments() {
        let text = "permit(a, b, c); // ;\nforbid(a, b, c) when { \";\" == x };";
        let counted = check_policies(&Arc::from("a.cedar"), text, LIMITS);
        assert_eq!(counted, Ok(2));
    }

    #[test]
    fn angle_brackets_nest_in_a_schema_alone() {
        let (file, deep) = (Arc::from("x"), "Set<".repeat(9));
        let rule = check_schema(&file, &deep, LIMITS).map_err(|fault| fault.rule);
        assert_eq!(rule, Err("policy_too_deep"));
        check(&deep, Ok(()));
    }

    #[test]
    fn invisible_characters_are_refused() {
        for char in ['\u{feff}', '\0', '\u{202e}', '\u{2066}'] {
            check(&format!("// {char}"), Err("hidden_character"));
        }
    }
}

//! Lints of text: characters that nobody sees.

use crate::{
    bundle::BundleFiles,
    policy::{Fault, Lines},
};

pub(super) fn lints(files: &BundleFiles) -> Vec<Fault> {
    let mut found = Vec::new();
    for (path, text) in files.iter() {
        if text.is_ascii() {
            continue;
        }
        let lines = Lines::new(path, text);
        for (at, char) in text.char_indices().filter(|(_, char)| is_invisible(*char)) {
            let message = format!(
                "character U+{:04X} is invisible or reorders text: what is read is not what is meant",
                u32::from(char)
            );
            let fault = Fault::at("invisible_character", lines.place(at), message).over(1);
            found.push(fault.help("take it away, or write it as an escape (`\\u{…}`)"));
        }
    }
    found
}

/// Format characters (zero width, bidirectional controls, tags), fillers and spaces that look like
/// none or like another.
fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{ad}' | '\u{a0}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
    )
}

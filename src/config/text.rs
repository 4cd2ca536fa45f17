//! How names in the configuration look, and how faults quote what was written.

/// Longest name, in bytes.
const MAX_NAME: usize = 64;

/// Checks a name that the operator chose: lower-case letters, digits, `-`, `_` and `.`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        return Err(format!(
            "{what} name {} must be 1 to {MAX_NAME} of a-z, 0-9, `-`, `_` and `.`",
            quoted(name)
        ));
    }
    Ok(())
}

/// What was written, shortened and escaped, between backticks.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

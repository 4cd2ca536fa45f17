//! "Did you mean": the name that someone had in mind.

/// The known name that `name` is closest to, if it is close enough to be a slip.
pub fn closest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let most = (name.chars().count() / 3).max(1);
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| (1..=most).contains(distance))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A suggestion for a parser's own "unknown field `x`, expected one of `y`, `z`", with or without the
/// second quotes.
pub fn suggestion(message: &str) -> Option<String> {
    let (told, expected) = message.split_once(", expected ")?;
    let name = told
        .split('`')
        .nth(1)
        .filter(|_| told.contains("unknown "))?;
    let known = expected.trim_start_matches("one of ").split(", ");
    let known = known.map(|it| it.trim_matches('`'));
    closest(name, known).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["subject", "action", "resource"];
        for (name, expected) in [
            ("subjet", Some("subject")),
            ("resuorce", Some("resource")),
            ("actoin", Some("action")),
            ("request", None),
            ("x", None),
        ] {
            assert_eq!(closest(name, known.into_iter()), expected, "{name}");
        }
    }

    #[test]
    fn a_parsers_message_has_the_names_in_it() {
        let message = "unknown field `subjet`, expected one of `name`, `subject`";
        assert_eq!(suggestion(message).unwrap(), "did you mean `subject`?");
        let message = "unknown field `subjet`, expected one of name, subject";
        assert_eq!(suggestion(message).unwrap(), "did you mean `subject`?");
        assert_eq!(suggestion("unknown field `q`, expected `name`"), None);
        assert_eq!(suggestion("duplicate entry `a`"), None);
    }
}

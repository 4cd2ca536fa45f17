//! One form for policy text, which says just what it said before.

use std::{str::FromStr as _, sync::Arc};

use cedar_policy::PolicySet;
use cedar_policy_formatter::{Config, policies_str_to_pretty};

use super::mutate::string_length;
use crate::policy::{Fault, Lines, Place, TextLimits, check_policies};

const CONFIG: Config = Config {
    line_width: 80,
    indent_width: 2,
};
/// How often text is formatted until it stays as it is.
const ROUNDS: usize = 4;

/// Formats a file of policies.
///
/// What is given back has the same policies in the same order (annotations, heads and conditions) and
/// the same comments, and formatting it again changes nothing.
///
/// # Errors
/// What the parser does not accept, or what formatting would have changed.
pub fn format_policies(file: &Arc<str>, text: &str) -> Result<String, Vec<Fault>> {
    let fault = |message: String| Fault::at("format", Place::start(file), message);
    let untouched = |message: String| vec![fault(message).help("the file is left as it is")];
    check_policies(file, text, TextLimits::default()).map_err(|it| vec![it])?;
    let set = PolicySet::from_str(text)
        .map_err(|errors| Fault::from_diagnostic("parse", &Lines::new(file, text), 0, &errors))?;
    // Without a policy the formatter would drop what is there.
    if set.policies().next().is_none() && set.templates().next().is_none() {
        return Ok(text.to_owned());
    }
    let mut formatted = text.to_owned();
    for _ in 0..ROUNDS {
        let next = policies_str_to_pretty(&formatted, &CONFIG)
            .map_err(|why| untouched(format!("cannot be formatted: {why}")))?;
        if next == formatted {
            return match proven(text, &formatted) {
                Ok(()) => Ok(formatted),
                Err(why) => Err(untouched(why)),
            };
        }
        formatted = next;
    }
    Err(untouched("has no form that formatting leaves alone".into()))
}

/// Whether both texts say the same.
///
/// # Errors
/// What differs.
fn proven(before: &str, after: &str) -> Result<(), String> {
    let (policies, comments) = (meaning(before)?, comments(before));
    let (policies_after, comments_after) = (meaning(after)?, self::comments(after));
    match () {
        () if policies != policies_after => Err("formatting would change what it says".into()),
        () if comments != comments_after => {
            let lost = comments.iter().find(|it| !comments_after.contains(it));
            let lost = lost.or(comments.first()).copied().unwrap_or_default();
            Err(format!("formatting would lose or move a comment: `{lost}`"))
        }
        () => Ok(()),
    }
}

/// The policies without their places, in the order of the file.
fn meaning(text: &str) -> Result<Vec<serde_json::Value>, String> {
    let set = PolicySet::from_str(text).map_err(|error| error.to_string())?;
    let json = |id: String, json: Result<serde_json::Value, _>| match json {
        Ok(json) => Ok((number(&id), json)),
        Err(error) => Err(format!("{error}")),
    };
    let policies = set
        .policies()
        .map(|it| json(it.id().to_string(), it.to_json()));
    let templates = set
        .templates()
        .map(|it| json(it.id().to_string(), it.to_json()));
    let mut all = policies.chain(templates).collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(|(n, _)| *n);
    Ok(all.into_iter().map(|(_, json)| json).collect())
}

/// Cedar names policies `policy0`, `policy1`, … as they stand in the text.
fn number(id: &str) -> usize {
    let digits = id.trim_start_matches(|char: char| !char.is_ascii_digit());
    digits.parse().unwrap_or(usize::MAX)
}

/// The comments in order, without the space around them.
fn comments(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/']) {
        let from = rest.get(at..).unwrap_or_default();
        let length = if from.starts_with('"') {
            string_length(from)
        } else if from.starts_with("//") {
            let end = from.find('\n').unwrap_or(from.len());
            found.extend(from.get(..end).map(str::trim));
            end
        } else {
            1
        };
        rest = from.get(length..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> Result<String, Vec<Fault>> {
        format_policies(&"a.cedar".into(), text)
    }

    #[test]
    fn text_gets_one_form_and_keeps_its_comments() {
        let text = "// first\n@id(\"a//b\")\npermit(principal,action==Action::\"Go\",resource) // who\nwhen{principal.a /* */ ";
        assert!(format(text).is_err());
        let text = "// first\n@id(\"a//b\") permit(principal,action==Action::\"Go\",resource) // who\nwhen{principal.a&&\n// why\nprincipal.b};\n// last\n";
        let formatted = format(text).unwrap();
        for comment in ["// first", "// who", "// why", "// last"] {
            assert!(formatted.contains(comment), "{formatted}");
        }
        assert!(formatted.contains("principal.a &&"), "{formatted}");
        assert_eq!(format(&formatted).unwrap(), formatted);
    }

    #[test]
    fn a_file_of_comments_stays_as_it_is() {
        for text in ["", "\n", "// nothing yet\n"] {
            assert_eq!(format(text).unwrap(), text);
        }
    }

    #[track_caller]
    fn differ(before: &str, after: &str, says: &str) {
        let why = proven(before, after).unwrap_err();
        assert!(why.contains(says), "{why}");
    }

    #[test]
    fn what_changes_meaning_or_loses_a_comment_is_refused() {
        let policy = "permit(principal, action, resource) when { principal.a };";
        assert_eq!(proven(policy, &policy.replace(' ', "  ")), Ok(()));
        for (from, to) in [
            ("permit", "forbid"),
            ("when", "unless"),
            ("principal.a", "principal.b"),
            ("permit", "@id(\"x\") permit"),
            (policy, ""),
        ] {
            differ(policy, &policy.replace(from, to), "change what it says");
        }
        let two = format!("{policy} forbid(principal, action, resource);");
        let turned = format!("forbid(principal, action, resource); {policy}");
        differ(&two, &turned, "change what it says");
        let commented = format!("// \"why\"\n{policy} // \\");
        differ(&commented, &format!("{policy} // \\"), "`// \"why\"`");
        differ(
            &commented,
            &format!("// \\\n{policy} // \"why\""),
            "comment",
        );
    }

    #[test]
    fn a_guard_stands_before_the_parser() {
        let deep = format!(
            "permit(principal, action, resource) when {{ {} }};",
            "(".repeat(5_000)
        );
        assert_eq!(format(&deep).unwrap_err()[0].rule, "policy_too_deep");
    }
}

use serde_json::Value;

use super::*;
use crate::policy::Place;

const POLICY: &str = "permit (principal, action, resource)\nwhen { principal.nam == 1 };\n";

#[track_caller]
fn check(files: &[(&str, &str)], fault: &Fault, expected: &str) {
    let files = BundleFiles::new(files.iter().copied());
    let teller = Teller {
        directory: Path::new("rules"),
        files: &files,
    };
    let told = teller.human(std::slice::from_ref(fault), Weight::Error, Style::plain());
    assert_eq!(told.trim_end(), expected.trim_matches('\n'), "\n{told}");
}

fn at(file: &str, line: usize, column: usize) -> Place {
    Place {
        file: file.into(),
        line,
        column,
    }
}

#[test]
fn a_fault_shows_the_line_it_is_on() {
    let fault = Fault::at("validate", at("a.cedar", 2, 8), "no attribute `nam`")
        .over("principal.nam".len())
        .help("did you mean `name`?");
    let expected = "
error[validate]: no attribute `nam`
 --> rules/a.cedar:2:8
  |
2 | when { principal.nam == 1 };
  |        ^^^^^^^^^^^^^
  |
  = help: did you mean `name`?
";
    check(&[("a.cedar", POLICY)], &fault, expected);
}

#[test]
fn a_fault_may_be_at_the_end_of_a_file_or_in_none() {
    let fault = Fault::at("parse", at("a.cedar", 3, 1), "unexpected end");
    let expected = "
error[parse]: unexpected end
 --> rules/a.cedar:3:1
  |
3 |
  | ^
";
    check(&[("a.cedar", POLICY)], &fault, expected);
    let fault = Fault::general("no_policies", "the bundle has no policies");
    check(
        &[],
        &fault,
        "error[no_policies]: the bundle has no policies",
    );
    let fault = Fault::in_file("unreadable", "b.cedar", "cannot be read");
    assert!(told_of(&[], &fault).contains("rules/b.cedar:1:1"));
}

fn told_of(files: &[(&str, &str)], fault: &Fault) -> String {
    let files = BundleFiles::new(files.iter().copied());
    let teller = Teller {
        directory: Path::new("rules"),
        files: &files,
    };
    teller.human(std::slice::from_ref(fault), Weight::Warning, Style::plain())
}

#[test]
fn nothing_in_a_file_or_message_steers_a_terminal() {
    let evil = "\u{1b}[31m\u{9b}2J\u{202e}\u{7}";
    let file = format!("x{evil}y");
    let fault = Fault::at("parse", at("a\u{1b}.cedar", 1, 1), format!("bad {evil}"))
        .help(format!("drop {evil}"))
        .over(2);
    let told = told_of(&[("a\u{1b}.cedar", &file)], &fault);
    let steers = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!told.contains(steers), "{told:?}");
}

#[test]
fn sarif_has_the_region_and_an_encoded_path() {
    let files = BundleFiles::new([("a b.cedar", POLICY)]);
    let teller = Teller {
        directory: Path::new("rules"),
        files: &files,
    };
    let fault = Fault::at("validate", at("a b.cedar", 1, 8), "wrong").over(35);
    let log: Value = serde_json::from_str(&teller.sarif(&[(Weight::Warning, &fault)])).unwrap();
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "validate");
    let result = &run["results"][0];
    assert_eq!(result["level"], "warning");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "rules/a%20b.cedar");
    let region = &place["region"];
    assert_eq!(
        (&region["startLine"], &region["startColumn"]),
        (&1.into(), &8.into())
    );
    assert_eq!(
        (&region["endLine"], &region["endColumn"]),
        (&2.into(), &6.into())
    );
}

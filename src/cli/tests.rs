use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[track_caller]
fn check(line: &str, expected: Option<Exit>) {
    let words = std::iter::once("doorward").chain(line.split_whitespace());
    match (Cli::try_parse_from(words), expected) {
        (Ok(_), None) => {}
        (Err(why), Some(exit)) => assert_eq!(exit_of(&why), exit, "{line}"),
        (Ok(cli), Some(_)) => panic!("`{line}` reads as {cli:?}"),
        (Err(why), None) => panic!("`{line}`: {why}"),
    }
}

#[test]
fn bad_usage_is_64_and_help_is_0() {
    check("", Some(Exit::Usage));
    check("serv", Some(Exit::Usage));
    check("serve --colour", Some(Exit::Usage));
    check("check --action A", Some(Exit::Usage));
    check("--help", Some(Exit::Ok));
    check("check --help", Some(Exit::Ok));
    check("--version", Some(Exit::Ok));
}

#[test]
fn a_question_has_one_subject_and_one_form() {
    let named = "--action A --resource T::\"x\"";
    check(&format!("check --token t {named}"), None);
    check(&format!("check --anonymous {named}"), None);
    check(
        &format!("check --subject U::\"x\" {named} --attr a=1 --parent P::\"y\""),
        None,
    );
    check("check --token t --method GET --path /a --host h", None);
    check(&format!("check {named}"), Some(Exit::Usage));
    check(
        &format!("check --token t --anonymous {named}"),
        Some(Exit::Usage),
    );
    check("check --token t", Some(Exit::Usage));
    check("check --token t --action A", Some(Exit::Usage));
    check("check --token t --path /a", Some(Exit::Usage));
    check(
        &format!("check --token t {named} --path /a --method GET"),
        Some(Exit::Usage),
    );
    check("check --token t --action A --resource x", Some(Exit::Usage));
    check(
        &format!("check --token t {named} --attr a"),
        Some(Exit::Usage),
    );
}

#[test]
fn explanations_are_of_a_directory_or_a_server() {
    let named = "--action A --resource T::\"x\"";
    let check = |rest: &str, expected| check(&format!("explain {rest}"), expected);
    check(
        &format!(
            "dir --sub a --scope s --claim k=1 --issuer i --now 2030-01-01T00:00:00Z {named} --json"
        ),
        None,
    );
    check(
        &format!("--token t --addr http://h --caller-token k {named}"),
        None,
    );
    check("dir --case name", None);
    check(
        &format!("--subject U::\"x\" --subject-attr a=1 {named}"),
        None,
    );
    check(&format!("--sub a --token t {named}"), Some(Exit::Usage));
    check(&format!("--claim k=1 --token t {named}"), Some(Exit::Usage));
    check(
        &format!("--sub a --addr http://h {named}"),
        Some(Exit::Usage),
    );
    check(
        &format!("dir --token t --addr http://h {named}"),
        Some(Exit::Usage),
    );
    check(&format!("--case name {named}"), Some(Exit::Usage));
    check("--case name --sub a", Some(Exit::Usage));
    check(
        &format!("--token t --caller-token k {named}"),
        Some(Exit::Usage),
    );
}

#[test]
fn tokens_and_servers_read_their_flags() {
    check(
        "token --sub a --scope s --claim k=1 --claim l=2 --ttl 1h --client-id c --data d",
        None,
    );
    check("token --sub a --ttl soon", Some(Exit::Usage));
    check("token", Some(Exit::Usage));
    check(
        "serve --dev --config f --bundle b --data d --grpc a --http h --probe p --print-config --log-format json",
        None,
    );
    check("route GET https://h/a --bundle dir --json", None);
    check("route GET", Some(Exit::Usage));
    check("validate dir --json", None);
    check("test dir --filter x", None);
    check("schema prelude", None);
}

#[test]
fn authors_tools_read_their_flags() {
    check("new dir", None);
    check("new", Some(Exit::Usage));
    check("test --watch --junit a --filter b", None);
    check(
        "test --coverage --min-coverage 100 --lcov a --mutate --max-mutants 5",
        None,
    );
    check("test --min-coverage 101", Some(Exit::Usage));
    check("test --max-mutants 5", Some(Exit::Usage));
    // What a part of the cases covers says nothing.
    check("test --filter a --coverage", Some(Exit::Usage));
    check("test --filter a --mutate", Some(Exit::Usage));
    check("fmt - --check", None);
    check("lint dir --deny warnings --deny permits_all --sarif", None);
    check("lint --json --sarif", Some(Exit::Usage));
    check("lint --list --json", Some(Exit::Usage));
    check("completions zsh", None);
    check("completions cmd", Some(Exit::Usage));
    check("man dir", None);
}

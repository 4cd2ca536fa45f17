//! Each lint has a page, and each page's example is what the lint finds.

use std::path::Path;

use doorward::{
    bundle::{BundleFiles, BundleLimits, CompileOptions, Snapshot},
    pap::{LINTS, lint},
    policy::Fault,
};

const SCHEMA: &str = "\
entity Group;
entity User in [Group];
entity Thing = { amount: Long };
action Read appliesTo { principal: User, resource: Thing, context: {} };";
const MAPPING: &str = "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\nparents = [{ type = \"Group\", claim = \"groups\" }]\n";

/// Reads what the schema above declares, so that examples need not.
const READS_ALL: &str =
    "@id(\"reads-all\") forbid (principal, action, resource) when { resource.amount == 7 };";

fn files(policies: &str) -> BundleFiles {
    BundleFiles::new([
        ("schema.cedarschema", SCHEMA),
        ("bundle.toml", MAPPING),
        ("a.cedar", policies),
        ("b.cedar", READS_ALL),
    ])
}

/// The examples of a page: what is found, or what is better.
fn example(page: &str, fixed: bool) -> BundleFiles {
    let mut files = files("");
    let mut fences = page.split("```");
    // Text and fences take turns.
    while let (Some(_), Some(fence)) = (fences.next(), fences.next()) {
        let (info, body) = fence.split_once('\n').unwrap();
        let mut info = info.split(' ');
        let file = match info.next().unwrap() {
            "cedar" => "a.cedar",
            "cedarschema" => "schema.cedarschema",
            "toml" => "bundle.toml",
            other => panic!("a fence of `{other}`"),
        };
        let (mut times, mut is_fixed) = (1, false);
        for word in info {
            match word.split_once('=') {
                Some(("repeat", n)) => times = n.parse().unwrap(),
                None if word == "fixed" => is_fixed = true,
                _ => panic!("a fence with `{word}`"),
            }
        }
        // What is not shown again stays as it was.
        if !is_fixed || fixed {
            let text: String = (0..times)
                .map(|n: usize| body.replace("{n}", &n.to_string()))
                .collect();
            files.insert(file, text);
        }
    }
    if files.get("schema.cedarschema") != Some(SCHEMA) {
        files.insert("b.cedar", "");
    }
    files
}

fn found(files: &BundleFiles) -> Vec<Fault> {
    let snapshot = Snapshot::compile(files, &CompileOptions::default());
    let snapshot = snapshot.unwrap_or_else(|faults| panic!("{faults:#?}"));
    lint(files, &snapshot)
}

#[test]
fn every_page_shows_what_its_lint_finds_and_what_is_better() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lints");
    let mut pages: Vec<String> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let codes: Vec<String> = LINTS.iter().map(|it| format!("{}.md", it.code)).collect();
    assert_eq!(pages, codes, "each lint has a page, and each page a lint");
    for it in LINTS {
        assert!(
            it.page.starts_with(&format!("# {}\n", it.code)),
            "{}",
            it.code
        );
        let told = |fixed| {
            let found = found(&example(it.page, fixed));
            let rules = found.iter().map(|fault| fault.rule.to_owned());
            rules.collect::<Vec<String>>()
        };
        let bad = told(false);
        assert!(
            bad.iter().all(|rule| rule == it.code) && !bad.is_empty(),
            "{}: {bad:?}",
            it.code
        );
        assert_eq!(told(true), [""; 0], "{}", it.code);
    }
}

/// What is told of a policy over the schema above.
#[track_caller]
fn check(policy: &str, expected: &[(&str, &str)]) {
    let found = found(&files(policy));
    let told: Vec<(String, String)> = found
        .iter()
        .map(|it| {
            let place = it.place.as_ref().map(ToString::to_string);
            (it.rule.to_owned(), place.unwrap_or_default())
        })
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(told, expected, "{policy}");
}

const READS: &str = "permit (principal in Group::\"r\", action == Action::\"Read\", resource);\n";

#[test]
fn a_lint_is_allowed_with_a_reason_and_only_where_it_applies() {
    let list = "permit (principal, action == Action::\"Read\", resource)\nwhen { principal in [User::\"a\", User::\"b\"] };";
    check(list, &[("entity_list", "a.cedar:2:8")]);
    check(&format!("@allow_lint(\"entity_list: two\")\n{list}"), &[]);
    check(
        &format!("@allow_lint(\"entity_lists: two\")\n{list}"),
        &[
            ("needless_allow_lint", "a.cedar:1:1"),
            ("entity_list", "a.cedar:3:8"),
        ],
    );
    check(
        &format!("@allow_lint(\"entity_list: two; forbid_may_fail: no\")\n{list}"),
        &[("needless_allow_lint", "a.cedar:1:1")],
    );
}

#[test]
fn a_forbid_fails_by_computing_and_by_what_is_not_there() {
    let forbid = |condition: &str| {
        format!(
            "{READS}forbid (principal, action == Action::\"Read\", resource)\nwhen {{ {condition} }};"
        )
    };
    let at = |place| [("forbid_may_fail", place)];
    check(&forbid("resource.amount + 1 > 5"), &at("a.cedar:3:8"));
    check(&forbid("-resource.amount > 5"), &at("a.cedar:3:8"));
    check(&forbid("resource.amount > 5"), &[]);
    let allowed = forbid("resource.amount + 1 > 5").replace(
        "forbid (",
        "@allow_lint(\"forbid_may_fail: small numbers\")\nforbid (",
    );
    check(&allowed, &[]);
}

#[test]
fn of_two_policies_that_are_the_same_one_is_told() {
    check(
        &format!("{READS}{READS}"),
        &[("shadowed_policy", "a.cedar:2:1")],
    );
    let wide = READS.replace("principal in Group::\"r\"", "principal");
    check(
        &format!("{READS}{wide}"),
        &[("shadowed_policy", "a.cedar:1:1")],
    );
    let obliged = format!("@obligation(\"x\")\n{READS}{wide}");
    check(&obliged, &[]);
    let none = READS.replace("permit", "forbid");
    check(
        &format!("{READS}{none}"),
        &[("shadowed_policy", "a.cedar:1:1")],
    );
    let other = READS.replace("\"r\"", "\"s\"");
    check(&format!("{READS}{other}"), &[]);
}

#[test]
fn the_example_bundle_has_nothing_to_tell() {
    let files = BundleFiles::read(Path::new("policies"), BundleLimits::default()).unwrap();
    let found = found(&files);
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

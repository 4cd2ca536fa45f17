//! What must never be published, whatever thread compiles it: each row in a stack of 2 MiB.

use std::thread;

use doorward::{
    bundle::{BundleFiles, CompileOptions, Snapshot},
    pap,
    policy::Fault,
};

const SCHEMA: &str = r#"
entity Team;
entity User in [Team] = { level: Long, boss?: User };
entity Doc = { owner: User, tags: Set<String> };
action read, write appliesTo { principal: User, resource: Doc, context: { n: Long, word: String } };
"#;
const BUNDLE: &str = "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n";
const PERMIT: &str = "permit(principal, action, resource);\n";

fn compile(extra: &[(&str, String)]) -> Result<Snapshot, Vec<Fault>> {
    let mut files = BundleFiles::new([
        ("schema.cedarschema", SCHEMA),
        ("bundle.toml", BUNDLE),
        ("a.cedar", PERMIT),
    ]);
    for (path, text) in extra {
        files.insert(*path, text.clone());
    }
    thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || Snapshot::compile(&files, &CompileOptions::default()))
        .unwrap()
        .join()
        .unwrap()
}

/// What the files come to: nothing, or the rules and places of their faults.
#[track_caller]
fn check(row: &str, extra: &[(&str, String)], expected: &[&str]) {
    let found = match compile(extra) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .iter()
            .map(|fault| match &fault.place {
                Some(place) => format!("{} {place}", fault.rule),
                None => fault.rule.to_owned(),
            })
            .collect(),
    };
    assert_eq!(found, expected, "{row}");
}

fn when(condition: &str) -> String {
    format!("permit(principal, action, resource) when {{ {condition} }};")
}

fn policy(condition: &str) -> [(&'static str, String); 1] {
    [("b.cedar", when(condition))]
}

#[track_caller]
fn check_rule(row: &str, extra: &[(&str, String)], rule: &str) {
    match compile(extra) {
        Ok(_) => assert_eq!("", rule, "{row}: compiled"),
        Err(faults) => {
            let rules: Vec<&str> = faults.iter().map(|fault| fault.rule).collect();
            assert!(rules.contains(&rule), "{row}: {rules:?}");
        }
    }
}

#[test]
fn h01_nesting_is_refused_before_the_parser() {
    for (open, close) in [("(", ")"), ("[", "]"), ("{a: ", "}")] {
        for depth in [64, 161, 2_000, 20_000] {
            let text = format!("{}1{} == 1", open.repeat(depth), close.repeat(depth));
            check_rule("H01", &policy(&text), "policy_too_deep");
        }
        let fits = format!("{}1{}", open.repeat(60), close.repeat(60));
        check_rule("H01", &policy(&format!("{fits} == {fits}")), "");
    }
    let schema = format!(
        "{SCHEMA}\ntype T = {}Long{};",
        "Set<".repeat(100),
        ">".repeat(100)
    );
    check_rule("H01", &[("schema.cedarschema", schema)], "policy_too_deep");
}

#[test]
fn h02_long_chains_are_refused_before_the_parser() {
    for n in [65, 1_100, 4_000] {
        let ifs = "if true then true else ".repeat(n) + "true";
        check_rule("H02", &policy(&ifs), "policy_too_deep");
    }
    for n in [3_000, 10_000] {
        for chain in [
            format!("1{} == 1", "+1".repeat(n)),
            format!("principal{} == principal", ".a".repeat(n)),
            format!("true{}", "&&true".repeat(n)),
            format!("true{}", "||true".repeat(n)),
            format!("{}true", "!".repeat(n)),
            format!("{}1 == 1", "-".repeat(n)),
        ] {
            check_rule("H02", &policy(&chain), "policy_too_long");
        }
    }
    let contains = format!("[1]{}", ".contains(1)".repeat(35_000 / 12));
    check_rule("H02", &policy(&contains), "policy_too_long");
}

#[test]
fn h02_what_passes_the_guards_compiles_or_is_refused_by_its_depth() {
    check_rule("H02", &policy(&format!("1{} == 1", "+1".repeat(240))), "");
    check_rule("H02", &policy(&format!("true{}", "||true".repeat(240))), "");
    for chain in [
        format!("1{} == 1", "+1".repeat(2_000)),
        format!("principal{} == principal", ".a".repeat(2_000)),
        format!("principal == principal{}", " && context.n == 1".repeat(600)),
        format!("[1]{}", ".contains(1)".repeat(2_000)),
    ] {
        check_rule("H02", &policy(&chain), "policy_too_deep");
    }
    // Everything at once, each just within its bound.
    let ifs = "if true then true else ".repeat(60);
    let brackets = format!("{}{ifs}true{}", "(".repeat(60), ")".repeat(60));
    check_rule("H02", &policy(&brackets), "");
    let chained = format!("{}1{} == 1", "(".repeat(60), "+1+1+1+1+1)".repeat(60));
    check_rule("H02", &policy(&chained), "policy_too_deep");
}

#[test]
fn h03_sizes_are_bounded() {
    let big = format!(
        "permit(principal, action, resource); // {}",
        "x".repeat(1 << 20)
    );
    check_rule(
        "H03",
        &[("b.cedar", big.replace(';', ""))],
        "policy_too_large",
    );
    let many = "forbid(principal, action, resource);\n".repeat(200_001);
    check("H03", &[("b.cedar", many)], &["too_many_policies"]);
}

#[test]
fn h04_every_fault_is_told_at_once_with_its_place() {
    let bad = [
        (
            "b.cedar",
            "permit(principal, action, resource) when { principal.levle > 1 };".to_owned(),
        ),
        ("c.cedar", "\npermit(principal, action, resource".to_owned()),
        (
            "d.cedar",
            "permit(principal is Usr, action, resource);".to_owned(),
        ),
        (
            "e.cedar",
            "permit(principal, action == Action::\"raed\", resource);".to_owned(),
        ),
        ("tests/t.yaml", "cases: [".to_owned()),
        ("links.json", "[{}]".to_owned()),
        ("entities.json", "{}".to_owned()),
    ];
    let faults = compile(&bad).unwrap_err();
    let told = |file: &str| {
        faults
            .iter()
            .filter(|fault| {
                fault
                    .place
                    .as_ref()
                    .is_some_and(|place| &*place.file == file)
            })
            .count()
    };
    for (file, _) in &bad {
        assert!(told(file) > 0, "nothing about {file}: {faults:#?}");
    }
    // A broken schema hides no fault of syntax.
    let mut bad = bad.to_vec();
    bad.push(("schema.cedarschema", "entity ;".to_owned()));
    let faults = compile(&bad).unwrap_err();
    let files: Vec<&str> = faults
        .iter()
        .filter_map(|fault| fault.place.as_ref().map(|place| &*place.file))
        .collect();
    for file in ["c.cedar", "schema.cedarschema", "tests/t.yaml"] {
        assert!(files.contains(&file), "{files:?}");
    }
    check(
        "H04",
        &[(
            "b.cedar",
            "\n  permit(principal, action, resource) when {\n    principal.levle > 1 };".to_owned(),
        )],
        &["validate b.cedar:3:5"],
    );
}

#[test]
fn h05_what_the_schema_does_not_allow_is_refused() {
    check_rule("H05", &policy("context.n in [\"a\"]"), "validate");
    check_rule("H05", &policy("context.n == \"a\""), "validate");
    check_rule(
        "H05",
        &policy("decimal(context.word) == decimal(\"1.0\")"),
        "validate",
    );
}

#[test]
fn h07_ids_are_taken_once() {
    let twice = "@id(\"x\") permit(principal, action, resource);\n".repeat(2);
    check(
        "H07",
        &[("b.cedar", twice)],
        &["duplicate_policy_id b.cedar:2:1"],
    );
    let other = "@id(\"a#1\") permit(principal, action, resource);";
    check(
        "H07",
        &[("b.cedar", other.to_owned())],
        &["duplicate_policy_id b.cedar:1:1"],
    );
}

const TEMPLATE: &str =
    "@id(\"share\") permit(principal == ?principal, action, resource == ?resource);";

#[track_caller]
fn check_links(row: &str, links: &str, expected: &[&str]) {
    let files = [
        ("t.cedar", TEMPLATE.to_owned()),
        ("links.json", links.to_owned()),
    ];
    check(row, &files, expected);
}

#[test]
fn h08_a_template_without_links_is_refused() {
    check(
        "H08",
        &[("t.cedar", TEMPLATE.to_owned())],
        &["unlinked_template t.cedar:1:1"],
    );
    check_links("H08", "[]", &["unlinked_template t.cedar:1:1"]);
}

#[test]
fn h09_links_fit_their_templates() {
    let good = r#"{"template": "share", "id": "l1", "principal": "User::\"ann\"", "resource": {"type": "Doc", "id": "d"}}"#;
    check_links("H09", &format!("[{good}]"), &[]);
    let with = |other: &str| format!("[{good},\n {other}]");
    for (row, other) in [
        ("missing template", r#"{"template": "nope", "id": "l2"}"#),
        ("no template", r#"{"template": "a#1", "id": "l2"}"#),
        (
            "lacks a slot",
            r#"{"template": "share", "id": "l2", "principal": "User::\"ann\""}"#,
        ),
        ("lacks both", r#"{"template": "share", "id": "l2"}"#),
        ("duplicate id", good),
        ("id of the template", &good.replace("l1", "share")),
        ("id of a policy", &good.replace("l1", "a#1")),
        (
            "unknown type",
            &good.replace("l1", "l2").replace("User", "Usr"),
        ),
        (
            "unknown member",
            &good.replace("\"id\": \"l1\"", "\"id\": \"l2\", \"slots\": {}"),
        ),
        ("no id", &good.replace("\"id\": \"l1\",", "")),
        ("empty id", &good.replace("l1", "")),
        ("no object", "7"),
        (
            "escape",
            &good.replace("l1", "l2").replace(
                r#""User::\"ann\"""#,
                r#"{"__entity": {"type": "User", "id": "ann"}}"#,
            ),
        ),
    ] {
        check_links(row, &with(other), &["link links.json:2:2"]);
    }
    let extra = [
        ("t.cedar", "@id(\"p\") permit(principal == ?principal, action, resource);".to_owned()),
        ("links.json", r#"[{"template": "p", "id": "l", "principal": "User::\"a\"", "resource": "Doc::\"d\""}]"#.to_owned()),
    ];
    check("extra slot", &extra, &["link links.json:1:2"]);
}

#[test]
fn h10_an_empty_bundle_is_refused() {
    check("H10", &[("a.cedar", String::new())], &["no_policies"]);
    check(
        "H10",
        &[("a.cedar", "// later".to_owned())],
        &["no_policies"],
    );
}

/// What is told of files that are published all the same.
#[track_caller]
fn check_warned(row: &str, extra: &[(&str, String)], expected: &[&str]) {
    let found = pap::warnings(&compile(extra).unwrap());
    let rules: Vec<&str> = found.iter().map(|it| it.rule).collect();
    assert_eq!(rules, expected, "{row}");
}

#[test]
fn h06_a_forbid_that_may_fail_is_published_with_a_warning() {
    let forbid = |condition: &str| {
        let text = format!("forbid(principal, action, resource) when {{ {condition} }};");
        [("a.cedar", when("context.n == 1")), ("b.cedar", text)]
    };
    check_warned("H06", &forbid("context.n + 1 > 2"), &["forbid_may_fail"]);
    check_warned("H06", &forbid("-context.n > 2"), &["forbid_may_fail"]);
    check_warned("H06", &forbid("context.n > 2"), &[]);
    check_warned("H06", &[("a.cedar", when("context.n + 1 > 2"))], &[]);
}

#[test]
fn h11_rules_that_allow_all_or_nothing_are_published_with_a_warning() {
    let forbid = "forbid(principal, action, resource) when { context.n > 2 };";
    check_warned(
        "H11",
        &[("a.cedar", forbid.to_owned())],
        &["nothing_permits"],
    );
    check_warned("H11", &[("a.cedar", PERMIT.to_owned())], &["permits_all"]);
    check_warned("H11", &[("a.cedar", when("true"))], &["permits_all"]);
    check_warned("H11", &[("a.cedar", when("context.n == 1"))], &[]);
}

#[test]
fn h12_text_that_reads_otherwise_than_it_looks_is_refused() {
    for (row, text, rule) in [
        ("BOM", format!("\u{feff}{PERMIT}"), "hidden_character"),
        ("NUL", format!("{PERMIT}\0"), "hidden_character"),
        (
            "override in a string",
            when("\"\u{202e}\" == \"\""),
            "hidden_character",
        ),
        (
            "isolate in a comment",
            format!("// \u{2066}\n{PERMIT}"),
            "hidden_character",
        ),
        (
            "homoglyph",
            "p\u{435}rmit(principal, action, resource);".to_owned(),
            "parse",
        ),
    ] {
        check_rule(row, &[("b.cedar", text)], rule);
    }
}

#[test]
fn h20_entities_that_do_not_fit_the_schema_are_refused() {
    let entity = |attrs: &str| {
        let text = format!(r#"[{{"uid": "Doc::\"d\"", "attrs": {attrs}}}]"#);
        [("entities.json", text)]
    };
    check_rule(
        "H20",
        &entity(r#"{"owner": "User::\"a\"", "tags": ["x"]}"#),
        "",
    );
    for attrs in [
        r#"{"owner": "User::\"a\""}"#,
        r#"{"owner": "User::\"a\"", "tags": [1]}"#,
        r#"{"owner": "User::\"a\"", "tags": [], "size": 1}"#,
        r#"{"owner": {"type": "Doc", "id": "a"}, "tags": []}"#,
    ] {
        check_rule("H20", &entity(attrs), "entity");
    }
}

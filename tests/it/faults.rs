//! What is wrong with a bundle is told, all of it, with its place.

use doorward::{
    bundle::{BundleFiles, CompileOptions, Snapshot},
    model::IssuerName,
};

const FILES: [(&str, &str); 5] = [
    (
        "schema.cedarschema",
        "entity Role;\nentity User in [Role] = { level: Long };\nentity Doc = { owner: User };\n\
         action Read appliesTo { principal: [User], resource: [Doc], context: Doorward::Context };\n",
    ),
    (
        "all.cedar",
        "@id(\"a\")\npermit(principal, action, resource);\n",
    ),
    (
        "bundle.toml",
        "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\nattributes = { level = \"level\" }\n",
    ),
    ("entities.json", "[{\"uid\": \"Role::\\\"r\\\"\"}]"),
    (
        "tests/a.yaml",
        "now: 2030-01-01T00:00:00Z\ncases:\n  - name: one\n    subject: { claims: { sub: a, level: 1 } }\n    \
         action: Read\n    resource: { type: Doc, id: d, attributes: { owner: a } }\n    expect: { decision: allow }\n",
    ),
];

fn faults(changes: &[(&str, &str)]) -> Vec<String> {
    let mut files = BundleFiles::new(FILES);
    for (path, text) in changes {
        files.insert(*path, *text);
    }
    let options = CompileOptions {
        issuers: Some(vec![IssuerName::new("corp")]),
        ..CompileOptions::default()
    };
    let faults = match Snapshot::compile(&files, &options) {
        Ok(_) => return Vec::new(),
        Err(faults) => faults,
    };
    let text = |fault: &doorward::policy::Fault| {
        let place = fault
            .place
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{place} {}", fault.rule)
    };
    faults.iter().map(text).collect()
}

/// Replacing `path` by `text` must give exactly these faults, as `place rule`.
#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    assert_eq!(faults(&[(path, text)]), expected, "{text}");
}

#[test]
fn a_sound_bundle_has_none() {
    assert!(faults(&[]).is_empty());
}

#[test]
fn policies() {
    let check = |text: &str, expected: &[&str]| check("all.cedar", text, expected);
    check(
        "permit(principal, action, resource)\n\nwhen { principal.levl == 1 };",
        &["all.cedar:3:8 validate"],
    );
    check(
        "permit(principal, action, resource) when { principal.level == };",
        &["all.cedar:1:63 parse"],
    );
    check(
        "permit(principal, action, resource) when { context.x in [\"a\"] };",
        &["all.cedar:1:44 validate", "all.cedar:1:57 validate"],
    );
    check(
        "permit(principal == Usr::\"a\", action, resource);",
        &["all.cedar:1:21 validate"],
    );
    check(
        "permit(principal, action == Action::\"Rad\", resource);",
        &["all.cedar:1:29 validate"],
    );
    check(
        "permit(principal == ?principal, action, resource);",
        &["all.cedar:1:1 template"],
    );
    check(
        "@id(\"x\")permit(principal,action,resource);\n@id(\"x\")forbid(principal,action,resource);",
        &["all.cedar:2:1 duplicate_policy_id"],
    );
    check(
        "@id(\"\")permit(principal,action,resource);",
        &["all.cedar:1:1 policy_id"],
    );
    check(
        "@step_up(\"soon\")permit(principal,action,resource);",
        &["all.cedar:1:1 annotation"],
    );
    check(
        &format!(
            "permit(principal,action,resource) when {{ {}true{} }};",
            "(".repeat(70),
            ")".repeat(70)
        ),
        &["all.cedar:1:105 policy_too_deep"],
    );
    check(
        "// \u{202e}\npermit(principal,action,resource);",
        &["all.cedar:1:4 hidden_character"],
    );
    check("", &[" no_policies"]);
    check(
        "permit(principal, action, resource) when { resource.owner.level == 1 && principal.level > 0 };",
        &[],
    );
}

#[test]
fn the_schema() {
    let check = |text: &str, expected: &[&str]| check("schema.cedarschema", text, expected);
    check("entity User", &["schema.cedarschema:1:12 schema"]);
    check(
        "namespace Doorward { entity X; }",
        &["schema.cedarschema:1:1 schema"],
    );
    check(
        "entity User; entity Doc; action Read appliesTo { principal: [User], resource: [Doc], context: { token?: String } };",
        &["schema.cedarschema:1:1 standard_context"],
    );
}

#[test]
fn bundle_toml() {
    let check = |text: &str, expected: &[&str]| check("bundle.toml", text, expected);
    let user =
        "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\nattributes = { level = \"level\" }\n";
    let with = |more: &str| format!("{user}{more}");
    check(
        "[[principal]]\ntype = \"User\"\nid = 1\n",
        &["bundle.toml:3:6 bundle"],
    );
    check("colour = 1", &["bundle.toml:1:1 bundle"]);
    check(
        "[[principal]]\ntype = \"Usr\"\nid = \"{sub}\"\n",
        &["bundle.toml:1:1 principal"],
    );
    check(
        "[[principal]]\ntype = \"Doc\"\nid = \"{sub}\"\n",
        &["bundle.toml:1:1 principal"],
    );
    check(
        "[[principal]]\ntype = \"User\"\nid = \"root\"\n",
        &["bundle.toml:1:1 principal"],
    );
    check(
        &with("issuers = [\"else\"]"),
        &["bundle.toml:1:1 principal"],
    );
    check(
        &with("parents = [{ type = \"Doc\", claim = \"docs\" }]"),
        &["bundle.toml:1:1 principal"],
    );
    check(
        &with("[[entity]]\ntype = \"User\"\nsource = \"bundle\"\n"),
        &["bundle.toml:1:1 principal"],
    );
    check(
        &with("[[entity]]\ntype = \"Doc\"\nsource = \"token\"\n"),
        &["bundle.toml:5:1 entity_source"],
    );
    check(
        &with("[[entity]]\ntype = \"Doc\"\nattributes = { size = \"request\" }\n"),
        &["bundle.toml:5:1 entity_source"],
    );
    let route = |path: &str, id: &str| {
        format!(
            "[[route]]\npath = \"{path}\"\naction = \"Read\"\nresource = {{ type = \"Doc\", id = \"{id}\" }}\n"
        )
    };
    check(&with(&route("/d/{d}", "{d}")), &[]);
    check(
        &with(&(route("/d/{d}", "{d}") + &route("/d/{e}", "{e}"))),
        &["bundle.toml:9:1 route"],
    );
    for path in [
        "d",
        "/d//{d}",
        "/d/../{d}",
        "/d/x{d}",
        "/{*d}/x",
        "/%64/{d}",
        "/{d}/{d}",
        "/d/{}",
    ] {
        check(&with(&route(path, "{d}")), &["bundle.toml:5:1 route"]);
    }
    check(&with(&route("/d/{d}", "{x}")), &["bundle.toml:5:1 route"]);
    check(
        &with(&route("/d/{d}", "{d}").replace("\"Read\"", "\"Rad\"")),
        &["bundle.toml:5:1 route"],
    );
    check(
        &with(&route("/d/{d}", "{d}").replace("\"Doc\"", "\"Role\"")),
        &["bundle.toml:5:1 route"],
    );
}

#[test]
fn entities_json() {
    let check = |text: &str, expected: &[&str]| check("entities.json", text, expected);
    check("{}", &["entities.json:1:1 entities"]);
    check(
        "[{\"uid\": \"Role::\\\"r\\\"\", \"uid\": \"Role::\\\"s\\\"\"}]",
        &["entities.json:1:1 entities"],
    );
    check(
        "[{\"uid\": \"Role::\\\"r\\\"\", \"attr\": {}}]",
        &["entities.json:1:1 entity"],
    );
    check(
        "[{\"uid\": \"Rol::\\\"r\\\"\"}]",
        &["entities.json:1:1 entity"],
    );
    check(
        "[{\"uid\": \"Doc::\\\"d\\\"\"}]",
        &["entities.json:1:1 entity"],
    );
    check(
        "[{\"uid\": \"Doc::\\\"d\\\"\", \"attrs\": {\"owner\": 1}}]",
        &["entities.json:1:1 entity"],
    );
    check(
        "[{\"uid\": \"Doc::\\\"d\\\"\", \"attrs\": {\"owner\": \"a\"}, \"parents\": [\"Role::\\\"r\\\"\"]}]",
        &["entities.json:1:1 entity"],
    );
    check(
        "[{\"uid\": \"Role::\\\"r\\\"\"}, {\"uid\": \"Role::\\\"r\\\"\"}]",
        &["entities.json:1:1 duplicate_entity"],
    );
    // Users are principals, so their facts are the token's until an [[entity]] table says otherwise.
    check(
        "[{\"uid\": \"User::\\\"u\\\"\", \"attrs\": {\"level\": 1}}]",
        &[" entity_source"],
    );
}

#[test]
fn cases_are_read_strictly() {
    let check = |text: &str, expected: &[&str]| check("tests/a.yaml", text, expected);
    let now = "now: 2030-01-01T00:00:00Z\n";
    let case = "cases:\n  - name: one\n    subject: anonymous\n    action: Read\n    resource: 'Doc::\"d\"'\n    expect: { decision: refused }\n";
    check(&format!("{now}{case}"), &[]);
    check(&format!("{now}cases: []\n"), &["tests/a.yaml:1:1 no_cases"]);
    check(case, &["tests/a.yaml:2:5 case"]);
    check(
        &format!("{now}{}", case.replace("expect:", "expects:")),
        &["tests/a.yaml:7:5 yaml"],
    );
    check(
        &format!("{now}{}", case.replace("refused", "allowed")),
        &["tests/a.yaml:7:25 yaml"],
    );
    check(
        &format!("{now}{}", case.replace("anonymous", "nobody")),
        &["tests/a.yaml:3:5 case"],
    );
    check(
        &format!("{now}{}", case.replace("    action: Read\n", "")),
        &["tests/a.yaml:3:5 case"],
    );
    let twice = format!("{now}{case}{}", case.replace("cases:\n", ""));
    check(&twice, &["tests/a.yaml:8:5 case"]);
}

#[test]
fn every_fault_is_told_at_once() {
    let changes = [
        (
            "all.cedar",
            "permit(principal, action, resource) when { 1 };\npermit(principal, action, resource) when { principal.x == 1 };\n",
        ),
        ("entities.json", "[1]"),
        ("tests/a.yaml", "cases: 1"),
    ];
    let found = faults(&changes);
    for expected in [
        "all.cedar:1:44 validate",
        "all.cedar:2:44 validate",
        "entities.json:1:1 entity",
    ] {
        assert!(
            found.iter().any(|fault| fault == expected),
            "{expected} is not in {found:?}"
        );
    }
    assert!(
        found.iter().any(|fault| fault.ends_with("yaml")),
        "{found:?}"
    );
}

//! Which claims make which principal.

use doorward::{
    authn::suppose,
    bundle::{BundleFiles, CompileOptions, Snapshot},
    model::{Members, Refusal, Value},
    pip::Principal,
};
use serde_json::{Value as Json, json};

use crate::kit::now;

const SCHEMA: &str = r#"
entity Role enum ["clerk", "admin"];
entity Group, Permission;
entity Tenant;
entity User in [Role, Group, Permission] = {
  email?: String, username?: String, tenant?: Tenant, organization?: String,
  level?: Long, since?: datetime, scopes?: Set<String>, profile?: { city: String, zip?: String },
};
entity Service = { scopes?: Set<String> };
action Use appliesTo { principal: [User, Service], resource: [Tenant] };
"#;

fn snapshot(rules: &str) -> Snapshot {
    let files = BundleFiles::new([
        ("schema.cedarschema", SCHEMA),
        ("all.cedar", "permit(principal, action, resource);"),
        ("bundle.toml", rules),
    ]);
    Snapshot::compile(&files, &CompileOptions::default()).unwrap()
}

/// The principal's entity, or the precise reason why there is none.
#[track_caller]
fn check(rules: &str, claims: Json, expected: &str) {
    assert_eq!(found(rules, claims), expected);
}

fn found(rules: &str, claims: Json) -> String {
    let claims: Members = match Value::from(claims) {
        Value::Record(members) => members,
        other => panic!("{other:?}"),
    };
    let who = suppose("corp", claims, now())
        .map_err(Refusal::Unauthenticated)
        .and_then(|claims| Principal::of_claims(&snapshot(rules), claims));
    match who {
        Ok(who) => who.describe(),
        Err(refusal) => refusal.reason().to_owned(),
    }
}

fn user(rest: &str) -> String {
    format!("[[principal]]\ntype = \"User\"\nid = \"{{sub}}\"\n{rest}\n")
}

#[test]
fn the_first_rule_whose_tests_hold_makes_the_principal() {
    let rules = format!(
        "[[principal]]\ntype = \"Service\"\nwhen = {{ claim = \"client_id\", equals_claim = \"sub\" }}\nid = \"{{client_id}}\"\n\
         attributes = {{ scopes = {{ claim = \"scope\", split = \" \" }} }}\n{}",
        user(
            "when = [{ claim = \"email\" }, { claim = \"amr\", contains = \"pwd\" }, { claim = \"/org/kind\", equals = \"own\" }]"
        )
    );
    let full = |client: &str| json!({"sub": "a", "client_id": client, "email": "e", "amr": ["pwd"], "org": {"kind": "own"}, "scope": "x y"});
    check(&rules, full("a"), r#"Service::"a" { scopes: ["x", "y"] }"#);
    check(&rules, full("web"), r#"User::"a" { }"#);
    for missing in ["email", "amr", "org"] {
        let mut claims = full("web");
        claims.as_object_mut().unwrap().remove(missing);
        check(&rules, claims, "principal_unmapped");
    }
    let issuers = user("issuers = [\"partner\"]");
    check(&issuers, json!({"sub": "a"}), "principal_unmapped");
}

#[test]
fn attributes_come_from_claims_by_name_or_pointer_typed_by_the_schema() {
    let rules = user(
        "attributes = { tenant = \"/org/id\", email = \"https://x/email\", level = \"lvl\", since = \"auth_time\", profile = \"p\" }",
    );
    let ok = json!({"sub": "a", "org": {"id": "acme"}, "https://x/email": "e@x", "lvl": 3, "auth_time": 1893456000, "p": {"city": "Ulm"}});
    check(
        &rules,
        ok,
        r#"User::"a" { email: "e@x", level: 3, profile: {city: "Ulm"}, since: datetime("2030-01-01T00:00:00.000Z"), tenant: Tenant::"acme" }"#,
    );
    check(
        &rules,
        json!({"sub": "a", "org": {"id": null}, "lvl": null}),
        r#"User::"a" { }"#,
    );
    for bad in [
        json!({"sub": "a", "lvl": 1.5}),
        json!({"sub": "a", "lvl": "3"}),
        json!({"sub": "a", "org": {"id": 7}}),
        json!({"sub": "a", "org": {"id": {"type": "User", "id": "root"}}}),
        json!({"sub": "a", "p": {"zip": "1"}}),
        json!({"sub": "a", "p": {"city": "Ulm", "more": 1}}),
    ] {
        check(&rules, bad, "claim_invalid");
    }
    check(
        &rules,
        json!({"sub": "a", "p": {"__entity": {"type": "User", "id": "root"}}}),
        "claim_reserved_key",
    );
}

#[test]
fn parents_are_those_on_the_list_and_of_the_schema() {
    let rules = user(
        "parents = [{ type = \"Role\", claim = \"roles\" }, { type = \"Group\", claim = \"groups\", split = \",\", allow = [\"eng-*\", \"ops\"] }]",
    );
    check(
        &rules,
        json!({"sub": "a", "roles": ["clerk", "emperor"], "groups": "eng-web,ops,hr,eng"}),
        r#"User::"a" in [Group::"eng-web", Group::"ops", Role::"clerk"] { }"#,
    );
    check(
        &rules,
        json!({"sub": "a", "roles": "admin"}),
        r#"User::"a" in [Role::"admin"] { }"#,
    );
    check(&rules, json!({"sub": "a", "roles": [1]}), "claim_invalid");
    check(
        &rules,
        json!({"sub": "a", "roles": {"admin": true}}),
        "claim_invalid",
    );
}

#[test]
fn ids_are_opaque_and_complete() {
    let rules = "[[principal]]\ntype = \"User\"\nid = \"{issuer}|{tid}/{sub}\"\n";
    check(
        rules,
        json!({"sub": "a\"b\\c::d", "tid": "t"}),
        "User::\"corp|t/a\\\"b\\\\c::d\" { }",
    );
    check(rules, json!({"sub": "a"}), "claim_invalid");
    check(rules, json!({"sub": "a", "tid": ""}), "claim_invalid");
    check(rules, json!({"sub": "a", "tid": 7}), "claim_invalid");
}

#[test]
fn presets_supply_what_the_rule_leaves_out() {
    let preset = |name: &str| format!("[[principal]]\ntype = \"User\"\npreset = \"{name}\"\n");
    check(
        &preset("keycloak"),
        json!({"sub": "a", "preferred_username": "al", "email": "e", "realm_access": {"roles": ["clerk"]}, "groups": ["/g"]}),
        r#"User::"a" in [Group::"/g", Role::"clerk"] { email: "e", username: "al" }"#,
    );
    check(
        &preset("entra"),
        json!({"sub": "pairwise", "oid": "o", "tid": "t", "roles": ["admin"], "groups": ["g"]}),
        r#"User::"o" in [Group::"g", Role::"admin"] { tenant: Tenant::"t" }"#,
    );
    check(
        &preset("auth0"),
        json!({"sub": "auth0|a", "org_id": "org_1", "permissions": ["read:x"]}),
        r#"User::"auth0|a" in [Permission::"read:x"] { organization: "org_1" }"#,
    );
    check(
        &preset("okta"),
        json!({"sub": "a@x", "uid": "00u", "groups": ["Everyone"]}),
        r#"User::"00u" in [Group::"Everyone"] { username: "a@x" }"#,
    );
    check(
        &preset("cognito"),
        json!({"sub": "a", "username": "al", "cognito:groups": ["g"]}),
        r#"User::"a" in [Group::"g"] { username: "al" }"#,
    );
    let own = format!(
        "{}id = \"{{email}}\"\nparents = []\nattributes = {{ username = \"nick\" }}\n",
        preset("keycloak")
    );
    check(
        &own,
        json!({"sub": "a", "email": "e", "nick": "n", "groups": ["g"]}),
        r#"User::"e" { email: "e", username: "n" }"#,
    );
}

//! What Doorward promises its users, each promise a test.

use doorward::model::{Cause, Outcome, Refusal, RejectionCode, Subject};
use serde_json::json;

use crate::kit::{Ask, Issuer, Served, entity, pdp};

const SCHEMA: &str = r#"
entity Tenant;
entity Company = { tier: String };
entity Team = { company: Company };
entity Role;
entity User in [Role] = { tenant?: Tenant };
entity Guest;
entity Order in [Tenant] = { tenant?: Tenant, owner?: User };
entity Stored in [Tenant] = { tenant: Tenant };
entity Project = { team: Team };
action ReadOrder appliesTo { principal: [User], resource: [Order, Stored], context: Doorward::Context };
action ReadProject appliesTo { principal: [User], resource: [Project], context: { token?: Doorward::Token } };
action Browse appliesTo { principal: [User, Guest], resource: [Tenant] };
"#;

const POLICIES: &str = r#"
@id("own-tenant")
permit(principal is User, action == Action::"ReadOrder", resource)
when { principal has tenant && resource in principal.tenant };
@id("owner")
permit(principal is User, action == Action::"ReadOrder", resource is Order)
when { resource has owner && resource.owner == principal };
@id("gold")
permit(principal, action == Action::"ReadProject", resource)
when { resource.team.company.tier == "gold" };
@id("mfa")
@challenge_scope("projects:read")
permit(principal, action == Action::"ReadProject", resource)
when { context has token && context.token.scopes.contains("projects:read") };
@id("anyone")
permit(principal, action == Action::"Browse", resource);
"#;

const ENTITIES: &str = r#"[
  {"uid": {"type": "Stored", "id": "s-1"}, "attrs": {"tenant": "acme"}, "parents": ["Tenant::\"acme\""]},
  {"uid": {"type": "Company", "id": "c"}, "attrs": {"tier": "gold"}},
  {"uid": {"type": "Team", "id": "t"}, "attrs": {"company": "c"}},
  {"uid": {"type": "Company", "id": "poor"}, "attrs": {"tier": "tin"}},
  {"uid": {"type": "Team", "id": "u"}, "attrs": {"company": "poor"}}
]"#;

const ROUTES: &str = r#"
[[principal]]
type = "User"
id = "{sub}"
attributes = { tenant = "tenant" }
parents = [{ type = "Role", claim = "roles" }]

[[principal]]
type = "Guest"
anonymous = true

[[route]]
method = "GET"
path = "/t/{tenant}/orders/{order}"
action = "ReadOrder"
resource = { type = "Order", id = "{order}", attributes = { tenant = "{tenant}" }, parents = [{ type = "Tenant", id = "{tenant}" }] }

[[route]]
method = "GET"
path = "/t/{tenant}/stored/{id}"
action = "ReadOrder"
resource = { type = "Stored", id = "{id}", attributes = { tenant = "{tenant}" }, parents = [{ type = "Tenant", id = "{tenant}" }] }

[[route]]
path = "/t/{tenant}/private"
action = "Browse"
resource = { type = "Tenant", id = "{tenant}" }

[[route]]
path = "/t/{tenant}"
action = "Browse"
resource = { type = "Tenant", id = "{tenant}" }
anonymous = true
"#;

fn served(bundle_toml: &str) -> Served {
    let files = [
        ("schema.cedarschema", SCHEMA),
        ("all.cedar", POLICIES),
        ("entities.json", ENTITIES),
        ("bundle.toml", bundle_toml),
    ];
    Served::new("orders", &files)
}

/// What came of a request, in one word: `allow`, `deny`, or the precise reason of a refusal.
#[track_caller]
fn check(ask: Ask, pdp: &doorward::pdp::Pdp, expected: &str) {
    let found = match ask.of(pdp) {
        Ok(answer) => match answer.decision().outcome {
            Outcome::Allow => "allow",
            Outcome::Deny => "deny",
        },
        Err(refusal) => refusal.reason(),
    };
    assert_eq!(found, expected);
}

#[test]
fn two_issuers_with_the_same_sub_cannot_meet() {
    let (corp, partner) = (Issuer::new("corp"), Issuer::new("partner"));
    let rules = |corp: &str, partner: &str| {
        format!(
            "[[principal]]\ntype = \"User\"\nissuers = [\"corp\"]\n{corp}\n\
             [[principal]]\ntype = \"User\"\nissuers = [\"partner\"]\n{partner}\n"
        )
    };
    let both = [&corp, &partner];
    // The same type of two issuers is refused unless the id tells them apart.
    for (first, second) in [
        ("id = \"{sub}\"", "id = \"{sub}\""),
        ("id = \"{issuer}|{sub}\"", "id = \"{sub}\""),
        ("id = \"{issuer}{sub}\"", "id = \"{issuer}{sub}\""),
        ("id = \"{sub}|{issuer}\"", "id = \"{issuer}|{sub}\""),
    ] {
        let faults = pdp(&[served(&rules(first, second))], &both, &[]).unwrap_err();
        assert!(
            faults
                .iter()
                .any(|fault| fault.message.contains("shared_ids")),
            "{first} {second}"
        );
    }
    // A rule for no issuer in particular is refused once there are two.
    let unnamed = pdp(
        &[served(
            "[[principal]]\ntype = \"User\"\nid = \"{issuer}|{sub}\"",
        )],
        &both,
        &[],
    );
    assert!(
        unnamed.unwrap_err()[0]
            .message
            .contains("more than one issuer")
    );

    let apart = rules("id = \"{issuer}|{sub}\"", "id = \"{issuer}|{sub}\"");
    let pdp = pdp(&[served(&apart)], &both, &[]).unwrap();
    let order = || entity("Order::\"o-1\"", json!({"owner": "corp|alice"}));
    check(
        Ask::named(corp.token("alice", json!({})), "ReadOrder", order()),
        &pdp,
        "allow",
    );
    check(
        Ask::named(partner.token("alice", json!({})), "ReadOrder", order()),
        &pdp,
        "deny",
    );
    check(
        Ask::named(partner.token("corp|alice", json!({})), "ReadOrder", order()),
        &pdp,
        "deny",
    );
}

#[test]
fn a_url_tenant_cannot_make_a_stored_or_declared_order_belong_to_it() {
    let corp = Issuer::new("corp");
    let pdp = pdp(&[served(ROUTES)], &[&corp], &[]).unwrap();
    let eve = || corp.token("eve", json!({"tenant": "evil"}));
    let bob = || corp.token("bob", json!({"tenant": "acme"}));
    // Stored: the URL is a check.
    check(Ask::http(bob(), "GET", "/t/acme/stored/s-1"), &pdp, "allow");
    check(Ask::http(eve(), "GET", "/t/acme/stored/s-1"), &pdp, "deny");
    check(
        Ask::http(eve(), "GET", "/t/evil/stored/s-1"),
        &pdp,
        "resource_mismatch",
    );
    check(
        Ask::http(eve(), "GET", "/t/evil/stored/unknown"),
        &pdp,
        "resource_mismatch",
    );
    // Declared by the caller: the URL is a check too, whatever the declaration leaves out.
    let declared = |attributes| entity("Order::\"o-1\"", attributes);
    let mut of_acme = declared(json!({"tenant": "acme"}));
    of_acme.parents.push("Tenant::\"acme\"".parse().unwrap());
    check(
        Ask::http(bob(), "GET", "/t/acme/orders/o-1").entity(of_acme.clone()),
        &pdp,
        "allow",
    );
    check(
        Ask::http(eve(), "GET", "/t/evil/orders/o-1").entity(of_acme),
        &pdp,
        "resource_mismatch",
    );
    check(
        Ask::http(eve(), "GET", "/t/evil/orders/o-1").entity(declared(json!({}))),
        &pdp,
        "resource_mismatch",
    );
    // Nobody else says anything: then the URL is all there is.
    check(Ask::http(bob(), "GET", "/t/acme/orders/o-1"), &pdp, "allow");
}

#[test]
fn facts_from_elsewhere_than_their_owner_are_refused() {
    let corp = Issuer::new("corp");
    let pdp = pdp(&[served(ROUTES)], &[&corp], &[]).unwrap();
    let alice = || corp.token("alice", json!({"tenant": "evil"}));
    let read = || Ask::named(alice(), "ReadOrder", entity("Order::\"o-1\"", json!({})));
    let stored = entity("Stored::\"s-1\"", json!({"tenant": "evil"}));
    check(
        Ask::named(alice(), "ReadOrder", stored),
        &pdp,
        "fact_not_owned",
    );
    check(
        read().entity(entity("Company::\"c\"", json!({"tier": "tin"}))),
        &pdp,
        "fact_not_owned",
    );
    check(
        read().entity(entity("User::\"alice\"", json!({"tenant": "acme"}))),
        &pdp,
        "fact_not_owned",
    );
    let mut promoted = entity("User::\"alice\"", json!({}));
    promoted.parents.push("Role::\"admin\"".parse().unwrap());
    check(read().entity(promoted), &pdp, "fact_not_owned");
}

#[test]
fn a_caller_cannot_supply_the_context_that_is_doorwards_own() {
    let corp = Issuer::new("corp");
    let pdp = pdp(&[served(ROUTES)], &[&corp], &[]).unwrap();
    let ask = || {
        Ask::named(
            corp.token("alice", json!({})),
            "ReadProject",
            entity("Project::\"p\"", json!({"team": "u"})),
        )
    };
    let forged = json!({"issuer": "corp", "scopes": ["projects:read"], "expires_at": "2030-01-01T10:00:00Z"});
    check(ask().context("token", forged), &pdp, "context_reserved");
    for name in [
        "actor", "caller", "now", "http", "headers", "query", "action",
    ] {
        check(ask().context(name, json!({})), &pdp, "context_reserved");
    }
    check(ask().context("more", json!(1)), &pdp, "unknown_member");
    check(ask(), &pdp, "deny");
    let scoped = corp.token("alice", json!({"scope": "projects:read"}));
    check(
        Ask::named(
            scoped,
            "ReadProject",
            entity("Project::\"p\"", json!({"team": "u"})),
        ),
        &pdp,
        "allow",
    );
}

#[test]
fn a_policy_that_looks_two_entities_deep_decides_right() {
    let corp = Issuer::new("corp");
    let pdp = pdp(&[served(ROUTES)], &[&corp], &[]).unwrap();
    let ask = |team| {
        Ask::named(
            corp.token("alice", json!({})),
            "ReadProject",
            entity("Project::\"p\"", json!({"team": team})),
        )
    };
    check(ask("t"), &pdp, "allow");
    check(ask("u"), &pdp, "deny");
    // A team that nobody knows: the permit cannot be evaluated, which grants nothing.
    let answer = ask("nobody").of(&pdp).unwrap();
    assert_eq!(answer.decision().cause, Cause::NothingPermits);
    assert_eq!(answer.decision().errors[0].code, "entity_missing");
}

#[test]
fn a_bad_token_never_becomes_anonymous() {
    let corp = Issuer::new("corp");
    let pdp = pdp(&[served(ROUTES)], &[&corp], &[]).unwrap();
    check(
        Ask::http(Subject::Anonymous, "GET", "/t/acme"),
        &pdp,
        "allow",
    );
    check(
        Ask::http(Subject::Anonymous, "GET", "/t/acme/private"),
        &pdp,
        "token_missing",
    );
    check(
        Ask::http(Subject::Anonymous, "GET", "/nowhere"),
        &pdp,
        "no_route",
    );
    let forged = Issuer::new("corp").token("alice", json!({}));
    let refusal = Ask::http(forged, "GET", "/t/acme").of(&pdp).unwrap_err();
    let Refusal::Unauthenticated(rejection) = refusal else {
        panic!("{refusal}")
    };
    assert!(matches!(
        rejection.code,
        RejectionCode::KidUnknown | RejectionCode::SignatureInvalid
    ));
}

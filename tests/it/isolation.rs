//! Bundles that share a server share nothing else.

use doorward::{
    config::{CallerConfig, Proof, VouchScope},
    model::{BundleName, CallerName, Digest, IssuerName, Right, Subject},
    pdp::Pdp,
};
use serde_json::json;

use crate::kit::{Ask, Issuer, Served, entity, pdp};

const SCHEMA: &str =
    "entity User; entity Thing; action Use appliesTo { principal: [User], resource: [Thing] };";
const RULES: &str = "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n[[route]]\npath = \"/{thing}\"\naction = \"Use\"\nresource = { type = \"Thing\", id = \"{thing}\" }\n";

fn bundle(name: &str, policy: &str) -> Served {
    Served::new(
        name,
        &[
            ("schema.cedarschema", SCHEMA),
            ("all.cedar", policy),
            ("bundle.toml", RULES),
        ],
    )
}

/// SHA-256 of `s3cret`.
const SECRET: [u8; 32] = [
    0x1e, 0xc1, 0xc2, 0x6b, 0x50, 0xd5, 0xd3, 0xc5, 0x8d, 0x95, 0x83, 0x18, 0x1a, 0xf8, 0x07, 0x66,
    0x55, 0xfe, 0x00, 0x75, 0x6b, 0xf7, 0x28, 0x59, 0x40, 0xba, 0x36, 0x70, 0xf9, 0x9f, 0xcb, 0xa0,
];

fn caller(name: &str, may: &[Right], bundles: Option<&[&str]>) -> CallerConfig {
    CallerConfig {
        name: CallerName::new(name),
        proof: Proof {
            token_sha256: Some(Digest::new(SECRET)),
            ..Proof::default()
        },
        bundles: bundles.map(|names| names.iter().map(|name| BundleName::new(*name)).collect()),
        may: may.iter().copied().collect(),
        vouch: VouchScope {
            types: vec!["User".to_owned()],
            parents: false,
        },
    }
}

#[track_caller]
fn check(ask: Ask, pdp: &Pdp, expected: &str) {
    let found = match ask.of(pdp) {
        Ok(answer) => format!("{} by {}", answer.decision().outcome, answer.bundle()),
        Err(refusal) => refusal.reason().to_owned(),
    };
    assert_eq!(found, expected);
}

#[test]
fn a_request_meets_only_the_bundle_it_names_or_whose_host_it_asks_about() {
    let corp = Issuer::new("corp");
    let mut open = bundle("open", "permit(principal, action, resource);");
    open.config.hosts = vec!["open.example".to_owned()];
    let mut shut = bundle("shut", "forbid(principal, action, resource);");
    shut.config.hosts = vec!["shut.example".to_owned()];
    let pdp = pdp(&[open, shut], &[&corp], &[]).unwrap();
    let alice = || corp.token("alice", json!({}));
    let named = || Ask::named(alice(), "Use", entity("Thing::\"t\"", json!({})));
    check(named(), &pdp, "allow by open");
    check(named().bundle("shut"), &pdp, "deny by shut");
    check(named().bundle("other"), &pdp, "unknown_bundle");
    check(
        Ask::http(alice(), "GET", "open.example/t"),
        &pdp,
        "allow by open",
    );
    check(
        Ask::http(alice(), "GET", "SHUT.example:443/t"),
        &pdp,
        "deny by shut",
    );
    check(
        Ask::http(alice(), "GET", "other.example/t"),
        &pdp,
        "unknown_bundle",
    );
    check(Ask::http(alice(), "GET", "/t"), &pdp, "unknown_bundle");
}

#[test]
fn a_bundle_accepts_only_its_own_issuers_and_audiences() {
    let (corp, partner) = (Issuer::new("corp"), Issuer::new("partner"));
    let mut ours = bundle("ours", "permit(principal, action, resource);");
    ours.config.issuers = Some(vec![IssuerName::new("corp")]);
    let mut theirs = bundle("theirs", "permit(principal, action, resource);");
    theirs.config.issuers = Some(vec![IssuerName::new("partner")]);
    theirs.config.audiences = Some(vec!["theirs-only".to_owned()]);
    let pdp = pdp(&[ours, theirs], &[&corp, &partner], &[]).unwrap();
    let ask = |subject: Subject, bundle: &str| {
        Ask::named(subject, "Use", entity("Thing::\"t\"", json!({}))).bundle(bundle)
    };
    check(
        ask(corp.token("a", json!({})), "ours"),
        &pdp,
        "allow by ours",
    );
    check(
        ask(corp.token("a", json!({})), "theirs"),
        &pdp,
        "issuer_not_accepted",
    );
    check(
        ask(partner.token("a", json!({})), "ours"),
        &pdp,
        "issuer_not_accepted",
    );
    check(
        ask(partner.token("a", json!({})), "theirs"),
        &pdp,
        "aud_mismatch",
    );
    check(
        ask(
            partner.token("a", json!({"aud": ["theirs-only"]})),
            "theirs",
        ),
        &pdp,
        "allow by theirs",
    );
}

#[test]
fn a_caller_does_only_what_it_has_the_right_to_and_only_where() {
    let corp = Issuer::new("corp");
    let bundles = || {
        let mut private = bundle("private", "permit(principal, action, resource);");
        private.config.callers = Some(vec![CallerName::new("someone-else")]);
        [
            bundle("open", "permit(principal, action, resource);"),
            bundle("far", "permit(principal, action, resource);"),
            private,
        ]
    };
    let checker = pdp(
        &bundles(),
        &[&corp],
        &[caller("gw", &[Right::Check], Some(&["open", "private"]))],
    )
    .unwrap();
    let token = || {
        Ask::named(
            corp.token("a", json!({})),
            "Use",
            entity("Thing::\"t\"", json!({})),
        )
    };
    let vouched = |facts| {
        Ask::named(
            Subject::Entity(facts),
            "Use",
            entity("Thing::\"t\"", json!({})),
        )
        .caller("s3cret")
    };
    let user = || entity("User::\"a\"", json!({}));
    check(token(), &checker, "caller_unknown");
    check(token().caller("wrong"), &checker, "caller_unknown");
    check(token().caller("s3cret"), &checker, "allow by open");
    let only = pdp(
        &bundles(),
        &[&corp],
        &[caller("gw", &[Right::Check], Some(&["far"]))],
    );
    check(token().caller("s3cret"), &only.unwrap(), "allow by far");
    check(
        token().caller("s3cret").bundle("far"),
        &checker,
        "caller_lacks_right",
    );
    check(
        token().caller("s3cret").bundle("private"),
        &checker,
        "caller_lacks_right",
    );
    check(vouched(user()), &checker, "caller_lacks_right");

    let voucher = pdp(
        &bundles(),
        &[&corp],
        &[caller("svc", &[Right::Vouch], None)],
    )
    .unwrap();
    check(vouched(user()), &voucher, "allow by open");
    check(token().caller("s3cret"), &voucher, "caller_lacks_right");
    check(
        vouched(entity("Thing::\"t\"", json!({}))),
        &voucher,
        "caller_lacks_right",
    );
    let mut promoted = user();
    promoted.parents.push("User::\"root\"".parse().unwrap());
    check(vouched(promoted), &voucher, "caller_lacks_right");
}

//! Table B of the bad inputs (claims), and what of table D needs no proof.

use serde_json::{Value as Json, json};

use super::super::testing::*;
use super::*;
use crate::{config::Profile, model::RejectionCode as Code};

/// Asserts the outcome of a token with this payload, signed as it should be.
#[track_caller]
fn check_payload(id: &str, payload: &Json, expected: Option<Code>) {
    check(
        id,
        &trust(&[corp()]),
        &RSA.token(&header(), payload),
        expected,
    );
}

#[track_caller]
fn check_claim(id: &str, name: &str, value: Json, expected: Option<Code>) {
    check_payload(id, &with(&payload(), name, value), expected);
}

/// Asserts that the claim `name` is found wrong, by its name.
#[track_caller]
fn check_invalid(id: &str, name: &str, value: Option<Json>) {
    let payload = match value {
        Some(value) => with(&payload(), name, value),
        None => without(&payload(), name),
    };
    let rejection = verify(&trust(&[corp()]), &RSA.token(&header(), &payload)).unwrap_err();
    assert_eq!(rejection.code, Code::ClaimInvalid, "{id}: {rejection}");
    assert!(
        rejection.detail.contains(&format!("`{name}`")),
        "{id}: {rejection}"
    );
}

#[test]
fn issuers_and_kids_are_compared_byte_for_byte() {
    for iss in [
        json!("https://id.example.com"),
        json!("https://id.example.com//"),
        json!("http://id.example.com/"),
        json!("https://ID.example.com/"),
        json!("https://id.example.com/evil"),
        json!("https://id.ex\u{0430}mple.com/"),
        json!([ISS]),
        json!(["https://evil.example/", ISS]),
        json!({"iss": ISS}),
        json!(null),
        json!(1),
        json!(""),
    ] {
        check_claim("A28, B08, B10", "iss", iss, Some(Code::IssUnknown));
    }
    check_payload("B08", &without(&payload(), "iss"), Some(Code::IssUnknown));
    let composed = trust(&[issuer(&[RSA.jwk("cl\u{e9}")])]);
    let decomposed = with(&header(), "kid", json!("cle\u{301}"));
    check(
        "A28",
        &composed,
        &RSA.token(&decomposed, &payload()),
        Some(Code::KidUnknown),
    );
}

#[test]
fn a_date_is_a_number_of_seconds() {
    for exp in [
        json!(null),
        json!("1700000000"),
        json!(-1),
        json!(true),
        json!([NOW + 600]),
        json!(i64::MAX),
        json!(1e300),
        json!(-0.5),
    ] {
        check_invalid("B01", "exp", Some(exp));
    }
    check_invalid("B01", "exp", None);
    check_claim("B01", "exp", json!(1.5), Some(Code::TokenExpired));
    check_claim("B01", "exp", json!(1_893_456_600.5), None);
    let huge = payload()
        .to_string()
        .replace(&(NOW + 600).to_string(), "1e400");
    let token = RSA.raw(Algorithm::RS256, &header().to_string(), &huge);
    check(
        "B01",
        &trust(&[corp()]),
        &token,
        Some(Code::PayloadMalformed),
    );
    for nbf in [json!(null), json!("0"), json!({}), json!(-1)] {
        check_invalid("B02", "nbf", Some(nbf));
    }
    check_claim(
        "B02",
        "nbf",
        json!(4_102_444_800_i64),
        Some(Code::TokenNotYetValid),
    );
    check_invalid("B04", "iat", Some(json!("now")));
    check_invalid("B04", "iat", None);
    check_invalid("D08", "auth_time", Some(json!("then")));
}

#[test]
fn d08_what_a_login_does_not_say_is_absent_and_no_default() {
    let token = RSA.token(&header(), &payload());
    let identity = verify(&trust(&[corp()]), &token).unwrap();
    let claims = identity.claims();
    assert_eq!(
        (&claims.acr, &claims.amr, claims.auth_time),
        (&None, &None, None),
        "D08"
    );
    for (name, value) in [
        ("acr", json!(2)),
        ("amr", json!("pwd")),
        ("amr", json!([1])),
    ] {
        check_invalid("D08", name, Some(value));
    }
}

#[test]
fn times_hold_to_the_second_with_leeway_and_without() {
    let expired = Some(Code::TokenExpired);
    let strict = trust(&[IssuerConfig {
        leeway: std::time::Duration::ZERO,
        ..corp()
    }]);
    let lenient = trust(&[corp()]);
    for (exp, lenient_expects, strict_expects) in [
        (NOW - 31, expired, expired),
        (NOW - 30, expired, expired),
        (NOW - 29, None, expired),
        (NOW, None, expired),
        (NOW + 1, None, None),
    ] {
        let token = RSA.token(&header(), &with(&payload(), "exp", json!(exp)));
        check("B03", &lenient, &token, lenient_expects);
        check("B03", &strict, &token, strict_expects);
    }
    let early = Some(Code::TokenNotYetValid);
    for (nbf, lenient_expects, strict_expects) in [
        (NOW, None, None),
        (NOW + 1, None, early),
        (NOW + 30, None, early),
        (NOW + 31, early, early),
    ] {
        let token = RSA.token(&header(), &with(&payload(), "nbf", json!(nbf)));
        check("B02", &lenient, &token, lenient_expects);
        check("B02", &strict, &token, strict_expects);
    }
    check_claim("B04", "iat", json!(NOW + 30), None);
    for iat in [NOW + 31, NOW + 86_400] {
        check_claim("B04", "iat", json!(iat), Some(Code::TokenLifetime));
    }
    check_claim("B04", "exp", json!(NOW - 60 + 3600), None);
    check_claim(
        "B04",
        "exp",
        json!(NOW - 60 + 3601),
        Some(Code::TokenLifetime),
    );
    let ageless = without(&without(&payload(), "iat"), "typ");
    let jwt = trust(&[IssuerConfig {
        profile: Profile::Jwt,
        ..corp()
    }]);
    let plain = without(&header(), "typ");
    let token = |exp: i64| RSA.token(&plain, &with(&ageless, "exp", json!(exp)));
    check("B04", &jwt, &token(NOW + 3600), None);
    check("B04", &jwt, &token(NOW + 3601), Some(Code::TokenLifetime));
}

#[test]
fn the_audience_must_be_ours_exactly() {
    let no = Some(Code::AudMismatch);
    for aud in [
        json!([]),
        json!(""),
        json!(123),
        json!(null),
        json!({}),
        json!(["other"]),
        json!([AUD, 1]),
        json!([AUD, ""]),
    ] {
        check_claim("B05", "aud", aud, no);
    }
    let plain = IssuerConfig {
        profile: Profile::Jwt,
        ..corp()
    };
    let token = RSA.token(&without(&header(), "typ"), &without(&payload(), "aud"));
    check("B05", &trust(&[plain]), &token, no);
    check_claim("B05", "aud", json!(["other", AUD]), None);
    for aud in [
        "orders-ap",
        "orders-api/",
        "ORDERS-API",
        "orders-api2",
        " orders-api",
    ] {
        check_claim("B06", "aud", json!(aud), no);
    }
}

#[test]
fn a_bundle_narrows_what_the_server_trusts() {
    let keys = trust(&[corp()]);
    let token = AccessToken::new(RSA.token(&header(), &payload()));
    let (corp, other) = ([IssuerName::new("corp")], [IssuerName::new("other")]);
    let (orders, bills) = ([AUD.to_owned()], ["bills".to_owned()]);
    let code = |issuers, audiences| {
        let scope = TokenScope { issuers, audiences };
        keys.verify(&token, &scope, now())
            .err()
            .map(|rejection| rejection.code)
    };
    assert_eq!(code(Some(&corp[..]), Some(&orders[..])), None);
    assert_eq!(code(Some(&other[..]), None), Some(Code::IssuerNotAccepted));
    assert_eq!(code(Some(&[][..]), None), Some(Code::IssuerNotAccepted));
    assert_eq!(code(None, Some(&bills[..])), Some(Code::AudMismatch));
    assert_eq!(code(None, Some(&[][..])), Some(Code::AudMismatch));
    let bill = AccessToken::new(RSA.token(&header(), &with(&payload(), "aud", json!("bills"))));
    let scope = TokenScope {
        issuers: None,
        audiences: Some(&bills),
    };
    assert!(
        keys.verify(&bill, &scope, now()).is_ok(),
        "audiences override the issuer's own"
    );
}

#[test]
fn subjects_are_any_text_of_bounded_length() {
    for sub in [
        json!(""),
        json!(["a"]),
        json!(1),
        json!(null),
        json!("s".repeat(10 * 1024)),
    ] {
        check_invalid("B11", "sub", Some(sub));
    }
    check_invalid("B11", "sub", None);
    for sub in [
        "a\"b\\c",
        "a\0b\nc",
        "User::\"root\"",
        "\u{e9}\u{2713}",
        &"s".repeat(256),
    ] {
        let token = RSA.token(&header(), &with(&payload(), "sub", json!(sub)));
        let identity = verify(&trust(&[corp()]), &token).unwrap();
        assert_eq!(identity.claims().sub, sub, "B11");
    }
}

#[test]
fn scopes_are_separated_by_spaces() {
    for scope in [
        json!(["a", "b"]),
        json!("a\tb"),
        json!("a\nb"),
        json!("a \"b\""),
        json!("caf\u{e9}"),
        json!(1),
        json!(null),
        json!("s ".repeat(1001)),
    ] {
        check_invalid("B12", "scope", Some(scope));
    }
    let scopes = |scope: Json| {
        let token = RSA.token(&header(), &with(&payload(), "scope", scope));
        verify(&trust(&[corp()]), &token)
            .unwrap()
            .claims()
            .scopes
            .clone()
    };
    assert_eq!(scopes(json!("")), [""; 0]);
    assert_eq!(scopes(json!(" a  b ")), ["a", "b"]);
    assert_eq!(scopes(json!("a a")), ["a", "a"]);
    let scp = with(&without(&payload(), "scope"), "scp", json!("a"));
    let identity = verify(&trust(&[corp()]), &RSA.token(&header(), &scp)).unwrap();
    assert_eq!(identity.claims().scopes, [""; 0], "RFC 9068 knows no `scp`");
}

#[test]
fn claims_cannot_smuggle_entities_or_hide_what_is_missing() {
    let reserved = Some(Code::ClaimReservedKey);
    for name in ["__entity", "__extn", "__expr"] {
        check_claim("B13", name, json!("x"), reserved);
        check_claim(
            "B13",
            "team",
            json!({name: {"type": "User", "id": "root"}}),
            reserved,
        );
        check_claim("B13", "team", json!([{"a": [{name: 1}]}]), reserved);
    }
    let mut deep = json!(1);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    check_claim("B14", "deep", deep, Some(Code::PayloadMalformed));
    let mut many = payload();
    for n in 0..257 {
        many[format!("c{n}")] = json!(n);
    }
    check_payload("B14", &many, Some(Code::ClaimOverflow));
    for value in [
        json!(1.5),
        json!(-0.0),
        json!(1e3),
        json!(u64::MAX),
        json!(null),
        json!([1, "a"]),
    ] {
        check_claim("B14", "odd", value, None);
    }
    let overflow = Some(Code::ClaimOverflow);
    check_claim("B15", "groups", json!(vec!["g"; 1001]), overflow);
    check_claim("B15", "groups", json!(vec!["g"; 1000]), None);
    check_claim("B15", "org", json!({"groups": vec![0; 1001]}), overflow);
    check_claim("B15", "_claim_names", json!({"groups": "src1"}), overflow);
    check_claim("B15", "_claim_sources", json!({}), overflow);
    check_claim("B15", "hasgroups", json!(true), overflow);
}

#[test]
fn a_payload_is_one_json_object() {
    for text in [
        "123400",
        "\"x\"",
        "[]",
        "",
        "null",
        "{}x",
        "{\"a\":}",
        "\u{feff}{}",
    ] {
        let token = RSA.raw(Algorithm::RS256, &header().to_string(), text);
        check(
            "B16",
            &trust(&[corp()]),
            &token,
            Some(Code::PayloadMalformed),
        );
    }
    let twice = payload().to_string().replace("{", r#"{"sub":"root","#);
    let token = RSA.raw(Algorithm::RS256, &header().to_string(), &twice);
    check(
        "A11",
        &trust(&[corp()]),
        &token,
        Some(Code::DuplicateMember),
    );
}

#[test]
fn other_kinds_of_token_are_not_access_tokens() {
    let jwt = trust(&[IssuerConfig {
        profile: Profile::Jwt,
        ..corp()
    }]);
    let typ = Some(Code::TypNotAccepted);
    for (name, value) in [
        ("nonce", json!("n")),
        ("at_hash", json!("h")),
        ("c_hash", json!("h")),
        ("s_hash", json!("h")),
        (
            "events",
            json!({"http://schemas.openid.net/event/backchannel-logout": {}}),
        ),
    ] {
        let payload = with(&payload(), name, value);
        check(
            "B17",
            &trust(&[corp()]),
            &RSA.token(&header(), &payload),
            typ,
        );
        check(
            "B17",
            &jwt,
            &RSA.token(&without(&header(), "typ"), &payload),
            typ,
        );
    }
    let plain = without(&header(), "typ");
    let unmarked = without(&without(&payload(), "scope"), "client_id");
    check("B17", &jwt, &RSA.token(&plain, &unmarked), typ);
    for (name, value) in [("typ", "ID"), ("typ", "Refresh"), ("token_use", "id")] {
        let payload = with(&payload(), name, json!(value));
        check("B17", &jwt, &RSA.token(&plain, &payload), typ);
    }
    for name in ["client_id", "iat", "jti"] {
        check_invalid("RFC 9068", name, None);
    }
    check_invalid("RFC 9068", "client_id", Some(json!(1)));
    check_invalid("RFC 9068", "jti", Some(json!("")));
}

#[test]
fn actors_are_a_short_chain_of_subjects() {
    let chain = |depth: usize| {
        let mut act = json!({"sub": "a"});
        for _ in 1..depth {
            act = json!({"sub": "a", "act": act});
        }
        act
    };
    check_claim("B24", "act", chain(5), None);
    check_invalid("B24", "act", Some(chain(6)));
    check_invalid("B24", "act", Some(chain(15)));
    for act in [
        json!({}),
        json!({"sub": 1}),
        json!("a"),
        json!(null),
        json!({"sub": "a", "act": {}}),
    ] {
        check_invalid("B24", "act", Some(act));
    }
}

#[test]
fn sender_constrained_tokens_are_refused_until_their_proof_is_checked() {
    for (id, cnf) in [
        (
            "D01",
            json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        ),
        (
            "D06",
            json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        ),
        ("D01", json!({})),
        ("D01", json!(null)),
    ] {
        check_claim(id, "cnf", cnf, Some(Code::PopNotSupported));
    }
}

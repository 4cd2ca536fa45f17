//! Table C of the bad inputs, as far as it is about what a JWK Set holds.

use aws_lc_rs::rsa::KeySize;
use serde_json::{Value as Json, json};

use super::super::testing::*;
use super::*;

fn parse(keys: &[Json]) -> Result<KeyRing, RingFault> {
    KeyRing::parse(jwks(keys).as_bytes(), &Algorithm::ALL)
}

/// Asserts that a key is left out, the good one beside it is kept, and alone it makes no ring.
#[track_caller]
fn check_skipped(id: &str, jwk: &Json, why: &str) {
    let ring = parse(&[RSA.jwk("good"), jwk.clone()]).unwrap();
    assert_eq!(ring.keys().len(), 1, "{id}");
    let skipped = &ring.skipped()[0];
    assert_eq!(skipped.index, 1, "{id}");
    assert!(skipped.why.contains(why), "{id}: {}", skipped.why);
    match parse(std::slice::from_ref(jwk)) {
        Err(RingFault::NoUsableKey(skipped)) => assert_eq!(skipped[0].index, 0, "{id}"),
        other => panic!("{id}: {other:?}"),
    }
}

#[test]
fn c06_what_is_no_key_set_makes_no_ring() {
    for text in [
        "",
        "<html>",
        "{}",
        "[]",
        "null",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        r#"{"keys":[{"kty":"RSA""#,
        r#"{"keys":[],"keys":[]}"#,
    ] {
        let fault = KeyRing::parse(text.as_bytes(), &Algorithm::ALL).unwrap_err();
        assert_eq!(fault, RingFault::NotASet, "C06 {text}");
    }
    assert_eq!(parse(&[]).unwrap_err(), RingFault::NoUsableKey(Vec::new()));
    let many: Vec<_> = (0..101).map(|n| RSA.jwk(&n.to_string())).collect();
    assert_eq!(parse(&many).unwrap_err(), RingFault::TooLarge);
    assert_eq!(parse(&many[..100]).unwrap().keys().len(), 100);
    let padded = format!("{}{}", " ".repeat(MAX_SET), jwks(&[RSA.jwk("a")]));
    let fault = KeyRing::parse(padded.as_bytes(), &Algorithm::ALL).unwrap_err();
    assert_eq!(fault, RingFault::TooLarge);
}

#[test]
fn c07_keys_of_unknown_kinds_are_left_out_alone() {
    let p256 = Signer::ec(Algorithm::ES256);
    for jwk in [
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "OKP", "crv": "Ed448", "x": "AAAA"}),
        json!({"kty": "rsa", "n": "AAAA", "e": "AQAB"}),
        json!({"kid": "a"}),
    ] {
        check_skipped("C07", &jwk, "not used here");
    }
    check_skipped("C07", &json!("RSA"), "not an object");
    check_skipped("C07", &json!({"kty": 1}), "wrong type");
    check_skipped(
        "C07",
        &with(&p256.jwk, "alg", json!("ES256K")),
        "not used here",
    );
    check_skipped(
        "C07",
        &with(&p256.jwk, "alg", json!("ES384")),
        "fits no algorithm",
    );
    check_skipped("C07", &with(&p256.jwk, "kid", json!(7)), "wrong type");
    let ed = with(&Signer::ed().jwk, "alg", json!("Ed25519"));
    assert_eq!(
        parse(&[ed]).unwrap().keys()[0].algorithms,
        [Algorithm::EdDSA]
    );
}

#[test]
fn secrets_in_a_key_set_are_refused_with_an_alarm() {
    let oct = json!({"kty": "oct", "k": "c2VjcmV0"});
    check_skipped("C08", &oct, "symmetric members");
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let jwk = with(&RSA.jwk("leaked"), member, json!("AQAB"));
        check_skipped("C09", &jwk, "private or symmetric members");
        let ring = parse(&[RSA.jwk("good"), jwk]).unwrap();
        assert!(ring.skipped()[0].alarming, "C09");
    }
}

#[test]
fn c10_rsa_keys_are_of_a_sound_size_and_shape() {
    let good = RSA.jwk.clone();
    let n = URL_SAFE_NO_PAD.decode(good["n"].as_str().unwrap()).unwrap();
    let modulus = |bytes: &[u8]| with(&good, "n", json!(base64url(bytes)));
    check_skipped("C10", &modulus(&n[128..]), "fewer than 2048");
    check_skipped("C10", &modulus(&n[1..]), "fewer than 2048");
    check_skipped(
        "C10",
        &modulus(&[&n[..], &n].concat().repeat(4)),
        "more than 8192",
    );
    let mut even = n.clone();
    even[255] ^= 1;
    check_skipped("C10", &modulus(&even), "out of range");
    for e in [&[1][..], &[0], &[2], &[1, 0, 0], &[3; 9], &[]] {
        check_skipped(
            "C10",
            &with(&good, "e", json!(base64url(e))),
            "out of range",
        );
    }
    check_skipped("C10", &without(&good, "n"), "lacks a part");
    check_skipped("C10", &with(&good, "n", json!("A=")), "lacks a part");
    let padded = [&[0][..], &n].concat();
    assert!(
        parse(&[modulus(&padded)]).is_ok(),
        "a leading zero changes nothing"
    );
    assert!(
        parse(&[with(&good, "e", json!("Aw"))]).is_ok(),
        "C10: 3 is allowed"
    );
    assert!(parse(&[Signer::rsa(KeySize::Rsa3072).jwk]).is_ok());
}

#[test]
fn c11_points_are_on_their_curve() {
    let good = Signer::ec(Algorithm::ES256).jwk;
    let p384 = Signer::ec(Algorithm::ES384).jwk;
    let zero = json!(base64url([0; 32]));
    check_skipped("C11", &with(&good, "y", good["x"].clone()), "not a point");
    check_skipped(
        "C11",
        &with(&with(&good, "x", zero.clone()), "y", zero),
        "not a point",
    );
    check_skipped("C11", &with(&p384, "crv", json!("P-256")), "do not fit");
    check_skipped("C11", &with(&good, "x", json!("AAAA")), "do not fit");
    check_skipped("C11", &with(&good, "crv", json!("p-256")), "not used here");
    let x25519 = with(&Signer::ed().jwk, "crv", json!("X25519"));
    check_skipped("C11", &x25519, "not used here");
    check_skipped(
        "C11",
        &with(&Signer::ed().jwk, "x", json!("AAAA")),
        "no Ed25519 key",
    );
}

#[test]
fn c12_keys_for_other_uses_do_not_verify() {
    let good = RSA.jwk("other");
    check_skipped("C12", &with(&good, "use", json!("enc")), "`use`");
    check_skipped("C12", &with(&good, "use", json!(["sig"])), "wrong type");
    check_skipped(
        "C12",
        &with(&good, "key_ops", json!(["encrypt"])),
        "`key_ops`",
    );
    check_skipped("C12", &with(&good, "key_ops", json!([])), "`key_ops`");
    check_skipped("C12", &with(&good, "key_ops", json!("verify")), "`key_ops`");
    check_skipped(
        "C12",
        &with(&good, "alg", json!("RSA-OAEP")),
        "not used here",
    );
    let sound = with(
        &with(&good, "use", json!("sig")),
        "key_ops",
        json!(["verify"]),
    );
    assert!(parse(&[sound]).is_ok());
}

#[test]
fn only_keys_that_the_issuer_may_use_count() {
    let keys = jwks(&[RSA.jwk("rsa"), Signer::ec(Algorithm::ES256).jwk("ec")]);
    let ring = KeyRing::parse(keys.as_bytes(), &[Algorithm::ES256]).unwrap();
    assert_eq!(ring.keys()[0].kid.as_deref(), Some("ec"));
    assert!(ring.skipped()[0].why.contains("fits no algorithm"));
}

#[test]
fn thumbprints_are_those_of_rfc_7638() {
    let jwk = json!({
        "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    });
    let ring = parse(&[jwk]).unwrap();
    let expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    assert_eq!(base64url(ring.keys()[0].thumbprint), expected);
}

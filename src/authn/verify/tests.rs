//! Table A of the bad inputs (form, header, key), and what a good token yields.

use aws_lc_rs::hmac;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::json;

use super::super::testing::*;
use super::*;
use crate::{
    config::Profile,
    model::{Actor, RejectionCode as Code},
};

#[test]
fn a_good_token_yields_its_claims() {
    let payload = with(
        &payload(),
        "act",
        json!({"sub": "gateway", "act": {"sub": "job"}}),
    );
    let payload = with(&payload, "amr", json!(["pwd", "otp"]));
    let payload = with(&payload, "acr", json!("urn:acr:mfa"));
    let payload = with(&payload, "auth_time", json!(NOW - 90));
    let token = RSA.token(&header(), &payload);
    let identity = verify(&trust(&[corp()]), &token).unwrap();
    let claims = identity.claims();
    assert_eq!(claims.issuer.as_str(), "corp");
    assert_eq!(claims.iss, ISS);
    assert_eq!(claims.sub, "alice");
    assert_eq!(claims.client_id.as_deref(), Some("web"));
    assert_eq!(claims.scopes, ["orders:read", "orders:write"]);
    assert_eq!(claims.acr.as_deref(), Some("urn:acr:mfa"));
    assert_eq!(
        claims.amr.as_deref(),
        Some(&["pwd".to_owned(), "otp".to_owned()][..])
    );
    assert_eq!(claims.auth_time.map(Timestamp::as_second), Some(NOW - 90));
    assert_eq!(claims.expires_at.as_second(), NOW + 600);
    assert_eq!(claims.jti.as_deref(), Some("t-1"));
    let gateway = Actor {
        subject: "gateway".to_owned(),
        issuer: None,
    };
    assert_eq!(
        claims.actor,
        Some(gateway),
        "only the outermost actor counts"
    );
    assert_eq!(
        claims.get("/act/act/sub").and_then(Value::as_str),
        Some("job")
    );
    let digest = digest(&SHA256, token.as_bytes());
    let hex: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(identity.fingerprint().len(), 16);
    assert!(hex.starts_with(identity.fingerprint()));
    assert!(
        !format!("{identity:?}").contains("alice"),
        "claims are not printed"
    );
}

#[test]
fn every_algorithm_verifies_with_a_key_of_its_own_kind_and_no_other() {
    let signers = [
        (&*RSA, "rsa"),
        (&Signer::ec(Algorithm::ES256), "p256"),
        (&Signer::ec(Algorithm::ES384), "p384"),
        (&Signer::ed(), "ed"),
    ];
    let keys = trust(&[issuer(&signers.map(|(signer, kid)| signer.jwk(kid)))]);
    for algorithm in Algorithm::ALL {
        for (signer, kid) in signers {
            let rsa = algorithm.as_str().starts_with(['R', 'P']);
            let fits = match kid {
                "rsa" => rsa,
                _ => algorithm == signer.algorithm,
            };
            let header = json!({"alg": algorithm.as_str(), "typ": "at+jwt", "kid": kid});
            let token = signer.raw(algorithm, &header.to_string(), &payload().to_string());
            let expected = (!fits).then_some(Code::AlgKeyMismatch);
            check(&format!("{algorithm} by {kid}"), &keys, &token, expected);
        }
    }
    let (ed, _) = signers[3];
    let header = json!({"alg": "Ed25519", "typ": "at+jwt", "kid": "ed"});
    check("RFC 9864", &keys, &ed.token(&header, &payload()), None);
}

#[test]
fn a_public_key_is_no_secret() {
    let der = RSA.public_der();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&der)
    );
    let jwk = RSA.jwk("rsa").to_string();
    let all = trust(&[issuer(&[RSA.jwk("rsa")])]);
    for secret in [&der[..], pem.as_bytes(), jwk.as_bytes()] {
        let header = with(&header(), "alg", json!("HS256"));
        let input = format!(
            "{}.{}",
            base64url(header.to_string()),
            base64url(payload().to_string())
        );
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        check(
            "A13",
            &all,
            &format!("{input}.{}", base64url(tag)),
            Some(Code::AlgNotAllowed),
        );
    }
}

#[test]
fn the_algorithm_is_the_issuers_and_the_keys_never_the_tokens() {
    let own = with(&RSA.jwk("rsa"), "alg", json!("RS256"));
    let ps256 = with(&header(), "alg", json!("PS256")).to_string();
    let token = RSA.raw(Algorithm::PS256, &ps256, &payload().to_string());
    check(
        "A14",
        &trust(&[issuer(&[own])]),
        &token,
        Some(Code::AlgKeyMismatch),
    );
    check("A15", &trust(&[corp()]), &token, Some(Code::AlgNotAllowed));
    let both = issuer(&[RSA.jwk("rsa")]);
    check("A15", &trust(&[both]), &token, None);
    let none = with(&header(), "alg", json!("none"));
    let input = format!(
        "{}.{}",
        base64url(none.to_string()),
        base64url(payload().to_string())
    );
    check(
        "A12",
        &trust(&[corp()]),
        &format!("{input}."),
        Some(Code::AlgNotAllowed),
    );
}

#[test]
fn forged_signatures_are_refused() {
    let p256 = Signer::ec(Algorithm::ES256);
    let keys = trust(&[issuer(&[p256.jwk("p256")])]);
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "p256"});
    let good = p256.token(&header, &payload());
    check("A16", &keys, &good, None);
    let (input, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = signature.split_at(32);
    // The order of P-256 (FIPS 186-4 §D.1.2.3).
    let order: Vec<u8> = [
        0xffff_ffff_0000_0000_u64,
        0xffff_ffff_ffff_ffff,
        0xbce6_faad_a717_9e84,
        0xf3b9_cac2_fc63_2551,
    ]
    .into_iter()
    .flat_map(u64::to_be_bytes)
    .collect();
    let mut below = order.clone();
    below[31] -= 1;
    let zero = vec![0; 32];
    let mut der = vec![0x30, 0x46, 0x02, 0x21, 0x00];
    der.extend(r);
    der.extend([0x02, 0x21, 0x00]);
    der.extend(s);
    let long = [&signature[..], &[0]].concat();
    let wide = [&signature[..], &[0; 8]].concat();
    for forged in [
        [&zero[..], s].concat(),
        [r, &zero].concat(),
        [&zero[..], &zero].concat(),
        [&order[..], s].concat(),
        [r, &order].concat(),
        [&below[..], &below].concat(),
        signature[..63].to_vec(),
        long,
        wide,
        der,
        Vec::new(),
    ] {
        let token = format!("{input}.{}", base64url(&forged));
        check("A16", &keys, &token, Some(Code::SignatureInvalid));
    }
    let rsa = RSA.token(&self::header(), &payload());
    let (input, _) = rsa.rsplit_once('.').unwrap();
    check(
        "A17",
        &trust(&[corp()]),
        &format!("{input}."),
        Some(Code::SignatureInvalid),
    );
    let forged = OTHER_RSA.token(&self::header(), &payload());
    check(
        "A17",
        &trust(&[corp()]),
        &forged,
        Some(Code::SignatureInvalid),
    );
    let other = base64url(with(&payload(), "sub", json!("root")).to_string());
    let swapped: Vec<&str> = rsa.split('.').collect();
    let swapped = format!("{}.{other}.{}", swapped[0], swapped[2]);
    check(
        "A17",
        &trust(&[corp()]),
        &swapped,
        Some(Code::SignatureInvalid),
    );
}

#[test]
fn a_token_cannot_bring_its_own_key() {
    let keys = trust(&[corp()]);
    for (name, value) in [
        ("jwk", OTHER_RSA.jwk("rsa")),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
    ] {
        let header = with(&header(), name, value);
        let forged = OTHER_RSA.token(&header, &payload());
        check("A18", &keys, &forged, Some(Code::SignatureInvalid));
        check("A18", &keys, &RSA.token(&header, &payload()), None);
    }
}

#[test]
fn the_typ_must_be_that_of_the_profile() {
    let jwt = trust(&[IssuerConfig {
        profile: Profile::Jwt,
        ..corp()
    }]);
    let at_jwt = trust(&[corp()]);
    let no = Some(Code::TypNotAccepted);
    for (typ, at_jwt_expects, jwt_expects) in [
        (None, no, None),
        (Some("JWT"), no, None),
        (Some("application/jwt"), no, None),
        (Some("logout+jwt"), no, no),
        (Some("dpop+jwt"), no, no),
        (Some("at+jwt "), no, no),
        (Some(""), no, no),
        (Some("at+JWT"), None, None),
        (Some("application/at+jwt"), None, None),
    ] {
        let header = match typ {
            Some(typ) => with(&header(), "typ", json!(typ)),
            None => without(&header(), "typ"),
        };
        let token = RSA.token(&header, &payload());
        check(&format!("A23 {typ:?}"), &at_jwt, &token, at_jwt_expects);
        check(&format!("A23 {typ:?}"), &jwt, &token, jwt_expects);
    }
}

#[test]
fn a_kid_chooses_one_key_and_nothing_else() {
    let one = trust(&[corp()]);
    let several = trust(&[issuer(&[RSA.jwk("rsa"), OTHER_RSA.jwk("other")])]);
    let anonymous = RSA.token(&without(&header(), "kid"), &payload());
    check("A25", &one, &anonymous, None);
    check("A25", &several, &anonymous, Some(Code::KidMissing));
    for kid in ["../../x", "' or 1=1", "RSA", "rsa ", "", "rsa\0"] {
        let token = RSA.token(&with(&header(), "kid", json!(kid)), &payload());
        check("A25", &one, &token, Some(Code::KidUnknown));
    }
    let long = with(&header(), "kid", json!("k".repeat(10 * 1024)));
    check(
        "A25",
        &one,
        &RSA.token(&long, &payload()),
        Some(Code::TokenTooLarge),
    );

    let same_kid = trust(&[issuer(&[RSA.jwk("rsa"), OTHER_RSA.jwk("rsa")])]);
    let token = RSA.token(&header(), &payload());
    check("A26", &same_kid, &token, Some(Code::KidAmbiguous));
    let same_key = trust(&[issuer(&[RSA.jwk("rsa"), RSA.jwk("rsa")])]);
    check("A26", &same_key, &token, None);
}

#[test]
fn a_certificate_thumbprint_must_be_that_of_the_key() {
    let certificate = b"a certificate";
    let thumbprint = base64url(digest(&SHA256, certificate));
    let named = with(&RSA.jwk("rsa"), "x5t#S256", json!(thumbprint));
    let carried = with(
        &RSA.jwk("rsa"),
        "x5c",
        json!([STANDARD.encode(certificate)]),
    );
    for jwk in [named, carried] {
        let keys = trust(&[issuer(&[jwk])]);
        let token = |x5t: &str| RSA.token(&with(&header(), "x5t#S256", json!(x5t)), &payload());
        check("A27", &keys, &token(&thumbprint), None);
        check(
            "A27",
            &keys,
            &token(&base64url([0; 32])),
            Some(Code::KeyMismatch),
        );
    }
}

#[test]
fn a_key_signs_for_its_own_issuer_only() {
    let partner = IssuerConfig {
        name: IssuerName::new("partner"),
        issuer: "https://partner.example/".to_owned(),
        ..issuer(&[OTHER_RSA.jwk("theirs")])
    };
    let keys = trust(&[corp(), partner]);
    let header = with(&header(), "kid", json!("theirs"));
    let crossed = OTHER_RSA.token(&header, &payload());
    check("B09", &keys, &crossed, Some(Code::IssKeyMismatch));
    let theirs = with(&payload(), "iss", json!("https://partner.example/"));
    check("B09", &keys, &OTHER_RSA.token(&header, &theirs), None);
}

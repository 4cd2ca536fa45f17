//! Who a credential makes of its bearer, proof by proof.

use serde_json::json;

use super::super::testing::*;
use super::*;
use crate::config::TokenProof;

fn caller(name: &str, proof: Proof) -> CallerConfig {
    CallerConfig {
        name: CallerName::new(name),
        proof,
        bundles: Some(vec![BundleName::new("orders")]),
        may: [Right::Check, Right::Vouch].into(),
        vouch: VouchScope::default(),
    }
}

fn by_secret(secret: &str) -> Proof {
    Proof {
        token_sha256: Some(sha256(secret.as_bytes())),
        ..Proof::default()
    }
}

fn by_token(subject: Option<&str>) -> Proof {
    Proof {
        token: Some(TokenProof {
            issuer: IssuerName::new("corp"),
            audience: "doorward".to_owned(),
            scope: "ask".to_owned(),
            subject: subject.map(str::to_owned),
        }),
        ..Proof::default()
    }
}

fn from(peer: &str) -> CallerCredential {
    CallerCredential {
        peer: Some(peer.parse().unwrap()),
        ..CallerCredential::default()
    }
}

fn with_bearer(bearer: &str) -> CallerCredential {
    CallerCredential {
        bearer: Some(bearer.to_owned()),
        ..from("192.0.2.1:5")
    }
}

fn identify(callers: &Callers, credential: &CallerCredential) -> Result<Caller, Rejection> {
    callers.identify(credential, &trust(&[corp()]), now())
}

/// Asserts who it is; `None`: refused.
#[track_caller]
fn check(callers: &Callers, credential: &CallerCredential, expected: Option<&str>) {
    let name = identify(callers, credential)
        .ok()
        .map(|caller| caller.name().to_string());
    assert_eq!(name.as_deref(), expected);
}

#[test]
fn a_caller_is_who_knows_its_secret() {
    let callers = Callers::new(&[caller("api", by_secret("s3cret"))], false);
    check(&callers, &with_bearer("s3cret"), Some("api"));
    for wrong in [
        "",
        "S3cret",
        "s3cret ",
        "s3cre",
        &sha256(b"s3cret").to_string(),
    ] {
        check(&callers, &with_bearer(wrong), None);
    }
    check(&callers, &from("127.0.0.1:5"), None);
}

#[test]
fn without_configured_callers_this_machine_alone_may_ask() {
    let callers = Callers::new(&[], false);
    for local in [
        "127.0.0.1:5",
        "127.8.9.1:5",
        "[::1]:5",
        "[::ffff:127.0.0.1]:5",
    ] {
        check(&callers, &from(local), Some("anonymous"));
    }
    check(&callers, &CallerCredential::default(), Some("anonymous"));
    for remote in [
        "192.0.2.1:5",
        "[2001:db8::1]:5",
        "0.0.0.0:5",
        "[::ffff:192.0.2.1]:5",
    ] {
        check(&callers, &from(remote), None);
    }
    let presented = CallerCredential {
        bearer: Some("anything".to_owned()),
        ..from("127.0.0.1:5")
    };
    check(&callers, &presented, None);
}

#[test]
fn a_caller_is_known_by_certificate_user_or_network() {
    let callers = Callers::new(
        &[
            caller(
                "gw",
                Proof {
                    mtls_san: Some("spiffe://corp/gw".to_owned()),
                    ..Proof::default()
                },
            ),
            caller(
                "cron",
                Proof {
                    unix_uid: Some(0),
                    ..Proof::default()
                },
            ),
            caller(
                "mesh",
                Proof {
                    cidr: "10.0.0.0/8".parse().ok(),
                    ..Proof::default()
                },
            ),
        ],
        false,
    );
    let san = |san: &str| CallerCredential {
        sans: vec!["gw.example.com".to_owned(), san.to_owned()],
        ..from("192.0.2.1:5")
    };
    check(&callers, &san("spiffe://corp/gw"), Some("gw"));
    for wrong in [
        "spiffe://corp/gw/",
        "spiffe://corp/GW",
        "spiffe://corp/gw2",
        "",
    ] {
        check(&callers, &san(wrong), None);
    }
    let uid = |uid| CallerCredential {
        uid,
        ..CallerCredential::default()
    };
    check(&callers, &uid(Some(0)), Some("cron"));
    check(&callers, &uid(Some(1)), None);
    check(&callers, &uid(None), None);
    check(&callers, &from("10.200.3.4:5"), Some("mesh"));
    check(&callers, &from("[::ffff:10.1.1.1]:5"), Some("mesh"));
    check(&callers, &from("11.0.0.1:5"), None);
    check(&callers, &from("127.0.0.1:5"), None);
    let stray = CallerCredential {
        bearer: Some("stray".to_owned()),
        ..san("spiffe://corp/gw")
    };
    check(&callers, &stray, None);
}

#[test]
fn every_proof_that_is_configured_is_needed() {
    let both = Proof {
        cidr: "10.0.0.0/8".parse().ok(),
        ..by_secret("s3cret")
    };
    let callers = Callers::new(&[caller("api", both)], false);
    let from_mesh = CallerCredential {
        bearer: Some("s3cret".to_owned()),
        ..from("10.0.0.1:5")
    };
    check(&callers, &from_mesh, Some("api"));
    check(&callers, &with_bearer("s3cret"), None);
    check(&callers, &from("10.0.0.1:5"), None);
}

#[test]
fn a_caller_is_known_by_a_token_of_its_own_audience_and_scope() {
    let callers = Callers::new(
        &[
            caller("api", by_secret("s3cret")),
            caller("billing", by_token(Some("svc-billing"))),
            caller("any", by_token(None)),
        ],
        false,
    );
    let ours = with(&payload(), "aud", json!("doorward"));
    let ours = with(&ours, "scope", json!("other ask"));
    let token = |payload: &serde_json::Value| with_bearer(&RSA.token(&header(), payload));
    check(&callers, &token(&ours), Some("any"));
    let billing = token(&with(&ours, "sub", json!("svc-billing")));
    check(&callers, &billing, Some("billing"));
    let caller = identify(&callers, &billing).unwrap();
    assert_eq!(
        caller.expires_at().map(Timestamp::as_second),
        Some(NOW + 600)
    );
    check(&callers, &with_bearer("s3cret"), Some("api"));

    check(&callers, &token(&with(&ours, "scope", json!("asks"))), None);
    let code = |credential: &CallerCredential| identify(&callers, credential).unwrap_err().code;
    assert_eq!(
        code(&token(&payload())),
        RejectionCode::AudMismatch,
        "an end user's token"
    );
    let expired = token(&with(&ours, "exp", json!(NOW - 60)));
    assert_eq!(code(&expired), RejectionCode::TokenExpired);
    let forged = with_bearer(&OTHER_RSA.token(&header(), &ours));
    assert_eq!(code(&forged), RejectionCode::SignatureInvalid);
}

#[test]
fn rights_are_per_bundle() {
    let (orders, other) = (BundleName::new("orders"), BundleName::new("other"));
    let lacks = |right, bundle: &BundleName| {
        Err(Refusal::CallerLacksRight {
            right,
            bundle: bundle.clone(),
        })
    };
    let api = Callers::new(&[caller("api", by_secret("s3cret"))], false);
    let api = identify(&api, &with_bearer("s3cret")).unwrap();
    assert_eq!(api.may(Right::Vouch, &orders), Ok(()));
    assert_eq!(
        api.may(Right::Explain, &orders),
        lacks(Right::Explain, &orders)
    );
    assert_eq!(api.may(Right::Check, &other), lacks(Right::Check, &other));

    let anonymous = |dev| identify(&Callers::new(&[], dev), &CallerCredential::default()).unwrap();
    for right in Right::ALL {
        assert_eq!(anonymous(true).may(right, &other), Ok(()));
        let expected = match right {
            Right::Check => Ok(()),
            right => lacks(right, &other),
        };
        assert_eq!(anonymous(false).may(right, &other), expected);
    }
}

//! Keys that tokens of callers ask for, of whom nobody knows yet whether they are callers.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::{
    authn::Callers,
    config::{CallerConfig, Proof, TokenProof, VouchScope},
    model::{CallerCredential, CallerName, Right},
};

/// Callers that are known by a token of this issuer.
fn known(issuer: &str, cidr: Option<&str>) -> Callers {
    let caller = CallerConfig {
        name: CallerName::new("api"),
        proof: Proof {
            token: Some(TokenProof {
                issuer: IssuerName::new(issuer),
                audience: "doorward".to_owned(),
                scope: "ask".to_owned(),
                subject: None,
            }),
            cidr: cidr.map(|network| network.parse().unwrap()),
            ..Proof::default()
        },
        bundles: None,
        may: [Right::Check].into(),
        vouch: VouchScope::default(),
    };
    Callers::new(&[caller], false)
}

fn credential(bearer: impl Into<String>) -> CallerCredential {
    CallerCredential {
        peer: Some("192.0.2.1:5".parse().unwrap()),
        bearer: Some(bearer.into()),
        ..CallerCredential::default()
    }
}

/// A token of the caller, by a key of this name.
fn token_of_caller(signer: &Signer, kid: &str) -> String {
    let payload = with(&payload(), "aud", json!("doorward"));
    let payload = with(&payload, "scope", json!("ask"));
    signer.token(&with(&header(), "kid", json!(kid)), &payload)
}

/// Whether the credential is a caller's, by the keys there are or by those that it has read.
async fn is_known(
    callers: &Callers,
    verifier: &TokenVerifier,
    credential: &CallerCredential,
    now: Timestamp,
) -> bool {
    let pinned = verifier.pin();
    let Err(rejection) = callers.identify(credential, &pinned, now) else {
        return true;
    };
    let fresh = callers.refreshed(verifier, &pinned, credential, &rejection, now);
    match fresh.await {
        Some(keys) => callers.identify(credential, &keys, now).is_ok(),
        None => false,
    }
}

/// Runs `test` beside the provider and the task that reads from it, by this time.
async fn during(
    provider: &Provider,
    verifier: &Arc<TokenVerifier>,
    time: impl Fn() -> Timestamp,
    test: impl Future<Output = ()>,
) {
    let both = async {
        tokio::select! {
            () = test => {}
            () = task(verifier).run(time) => unreachable!("reads for ever"),
        }
    };
    provider.during(both).await;
}

#[tokio::test]
async fn a_callers_new_key_is_read_and_strangers_cost_one_read_between_two() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("a")]);
    let verifier = provider.trusted();
    let callers = known("corp", None);
    let old = credential(token_of_caller(&RSA, "a"));
    let new = credential(token_of_caller(&OTHER_RSA, "b"));
    let stranger = |n| credential(token_of_caller(&RSA, &format!("random-{n}")));
    let clock = AtomicI64::new(NOW);
    let time = || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap();
    let test = async {
        let is_known = async |credential: &_| {
            let now = time();
            is_known(&callers, &verifier, credential, now).await
        };
        assert!(is_known(&old).await, "waited for the first read");
        provider.publishes(&[OTHER_RSA.jwk("b")]);
        assert!(!is_known(&new).await, "read lately");
        clock.fetch_add(30, Ordering::SeqCst);
        assert!(is_known(&new).await, "the issuer's new key");
        assert!(!is_known(&old).await, "the retired key");
        assert_eq!(provider.asked(), 2);
        for n in 0..100 {
            assert!(!is_known(&stranger(n)).await);
        }
        assert_eq!(provider.asked(), 2, "no read for strangers so soon");
        clock.fetch_add(30, Ordering::SeqCst);
        for n in 0..100 {
            assert!(!is_known(&stranger(n)).await);
        }
        assert_eq!(provider.asked(), 3, "one for all of them");
        assert!(is_known(&new).await);
    };
    during(&provider, &verifier, time, test).await;
}

#[tokio::test]
async fn who_cannot_be_a_caller_has_nothing_read() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("a")]);
    let verifier = provider.trusted();
    let clock = AtomicI64::new(NOW);
    let time = || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap();
    let first = credential(token_of_caller(&RSA, "a"));
    let unknown = token_of_caller(&OTHER_RSA, "b");
    let of_nobody = with(&payload(), "iss", json!("https://evil.example/"));
    let of_nobody = RSA.token(&header(), &of_nobody);
    let corp = || known("corp", None);
    let elsewhere = known("corp", Some("198.51.100.0/24"));
    let here = known("corp", Some("192.0.2.0/24"));
    let cases = [
        (
            "an issuer of subjects alone",
            known("partner", None),
            &*unknown,
            1,
        ),
        ("from elsewhere", elsewhere, &unknown, 1),
        ("a secret", corp(), "s3cret", 1),
        ("no token", corp(), "a.b.c", 1),
        ("an issuer that nobody trusts", corp(), &of_nobody, 1),
        ("no callers", Callers::new(&[], false), &unknown, 1),
        ("who may be one", here, &unknown, 2),
    ];
    let test = async {
        assert!(is_known(&corp(), &verifier, &first, time()).await);
        clock.fetch_add(30, Ordering::SeqCst);
        for (what, callers, bearer, reads) in &cases {
            let credential = credential(*bearer);
            assert!(!is_known(callers, &verifier, &credential, time()).await);
            assert_eq!(provider.asked(), *reads, "{what}");
        }
    };
    during(&provider, &verifier, time, test).await;
}

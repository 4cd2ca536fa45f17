//! Keys that cannot be read again: the last good ones, for a day.

use super::*;
use crate::model::SignedDuration;

#[tokio::test]
async fn c15_the_last_good_keys_last_a_day() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("rsa")]);
    let verifier = provider.trusted();
    provider.during(read(&verifier)).await.unwrap();
    provider.says("/keys", status("503 Service Unavailable", ""));
    let token_at = |time: Timestamp| {
        let payload = with(&payload(), "iat", json!(time.as_second()));
        let payload = with(&payload, "exp", json!(time.as_second() + 60));
        AccessToken::new(RSA.token(&header(), &payload))
    };
    let code_at = |time: Timestamp| {
        let outcome = verifier
            .pin()
            .verify(&token_at(time), &TokenScope::default(), time);
        outcome.err().map(|rejection| rejection.code)
    };
    let day = SignedDuration::from_hours(24);
    let last = now() + day - SignedDuration::from_secs(1);
    assert_eq!(provider.during(read_at(&verifier, last)).await, None);
    assert_eq!(code_at(last), None);
    let health = verifier.pin().health(last).pop().unwrap();
    assert!(
        health.usable && health.fault.is_some(),
        "readiness shows the outage"
    );
    assert_eq!(health.usable_until, Some(now() + day));
    assert_eq!(code_at(now() + day), Some(Code::KeysUnavailable));
    assert!(!verifier.pin().health(now() + day)[0].usable);
    provider.publishes(&[RSA.jwk("rsa")]);
    provider
        .during(read_at(&verifier, now() + day))
        .await
        .unwrap();
    assert_eq!(code_at(now() + day), None);
}

#[tokio::test]
async fn c18_half_a_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let good = jwks(&[RSA.jwk("rsa")]);
    std::fs::write(&file, &good).unwrap();
    let config = IssuerConfig {
        keys: KeySource::File(file.clone()),
        ..corp()
    };
    let verifier = Arc::new(TokenVerifier::new(&[config]).unwrap());
    let half: String = good.chars().take(good.len() / 2).collect();
    for text in [half.as_str(), "", "{}"] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(read(&verifier).await, None, "C18");
        check_now("C18", &verifier, &token(&RSA, "rsa"), None);
        assert!(fault(&verifier).contains("not a JWK set"));
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(read(&verifier).await, None);
    check_now("C18", &verifier, &token(&RSA, "rsa"), None);
    let day = now() + SignedDuration::from_hours(24);
    let health = verifier.pin().health(day).pop().unwrap();
    assert!(
        !health.usable,
        "C15: a file that is gone for a day is an outage too"
    );
    assert_eq!(health.usable_until, Some(day));
    std::fs::write(&file, jwks(&[OTHER_RSA.jwk("rsa")])).unwrap();
    assert_eq!(read(&verifier).await, Some(POLL));
    check_now("C18", &verifier, &token(&OTHER_RSA, "rsa"), None);
    check_now(
        "C18",
        &verifier,
        &token(&RSA, "rsa"),
        Some(Code::SignatureInvalid),
    );
}

//! What a token can reach before its signature is checked: nothing.

use super::*;

/// Reads and writes that this thread has made, as the kernel counts them.
fn system_calls() -> Vec<String> {
    let counts = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    counts
        .lines()
        .filter(|line| line.starts_with("sysc"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_token_reaches_nothing_before_its_signature_is_checked() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("rsa")]);
    let verifier = provider.trusted();
    provider.during(read(&verifier)).await.unwrap();
    let keys = verifier.pin();
    let forged: Vec<_> = [
        json!({"jku": format!("{}keys", provider.url), "kid": "rsa"}),
        json!({"x5u": format!("{}keys", provider.url), "kid": "../../etc/passwd"}),
        json!({"jwk": OTHER_RSA.jwk("rsa"), "kid": "/proc/self/environ"}),
        json!({"kid": format!("{}keys", provider.url)}),
    ]
    .iter()
    .map(|extra| {
        let mut header = header();
        header
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        AccessToken::new(OTHER_RSA.token(&header, &payload()))
    })
    .collect();
    let two_readings = {
        let (before, after) = (system_calls(), system_calls());
        assert_ne!(before, after, "the counters count");
        (before, after)
    };
    let reads = |counts: &[String]| -> Vec<i64> {
        counts
            .iter()
            .map(|line| line.split(": ").nth(1).unwrap().parse().unwrap())
            .collect()
    };
    let cost = |(before, after): &(Vec<String>, Vec<String>)| -> Vec<i64> {
        reads(after)
            .iter()
            .zip(reads(before))
            .map(|(after, before)| after - before)
            .collect()
    };
    let before = system_calls();
    for token in &forged {
        assert!(keys.verify(token, &TokenScope::default(), now()).is_err());
    }
    let after = system_calls();
    assert_eq!(
        cost(&(before, after)),
        cost(&two_readings),
        "no read, no write"
    );
    assert_eq!(provider.asked(), 1, "no fetch");
}

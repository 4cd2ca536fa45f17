//! Table C of the bad inputs, as far as it is about fetching: against a provider on loopback.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    task::Poll,
};

use serde_json::json;

use super::super::testing::{provider::*, *};
use super::*;
use crate::{
    authn::TokenScope,
    config::{FetchConfig, KeySource},
    model::RejectionCode as Code,
};

fn task(verifier: &Arc<TokenVerifier>) -> KeyTask {
    verifier.tasks().pop().unwrap()
}

/// Reads once, as the task does; how long until the next time.
pub(super) async fn read(verifier: &Arc<TokenVerifier>) -> Option<Duration> {
    read_at(verifier, now()).await
}

async fn read_at(verifier: &Arc<TokenVerifier>, now: Timestamp) -> Option<Duration> {
    let desk = verifier.desks[0].as_ref().unwrap();
    task(verifier).read(desk, &|| now).await
}

fn token(signer: &Signer, kid: &str) -> AccessToken {
    AccessToken::new(signer.token(&with(&header(), "kid", json!(kid)), &payload()))
}

#[track_caller]
fn check_now(id: &str, verifier: &TokenVerifier, token: &AccessToken, expected: Option<Code>) {
    let outcome = verifier.pin().verify(token, &TokenScope::default(), now());
    assert_eq!(
        outcome.err().map(|rejection| rejection.code),
        expected,
        "{id}"
    );
}

/// The fault that readiness shows, the keys being usable or not.
fn fault(verifier: &TokenVerifier) -> String {
    verifier
        .pin()
        .health(now())
        .pop()
        .unwrap()
        .fault
        .unwrap_or_default()
}

#[tokio::test]
async fn keys_come_from_a_url() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("rsa")]);
    let verifier = provider.trusted();
    check_now(
        "before",
        &verifier,
        &token(&RSA, "rsa"),
        Some(Code::KeysUnavailable),
    );
    assert!(!verifier.pin().health(now())[0].usable);
    provider.during(read(&verifier)).await.unwrap();
    check_now("after", &verifier, &token(&RSA, "rsa"), None);
    let health = verifier.pin().health(now()).pop().unwrap();
    assert!(health.usable);
    assert_eq!((health.keys, health.read_at), (1, Some(now())));
}

#[test]
fn c17_proxies_of_the_environment_are_not_used() {
    let nowhere = "http://127.0.0.1:9";
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "authn::refresh::tests::keys_come_from_a_url"])
        .envs(["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"].map(|name| (name, nowhere)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn keys_come_by_discovery() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("rsa")]);
    let config = IssuerConfig {
        issuer: provider.url.clone(),
        keys: KeySource::Discovery {
            issuer: provider.url.parse().unwrap(),
            fetch: loopback(),
        },
        ..corp()
    };
    let verifier = provider.trusted_as(&config);
    let document = |issuer: &str, keys: &str| {
        let document = json!({"issuer": issuer, "jwks_uri": keys, "other": [1, null]});
        provider.says(
            "/.well-known/openid-configuration",
            ok("", &document.to_string()),
        );
    };
    document(&provider.url, &format!("{}keys", provider.url));
    provider.during(read(&verifier)).await.unwrap();
    let ours = with(&payload(), "iss", json!(provider.url));
    let token = AccessToken::new(RSA.token(&header(), &ours));
    check_now("discovered", &verifier, &token, None);

    document(
        provider.url.trim_end_matches('/'),
        &format!("{}keys", provider.url),
    );
    assert_eq!(provider.during(read(&verifier)).await, None);
    assert!(
        fault(&verifier).contains("byte for byte"),
        "C04 {}",
        fault(&verifier)
    );
    document(&provider.url, "http://127.0.0.1:1/keys");
    assert_eq!(provider.during(read(&verifier)).await, None);
    assert!(
        fault(&verifier).contains("allow_origins"),
        "C03 {}",
        fault(&verifier)
    );
    check_now("C04: the old keys stay", &verifier, &token, None);
}

#[tokio::test]
async fn bad_answers_never_replace_good_keys() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("rsa")]);
    let verifier = provider.trusted();
    provider.during(read(&verifier)).await.unwrap();
    let good = jwks(&[RSA.jwk("rsa")]);
    let half: String = good.chars().take(good.len() / 2).collect();
    let big = format!("{good}{}", " ".repeat(1024 * 1024));
    let moved = format!("Location: {}other\r\n", provider.url);
    provider.says("/other", ok("", &good));
    for (id, answer, why) in [
        ("C03", status("302 Found", &moved), "answered 302"),
        (
            "C03",
            status("308 Permanent Redirect", "Location: /keys\r\n"),
            "answered 308",
        ),
        (
            "C03",
            status(
                "301 Moved Permanently",
                "Location: https://evil.example/\r\n",
            ),
            "answered 301",
        ),
        ("C05", ok("", &big), "over 1048576 bytes"),
        (
            "C05",
            ok("Content-Encoding: gzip\r\n", "\u{1f}\u{8b}\u{8}"),
            "not a JWK set",
        ),
        (
            "C05",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec(),
            "cannot fetch",
        ),
        (
            "C06",
            ok("Content-Type: text/html\r\n", "<html>sign in</html>"),
            "not a JWK set",
        ),
        ("C06", status("204 No Content", ""), "answered 204"),
        ("C06", status("404 Not Found", ""), "answered 404"),
        (
            "C06",
            status("500 Internal Server Error", ""),
            "answered 500",
        ),
        ("C06", ok("", &half), "not a JWK set"),
        ("C06", ok("", "{}"), "not a JWK set"),
        ("C06", ok("", r#"{"keys":[]}"#), "no usable key"),
        ("C06", ok("", r#"{"keys":{}}"#), "not a JWK set"),
        (
            "C08",
            ok("", r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#),
            "whoever reads the set can sign",
        ),
        ("C06", b"garbage\r\n\r\n".to_vec(), "cannot fetch"),
        ("C06", Vec::new(), "cannot fetch"),
    ] {
        provider.says("/keys", answer);
        assert_eq!(provider.during(read(&verifier)).await, None, "{id}");
        assert!(
            fault(&verifier).contains(why),
            "{id} {why}: {}",
            fault(&verifier)
        );
        check_now(id, &verifier, &token(&RSA, "rsa"), None);
    }
    let asked = provider.asked();
    provider.publishes(&[RSA.jwk("rsa")]);
    provider.during(read(&verifier)).await.unwrap();
    assert_eq!(fault(&verifier), "", "recovered");
    assert_eq!(provider.asked(), asked + 1);
}

#[tokio::test]
async fn c05_an_answer_that_never_ends_is_cut_off() {
    let provider = Provider::new().await;
    provider.says(
        "/keys",
        "dripHTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n",
    );
    let verifier = provider.trusted();
    assert_eq!(provider.during(read(&verifier)).await, None);
    assert!(
        fault(&verifier).contains("timed out"),
        "{}",
        fault(&verifier)
    );
}

#[tokio::test]
async fn c02_special_addresses_are_not_connected_to() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("rsa")]);
    let port = provider.listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let strict = provider.trusted_as(&IssuerConfig {
            keys: KeySource::Url {
                url: format!("https://{host}:{port}/keys").parse().unwrap(),
                fetch: FetchConfig::default(),
            },
            ..corp()
        });
        assert_eq!(provider.during(read(&strict)).await, None);
        assert!(
            fault(&strict).contains("allow_addresses"),
            "C02 {host} {}",
            fault(&strict)
        );
    }
    assert_eq!(provider.asked(), 0, "C02: nothing was sent");
}

/// Runs futures side by side until the last is done.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(out) => {
                done.push(out);
                false
            }
            Poll::Pending => true,
        });
        match running.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    done
}

#[tokio::test]
async fn c13_a_flood_of_unknown_kids_costs_one_fetch() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("rsa")]);
    let verifier = provider.trusted();
    let clock = AtomicI64::new(NOW);
    let time = || Timestamp::from_second(clock.load(Ordering::SeqCst)).unwrap();
    let random = token(&OTHER_RSA, "random");
    let ask = async |keys: &Arc<TrustedKeys>, token: &AccessToken| {
        refreshed(&verifier, keys, token, time()).await
    };
    let refuse = |keys: &TrustedKeys, token: &AccessToken| {
        let verified = keys.verify(token, &TokenScope::default(), time());
        verified.is_err()
    };
    let flood = async {
        let pinned = verifier.pin();
        let known = token(&RSA, "rsa");
        let first = ask(&pinned, &known).await.unwrap();
        assert!(refuse(&pinned, &known));
        assert!(!refuse(&first, &known));
        assert!(ask(&first, &known).await.is_none());
        assert_eq!(
            provider.asked(),
            1,
            "C13: the first token waited for the first read"
        );
        clock.fetch_add(29, Ordering::SeqCst);
        for _ in 0..1000 {
            assert!(ask(&first, &random).await.is_none());
        }
        assert_eq!(
            provider.asked(),
            1,
            "C13: answered at once from the keys there are"
        );
        clock.fetch_add(1, Ordering::SeqCst);
        for _ in 0..1000 {
            if let Some(keys) = ask(&first, &random).await {
                assert!(refuse(&keys, &random));
            }
        }
        assert_eq!(provider.asked(), 2, "C13: one more after 30 seconds");
        provider.publishes(&[RSA.jwk("rsa"), OTHER_RSA.jwk("random")]);
        clock.fetch_add(30, Ordering::SeqCst);
        let waiting = (0..MAX_WAITING + 9).map(|_| ask(&first, &random));
        let served = all(waiting).await.into_iter().flatten().count();
        assert_eq!(served, MAX_WAITING, "C13: one read serves all who may wait");
        assert_eq!(provider.asked(), 3);
    };
    let task = task(&verifier).run(time);
    provider
        .during(async {
            tokio::select! {
                () = flood => {}
                () = task => unreachable!("reads for ever"),
            }
        })
        .await;
}

#[tokio::test]
async fn c14_rotation_brings_the_new_key_and_drops_the_old() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("a")]);
    let verifier = provider.trusted();
    provider.during(read(&verifier)).await.unwrap();
    let (old, new) = (token(&RSA, "a"), token(&OTHER_RSA, "b"));
    check_now("C14", &verifier, &old, None);
    check_now("C14", &verifier, &new, Some(Code::KidUnknown));
    provider.publishes(&[RSA.jwk("a"), OTHER_RSA.jwk("b")]);
    provider.during(read(&verifier)).await.unwrap();
    check_now("C14", &verifier, &old, None);
    check_now("C14", &verifier, &new, None);
    provider.publishes(&[OTHER_RSA.jwk("b")]);
    provider.during(read(&verifier)).await.unwrap();
    check_now(
        "B20: although it was remembered",
        &verifier,
        &old,
        Some(Code::KidUnknown),
    );
    let same_kid = token(&RSA, "b");
    check_now("C14", &verifier, &same_kid, Some(Code::SignatureInvalid));
    provider.publishes(&[RSA.jwk("b")]);
    provider.during(read(&verifier)).await.unwrap();
    check_now(
        "C14: another key under the same kid",
        &verifier,
        &same_kid,
        None,
    );
    check_now(
        "B20: although it was remembered",
        &verifier,
        &new,
        Some(Code::SignatureInvalid),
    );
}

#[tokio::test]
async fn c14_a_new_key_may_be_called_like_another_issuers() {
    let provider = Provider::new().await;
    provider.publishes(&[RSA.jwk("1")]);
    let numbered = IssuerConfig {
        name: IssuerName::new("partner"),
        issuer: "https://partner.example/".to_owned(),
        ..issuer(&[OTHER_RSA.jwk("2")])
    };
    let ours = IssuerConfig {
        keys: KeySource::Url {
            url: format!("{}keys", provider.url).parse().unwrap(),
            fetch: loopback(),
        },
        ..corp()
    };
    let verifier = Arc::new(TokenVerifier::new(&[ours, numbered]).unwrap());
    provider.during(read(&verifier)).await.unwrap();
    let token = token(&RSA, "2");
    check_now("C14", &verifier, &token, Some(Code::IssKeyMismatch));
    provider.publishes(&[RSA.jwk("2")]);
    let pinned = verifier.pin();
    let fresh = provider.during(async {
        tokio::select! {
            keys = refreshed(&verifier, &pinned, &token, now()) => keys,
            () = task(&verifier).run(now) => unreachable!("reads for ever"),
        }
    });
    let keys = fresh.await.unwrap();
    assert!(
        keys.verify(&token, &TokenScope::default(), now()).is_ok(),
        "C14"
    );
}

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
    let day = crate::model::SignedDuration::from_hours(24);
    let last = now() + day - crate::model::SignedDuration::from_secs(1);
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
async fn c16_the_providers_wish_is_clamped() {
    let provider = Provider::new().await;
    let verifier = provider.trusted();
    for (wish, seconds) in [
        ("", 540),
        ("Cache-Control: max-age=0\r\n", 60),
        ("Cache-Control: public, max-age=31536000\r\n", 3240),
        (
            "Cache-Control: max-age=300\r\nCache-Control: no-cache\r\n",
            60,
        ),
    ] {
        provider.says("/keys", ok(wish, &jwks(&[RSA.jwk("rsa")])));
        let next = provider.during(read(&verifier)).await;
        assert_eq!(next, Some(Duration::from_secs(seconds)), "C16 {wish}");
    }
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
    let day = now() + crate::model::SignedDuration::from_hours(24);
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

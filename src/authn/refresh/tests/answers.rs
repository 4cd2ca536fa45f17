//! What a provider may answer: good keys, and what never replaces them.

use super::*;
use crate::config::FetchConfig;

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
        .args([
            "--exact",
            "authn::refresh::tests::answers::keys_come_from_a_url",
        ])
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

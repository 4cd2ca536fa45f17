//! Keys that tokens ask for: after a rotation, and not for every token.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    task::Poll,
};

use super::*;

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
    let flood = async {
        let pinned = verifier.pin();
        let known = token(&RSA, "rsa");
        let first = verifier.refreshed(&pinned, &known, time()).await.unwrap();
        assert!(
            pinned
                .verify(&known, &TokenScope::default(), time())
                .is_err()
        );
        assert!(first.verify(&known, &TokenScope::default(), time()).is_ok());
        assert!(verifier.refreshed(&first, &known, time()).await.is_none());
        assert_eq!(
            provider.asked(),
            1,
            "C13: the first token waited for the first read"
        );
        clock.fetch_add(29, Ordering::SeqCst);
        for _ in 0..1000 {
            assert!(verifier.refreshed(&first, &random, time()).await.is_none());
        }
        assert_eq!(
            provider.asked(),
            1,
            "C13: answered at once from the keys there are"
        );
        clock.fetch_add(1, Ordering::SeqCst);
        for _ in 0..1000 {
            if let Some(keys) = verifier.refreshed(&first, &random, time()).await {
                assert!(
                    keys.verify(&random, &TokenScope::default(), time())
                        .is_err()
                );
            }
        }
        assert_eq!(provider.asked(), 2, "C13: one more after 30 seconds");
        provider.publishes(&[RSA.jwk("rsa"), OTHER_RSA.jwk("random")]);
        clock.fetch_add(30, Ordering::SeqCst);
        let waiting = (0..MAX_WAITING + 9).map(|_| verifier.refreshed(&first, &random, time()));
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
            keys = verifier.refreshed(&pinned, &token, now()) => keys,
            () = task(&verifier).run(now) => unreachable!("reads for ever"),
        }
    });
    let keys = fresh.await.unwrap();
    assert!(
        keys.verify(&token, &TokenScope::default(), now()).is_ok(),
        "C14"
    );
}

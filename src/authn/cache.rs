//! Verified tokens, so that one presented again costs a look-up instead of a signature.
//!
//! **Invariant:** holds facts of a signature only: who signed, by which keys, and what the token
//! says. Bundle, audience, times and the age of the keys are checked on every hit, and a ring that
//! changed is a miss. Only tokens that were verified come in, so garbage cannot push them out.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};

use super::verify::Signed;

/// The cache's size, in bytes as weighed; about ten thousand tokens of 800 bytes.
const CAPACITY: u64 = 64 * 1024 * 1024;
/// An entry's fixed cost: key, shared structures, the maps' nodes.
const FIXED: u64 = 2048;
/// Claims in memory take a few times what they take in base64.
const PER_BYTE: u64 = 5;

/// Tokens by their full bytes: no digest, so no two tokens share an entry.
pub(super) struct TokenCache(Cache<Box<str>, Arc<Signed>, ByBytes>);

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, Arc<Signed>> for ByBytes {
    fn weight(&self, token: &Box<str>, _: &Arc<Signed>) -> u64 {
        FIXED + PER_BYTE * token.len() as u64
    }
}

impl TokenCache {
    pub(super) fn new() -> Self {
        Self::of(CAPACITY)
    }

    fn of(capacity: u64) -> Self {
        let items = usize::try_from(capacity / (FIXED + PER_BYTE * 800)).unwrap_or(1);
        Self(Cache::with_weighter(items, capacity, ByBytes))
    }

    pub(super) fn get(&self, token: &str) -> Option<Arc<Signed>> {
        self.0.get(token)
    }

    /// How often a token was found, and how often not.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.0.hits(), self.0.misses())
    }

    pub(super) fn put(&self, token: &str, signed: &Arc<Signed>) {
        self.0.insert(token.into(), Arc::clone(signed));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        authn::{TokenScope, testing::*},
        model::{AccessToken, IssuerName, RejectionCode as Code, SignedDuration},
    };

    #[test]
    fn b20_a_remembered_token_is_checked_as_if_new() {
        let keys = trust(&[corp()]);
        let token = AccessToken::new(RSA.token(&header(), &payload()));
        let code = |scope: &TokenScope<'_>, seconds: i64| {
            let time = now() + SignedDuration::from_secs(seconds);
            let outcome = keys.verify(&token, scope, time);
            outcome.err().map(|rejection| rejection.code)
        };
        let any = TokenScope::default();
        assert_eq!(code(&any, 0), None);
        assert_eq!(keys.cache.0.len(), 1);
        assert_eq!(code(&any, 629), None);
        assert_eq!(code(&any, 630), Some(Code::TokenExpired), "B20");
        assert_eq!(code(&any, -91), Some(Code::TokenLifetime), "B20");
        let others = [IssuerName::new("other")];
        let audiences = ["bills".to_owned()];
        let elsewhere = TokenScope {
            issuers: Some(&others),
            audiences: None,
        };
        let bills = TokenScope {
            issuers: None,
            audiences: Some(&audiences),
        };
        assert_eq!(code(&elsewhere, 0), Some(Code::IssuerNotAccepted), "B21");
        assert_eq!(code(&bills, 0), Some(Code::AudMismatch), "B21");
        assert_eq!(code(&any, 0), None);
        assert_eq!(keys.cache.0.len(), 1);
    }

    #[test]
    fn a_token_presented_again_is_the_one_remembered() {
        let keys = trust(&[corp()]);
        let token = RSA.token(&header(), &payload());
        let (first, again) = (
            verify(&keys, &token).unwrap(),
            verify(&keys, &token).unwrap(),
        );
        assert!(Arc::ptr_eq(first.claims(), again.claims()));
        let other = RSA.token(&header(), &with(&payload(), "jti", json!("t-2")));
        let other = verify(&keys, &other).unwrap();
        assert!(!Arc::ptr_eq(first.claims(), other.claims()));
        assert_ne!(first.fingerprint(), other.fingerprint());
    }

    #[test]
    fn only_verified_tokens_are_remembered() {
        let keys = trust(&[corp()]);
        for token in [
            OTHER_RSA.token(&header(), &payload()),
            RSA.token(&header(), &with(&payload(), "nonce", json!("n"))),
            RSA.token(&header(), &without(&payload(), "sub")),
            RSA.token(&with(&header(), "kid", json!("x")), &payload()),
        ] {
            assert!(verify(&keys, &token).is_err());
        }
        assert_eq!(keys.cache.0.len(), 0);
        let good = RSA.token(&header(), &payload());
        verify(&keys, &good).unwrap();
        let (input, _) = good.rsplit_once('.').unwrap();
        let forged = format!("{input}.{}", base64url([0; 256]));
        check(
            "another signature",
            &keys,
            &forged,
            Some(Code::SignatureInvalid),
        );
    }

    #[test]
    fn the_cache_is_bounded_in_bytes() {
        let keys = trust(&[corp()]);
        let token = RSA.token(&header(), &payload());
        verify(&keys, &token).unwrap();
        let signed = keys.cache.get(&token).unwrap();
        let capacity = 1024 * 1024;
        let small = TokenCache::of(capacity);
        for n in 0..10_000 {
            small.put(&format!("{n}{token}"), &signed);
        }
        assert!(small.0.weight() <= capacity);
        assert!(small.0.len() > 50, "and used: {}", small.0.len());
    }
}

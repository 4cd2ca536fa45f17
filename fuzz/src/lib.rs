//! What must hold for any input that someone outside can send: here to `authn`, in [`gateway`] by
//! way of a gateway.
//!
//! Each function is a fuzz target (`cargo fuzz run token --features libfuzzer`) and runs over the
//! seeds and their mutations in `cargo test`: here, and among the server's own tests, which have this
//! file as a module.

pub mod gateway;

use std::{str, sync::LazyLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use doorward::{
    authn::{
        DevIssuer, Inspection, KeyRing, Mint, StepOutcome, TokenScope, TokenVerifier, TrustedKeys,
        inspect, jwks_uri,
    },
    config::{Algorithm, FetchConfig},
    model::{AccessToken, SignedDuration, Timestamp},
};

/// The issuer whose signature makes an input worth reading.
static ISSUER: LazyLock<DevIssuer> = LazyLock::new(|| {
    let data = tempfile::tempdir().expect("a directory");
    DevIssuer::open(data.path()).expect("a key")
});

static KEYS: LazyLock<std::sync::Arc<TrustedKeys>> = LazyLock::new(|| {
    TokenVerifier::new(&[ISSUER.issuer_config()])
        .expect("keys in place")
        .pin()
});

fn now() -> Timestamp {
    Timestamp::from_second(1_893_456_000).expect("in range")
}

/// Verification and inspection agree, and neither tells the token.
fn check(token: &str) -> bool {
    let (presented, scope) = (AccessToken::new(token), TokenScope::default());
    let verified = KEYS.verify(&presented, &scope, now());
    let again = KEYS.verify(&presented, &scope, now());
    assert_eq!(verified.is_ok(), again.is_ok(), "remembered is as verified");
    let inspection: Inspection = inspect(&presented, &KEYS, &scope, now());
    assert_eq!(verified.is_ok(), inspection.accepted);
    let failed = |step: &&doorward::authn::Step| step.outcome == StepOutcome::Failed;
    match &verified {
        Ok(identity) => {
            let claims = identity.claims();
            assert!((1..=256).contains(&claims.sub.len()));
            assert!(claims.expires_at > now() - SignedDuration::from_secs(30));
        }
        Err(rejection) => {
            let step = inspection.steps.iter().find(failed).expect("a failure");
            assert_eq!(step.code, Some(rejection.code.as_str()));
            // A "token" may be the very words of the rejection, so only one that is none counts.
            let words = rejection.to_string();
            let told = |it: &&str| it.len() > 40 && !it.contains(' ') && words.contains(*it);
            assert!(token.rsplit('.').next().filter(told).is_none());
        }
    }
    verified.is_ok()
}

/// Any text as a token: nobody without the key gets in.
pub fn token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    assert!(!check(text), "a token that nobody signed");
    // Header and payload as JSON, so that what is behind the base64 is reached too.
    if let Some((header, payload)) = text.split_once('\n') {
        let header = URL_SAFE_NO_PAD.encode(header);
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let signature = URL_SAFE_NO_PAD.encode([0x5a; 64]);
        assert!(!check(&format!("{header}.{payload}.{signature}")));
    }
}

/// Any claims in a token that is signed as it should be: one `name JSON` per line.
pub fn claims(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let claims: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, json)| (name.to_owned(), json.to_owned()))
        .collect();
    let reserved = ["__entity", "__extn", "__expr"];
    let named = claims
        .iter()
        .any(|(name, _)| reserved.contains(&name.as_str()));
    let mint = Mint {
        sub: "alice".to_owned(),
        scope: String::new(),
        client_id: "fuzz".to_owned(),
        ttl: SignedDuration::from_mins(10),
        claims,
    };
    let Ok(token) = ISSUER.mint(&mint, now()) else {
        return;
    };
    let accepted = check(&token);
    assert!(!(accepted && named), "a reserved member");
}

/// Any bytes as a JWK Set: no key that could sign, no panic.
pub fn jwks(data: &[u8]) {
    if let Ok(ring) = KeyRing::parse(data, &Algorithm::ALL) {
        let set: serde_json::Value = serde_json::from_slice(data).expect("JSON");
        let keys = set["keys"].as_array().expect("an array");
        assert!(ring.skipped().len() < keys.len(), "a ring has a key");
        for skipped in ring.skipped() {
            assert!(keys.get(skipped.index).is_some());
        }
        let all_private = keys.iter().all(|key| key.get("d").is_some());
        assert!(!all_private, "a private key");
    }
}

/// Any bytes as a discovery document: only https and only the issuer's own origin.
pub fn discovery(data: &[u8]) {
    let issuer = "https://id.example.com/";
    if let Ok(found) = jwks_uri(data, issuer, &FetchConfig::default()) {
        assert_eq!(found.scheme(), "https");
        assert_eq!(found.host_str(), Some("id.example.com"));
        assert_eq!(found.port_or_known_default(), Some(443));
        assert!(found.username().is_empty() && found.fragment().is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every seed, and every seed with one byte changed, dropped or doubled.
    fn run(target: fn(&[u8]), seeds: &str) {
        for seed in seeds.split("\n---\n") {
            let seed = seed.trim_end().as_bytes();
            target(seed);
            for at in 0..seed.len() {
                for byte in [0, b'"', b'.', b'{', b'=', 0x80, 0xff, seed[at] ^ 1] {
                    let mut changed = seed.to_vec();
                    changed[at] = byte;
                    target(&changed);
                }
                let mut dropped = seed.to_vec();
                let byte = dropped.remove(at);
                target(&dropped);
                dropped.splice(at..at, [byte, byte]);
                target(&dropped);
                target(&seed[..at]);
            }
        }
    }

    #[test]
    fn tokens() {
        run(token, include_str!("../seeds/token.txt"));
    }

    #[test]
    fn signed_claims() {
        run(claims, include_str!("../seeds/claims.txt"));
    }

    #[test]
    fn key_sets() {
        run(jwks, include_str!("../seeds/jwks.txt"));
    }

    #[test]
    fn paths() {
        run(gateway::path, include_str!("../seeds/path.txt"));
    }

    #[test]
    fn questions_of_envoy() {
        run(gateway::ext_authz, include_str!("../seeds/ext_authz.txt"));
    }

    #[test]
    fn discovery_documents() {
        run(discovery, include_str!("../seeds/discovery.txt"));
    }

    #[test]
    fn the_seeds_reach_what_they_are_for() {
        let document = include_str!("../seeds/discovery.txt")
            .split("\n---\n")
            .next();
        let rule = FetchConfig::default();
        assert!(
            jwks_uri(
                document.unwrap_or_default().as_bytes(),
                "https://id.example.com/",
                &rule
            )
            .is_ok()
        );
        let set = include_str!("../seeds/jwks.txt").split("\n---\n").next();
        assert!(KeyRing::parse(set.unwrap_or_default().as_bytes(), &Algorithm::ALL).is_ok());
    }
}

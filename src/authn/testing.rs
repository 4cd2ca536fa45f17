//! Tokens and keys for this module's tests: real keys, real signatures, any header and payload.

use std::{sync::LazyLock, time::Duration};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json};

use crate::{
    config::{Algorithm, IssuerConfig, KeySource, Profile},
    model::{AccessToken, IssuerName, Rejection, RejectionCode, Timestamp},
};

use super::{Identity, TokenScope, TokenVerifier, TrustedKeys, inspect};

pub(super) mod provider;

pub(super) const ISS: &str = "https://id.example.com/";
pub(super) const AUD: &str = "orders-api";

/// 2030-01-01T00:00:00Z.
pub(super) const NOW: i64 = 1_893_456_000;

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A key pair of an issuer.
pub(super) struct Signer {
    pair: Pair,
    pub(super) algorithm: Algorithm,
    pub(super) jwk: Json,
}

impl Signer {
    pub(super) fn rsa(size: KeySize) -> Self {
        let pair = RsaKeyPair::generate(size).unwrap();
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        Self {
            jwk: json!({"kty": "RSA", "n": base64url(public.n), "e": base64url(public.e)}),
            algorithm: Algorithm::RS256,
            pair: Pair::Rsa(pair),
        }
    }

    pub(super) fn ec(algorithm: Algorithm) -> Self {
        let (curve, signing) = match algorithm {
            Algorithm::ES384 => ("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
            _ => ("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        };
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        Self {
            jwk: json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)}),
            algorithm,
            pair: Pair::Ec(pair),
        }
    }

    pub(super) fn ed() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        Self {
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key())}),
            algorithm: Algorithm::EdDSA,
            pair: Pair::Ed(pair),
        }
    }

    /// The public key as a JWK with this `kid`.
    pub(super) fn jwk(&self, kid: &str) -> Json {
        with(&self.jwk, "kid", json!(kid))
    }

    /// The public key in DER, as an attacker would use it for a secret.
    pub(super) fn public_der(&self) -> Vec<u8> {
        let Pair::Rsa(pair) = &self.pair else {
            panic!("only of RSA keys");
        };
        pair.public_key().as_der().unwrap().as_ref().to_vec()
    }

    pub(super) fn sign(&self, algorithm: Algorithm, message: &str) -> Vec<u8> {
        let message = message.as_bytes();
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::PS256 => &signature::RSA_PSS_SHA256,
                    Algorithm::PS384 => &signature::RSA_PSS_SHA384,
                    Algorithm::PS512 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut bytes = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut bytes).unwrap();
                bytes
            }
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with exactly these texts, signed by `algorithm`.
    pub(super) fn raw(&self, algorithm: Algorithm, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", base64url(header), base64url(payload));
        let signature = base64url(self.sign(algorithm, &input));
        format!("{input}.{signature}")
    }

    /// A token with this header and payload, signed by the key's own algorithm.
    pub(super) fn token(&self, header: &Json, payload: &Json) -> String {
        self.raw(self.algorithm, &header.to_string(), &payload.to_string())
    }
}

/// RSA keys are slow to make, so the tests share some; the kid of the first is `rsa`.
pub(super) static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rsa(KeySize::Rsa2048));
/// Another issuer's, or an attacker's.
pub(super) static OTHER_RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rsa(KeySize::Rsa2048));

pub(super) fn with(object: &Json, name: &str, value: Json) -> Json {
    let mut object = object.clone();
    object[name] = value;
    object
}

pub(super) fn without(object: &Json, name: &str) -> Json {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove(name);
    object
}

/// The header of a good token by [`RSA`].
pub(super) fn header() -> Json {
    json!({"alg": "RS256", "typ": "at+jwt", "kid": "rsa"})
}

/// The payload of a good token of RFC 9068.
pub(super) fn payload() -> Json {
    json!({
        "iss": ISS, "aud": AUD, "sub": "alice", "client_id": "web", "jti": "t-1",
        "iat": NOW - 60, "exp": NOW + 600, "scope": "orders:read orders:write",
    })
}

pub(super) fn jwks(keys: &[Json]) -> String {
    json!({ "keys": keys }).to_string()
}

/// The issuer of [`ISS`] with these keys.
pub(super) fn issuer(keys: &[Json]) -> IssuerConfig {
    IssuerConfig {
        name: IssuerName::new("corp"),
        issuer: ISS.to_owned(),
        audiences: vec![AUD.to_owned()],
        algorithms: Algorithm::ALL.to_vec(),
        keys: KeySource::Inline(jwks(keys)),
        profile: Profile::AtJwt,
        preset: None,
        leeway: Duration::from_secs(30),
        max_lifetime: Duration::from_secs(3600),
        key_refetch: Duration::from_secs(30),
    }
}

/// The issuer of [`ISS`] with the key `rsa` and RS256.
pub(super) fn corp() -> IssuerConfig {
    IssuerConfig {
        algorithms: vec![Algorithm::RS256],
        ..issuer(&[RSA.jwk("rsa")])
    }
}

/// Trust in these issuers and no others.
pub(super) fn trust(issuers: &[IssuerConfig]) -> std::sync::Arc<TrustedKeys> {
    TokenVerifier::new(issuers).unwrap().pin()
}

/// Verifies for any bundle at [`NOW`].
pub(super) fn verify(keys: &TrustedKeys, token: &str) -> Result<Identity, Rejection> {
    keys.verify(&AccessToken::new(token), &TokenScope::default(), now())
}

/// Asserts the outcome; `None`: accepted. A rejection never quotes the token.
#[track_caller]
pub(super) fn check(id: &str, keys: &TrustedKeys, token: &str, expected: Option<RejectionCode>) {
    let outcome = verify(keys, token);
    if let Err(rejection) = &outcome {
        for segment in token.split('.').filter(|segment| segment.len() > 8) {
            assert!(!rejection.detail.contains(segment), "{id} tells the token");
        }
    }
    let inspection = inspect(
        &AccessToken::new(token),
        keys,
        &TokenScope::default(),
        now(),
    );
    assert_eq!(inspection.accepted, outcome.is_ok(), "{id}: {inspection}");
    assert_eq!(
        outcome.as_ref().err().map(|rejection| rejection.code),
        expected,
        "{id}: {:?}",
        outcome.err()
    );
}

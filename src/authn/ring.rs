//! An issuer's keys: a JWK Set (RFC 7517), each key judged on its own.

use std::fmt;

use aws_lc_rs::{
    digest::{Context, Digest, SHA256, digest},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::DecodingKey;

use crate::{
    config::Algorithm,
    model::{JsonLimits, Members, Value, parse_json},
};

#[cfg(test)]
mod tests;

/// Largest JWK Set, in bytes.
pub(super) const MAX_SET: usize = 1024 * 1024;
/// Most keys of one set.
const MAX_KEYS: usize = 100;
const LIMITS: JsonLimits = JsonLimits {
    depth: 8,
    values: 10_000,
};

/// The keys by which an issuer's tokens are verified; never empty.
pub struct KeyRing {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
    digest: [u8; 32],
}

/// One public key and the algorithms it may be used with.
pub(super) struct Key {
    pub(super) kid: Option<String>,
    /// Allowed for the issuer and of the key's own kind; never empty.
    pub(super) algorithms: Vec<Algorithm>,
    /// SHA-256 of the certificate that goes with it, where the set says.
    pub(super) x5t_s256: Option<Vec<u8>>,
    /// RFC 7638, SHA-256: which key it is, whatever its `kid`.
    pub(super) thumbprint: [u8; 32],
    pub(super) decoding: DecodingKey,
}

/// A key of the set that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in the set, from 0.
    pub index: usize,
    /// Why.
    pub why: &'static str,
    /// Whether the set has published what must stay secret; worth an alarm.
    pub alarming: bool,
}

/// Why a set has no usable key; a good ring is kept instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingFault {
    /// Over 1 MiB or 100 keys.
    #[error("the JWK set is over {MAX_SET} bytes or {MAX_KEYS} keys")]
    TooLarge,
    /// Not a JWK Set.
    #[error("not a JWK set: expected one JSON object with an array `keys`")]
    NotASet,
    /// None of its keys can be used.
    #[error("the JWK set has no usable key{}", Reasons(.0))]
    NoUsableKey(Vec<SkippedKey>),
}

struct Reasons<'a>(&'a [SkippedKey]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|key| write!(f, "; key {} {}", key.index, key.why))
    }
}

impl KeyRing {
    /// Reads a JWK Set; of its keys, those that `algorithms` can use.
    ///
    /// # Errors
    /// [`RingFault`] when nothing usable is in it.
    pub fn parse(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Self, RingFault> {
        if bytes.len() > MAX_SET {
            return Err(RingFault::TooLarge);
        }
        let set = parse_json(bytes, LIMITS).map_err(|_| RingFault::NotASet)?;
        let Some(Value::Set(jwks)) = set.as_record().and_then(|set| set.get("keys")) else {
            return Err(RingFault::NotASet);
        };
        if jwks.len() > MAX_KEYS {
            return Err(RingFault::TooLarge);
        }
        let mut ring = Self {
            keys: Vec::new(),
            skipped: Vec::new(),
            digest: [0; 32],
        };
        for (index, jwk) in jwks.iter().enumerate() {
            match read_key(jwk, algorithms) {
                Ok(key) => ring.add(key),
                Err(Skip { why, alarming }) => ring.skipped.push(SkippedKey {
                    index,
                    why,
                    alarming,
                }),
            }
        }
        if ring.keys.is_empty() {
            return Err(RingFault::NoUsableKey(ring.skipped));
        }
        ring.digest = ring.names();
        Ok(ring)
    }

    /// SHA-256 over all that choosing and using a key depends on, each part with its length.
    fn names(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        let mut part = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        for key in &self.keys {
            part(&[u8::from(key.kid.is_some())]);
            part(key.kid.as_deref().unwrap_or_default().as_bytes());
            part(&key.thumbprint);
            part(key.x5t_s256.as_deref().unwrap_or_default());
            for algorithm in &key.algorithms {
                part(algorithm.as_str().as_bytes());
            }
        }
        to_array(&context.finish())
    }

    /// Adds a key unless the same key with the same `kid` is there.
    fn add(&mut self, key: Key) {
        let known = |have: &Key| have.thumbprint == key.thumbprint && have.kid == key.kid;
        if !self.keys.iter().any(known) {
            self.keys.push(key);
        }
    }

    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Names what the ring holds: a ring of another digest may verify other tokens.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Whether a key has this `kid`.
    pub(super) fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The keys of the set that are not used, in its order.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("keys", &self.keys.len())
            .field("skipped", &self.skipped)
            .finish()
    }
}

struct Skip {
    why: &'static str,
    alarming: bool,
}

fn skip<T>(why: &'static str) -> Result<T, Skip> {
    Err(Skip {
        why,
        alarming: false,
    })
}

fn read_key(jwk: &Value, allowed: &[Algorithm]) -> Result<Key, Skip> {
    let Some(jwk) = jwk.as_record() else {
        return skip("is not an object");
    };
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"]
        .iter()
        .any(|member| jwk.contains_key(*member))
    {
        return Err(Skip {
            why: "has private or symmetric members: whoever reads the set can sign",
            alarming: true,
        });
    }
    check_use(jwk)?;
    let (kinds, thumbprint, decoding): (&[Algorithm], _, _) = match text(jwk, "kty")? {
        Some("RSA") => read_rsa(jwk)?,
        Some("EC") => read_ec(jwk)?,
        Some("OKP") => read_okp(jwk)?,
        _ => return skip("is of a type that is not used here"),
    };
    let own = match text(jwk, "alg")? {
        None => None,
        Some(name) => match Algorithm::from_name(name) {
            Some(own) => Some(own),
            None => return skip("is for an algorithm that is not used here"),
        },
    };
    let algorithms: Vec<_> = kinds
        .iter()
        .copied()
        .filter(|kind| own.is_none_or(|own| own == *kind) && allowed.contains(kind))
        .collect();
    if algorithms.is_empty() {
        return skip("fits no algorithm that the issuer may use");
    }
    Ok(Key {
        kid: text(jwk, "kid")?.map(str::to_owned),
        algorithms,
        x5t_s256: read_certificate(jwk)?,
        thumbprint,
        decoding,
    })
}

/// RFC 7517 §4.2 and §4.3: for signatures, where it says what for.
fn check_use(jwk: &Members) -> Result<(), Skip> {
    if text(jwk, "use")?.is_some_and(|usage| usage != "sig") {
        return skip("is not for signatures (`use`)");
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Set(ops)) if ops.iter().any(|op| op.as_str() == Some("verify")) => Ok(()),
        Some(_) => skip("is not for verifying (`key_ops`)"),
    }
}

type Parts = (&'static [Algorithm], [u8; 32], DecodingKey);

/// RFC 7518 §6.3: 2048 to 8192 bits, odd modulus, odd exponent of at least 3.
fn read_rsa(jwk: &Members) -> Result<Parts, Skip> {
    const KINDS: &[Algorithm] = &[
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ];
    let (n, e) = (uint(jwk, "n")?, uint(jwk, "e")?);
    let bits = |uint: &[u8]| {
        let top = uint.first().map_or(0, |byte| byte.leading_zeros() as usize);
        uint.len() * 8 - top
    };
    let odd = |uint: &[u8]| uint.last().is_some_and(|byte| byte % 2 == 1);
    if !(2048..=8192).contains(&bits(&n)) {
        return skip("is an RSA key of fewer than 2048 or more than 8192 bits");
    }
    if !odd(&n) || !odd(&e) || bits(&e) < 2 || bits(&e) > 33 {
        return skip("is no RSA key: modulus or exponent is out of range");
    }
    let components = RsaPublicKeyComponents { n: &n, e: &e };
    if components
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .is_err()
    {
        return skip("is no RSA key");
    }
    let thumbprint = thumbprint(&format!(
        r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(&e),
        URL_SAFE_NO_PAD.encode(&n)
    ));
    Ok((
        KINDS,
        thumbprint,
        DecodingKey::from_rsa_raw_components(&n, &e),
    ))
}

/// RFC 7518 §6.2: a point on P-256 or P-384.
fn read_ec(jwk: &Members) -> Result<Parts, Skip> {
    let (kinds, size, verification): (
        &'static [Algorithm],
        usize,
        &'static dyn VerificationAlgorithm,
    ) = match text(jwk, "crv")? {
        Some("P-256") => (&[Algorithm::ES256], 32, &ECDSA_P256_SHA256_FIXED),
        Some("P-384") => (&[Algorithm::ES384], 48, &ECDSA_P384_SHA384_FIXED),
        _ => return skip("is on a curve that is not used here"),
    };
    let (x, y) = (octets(jwk, "x")?, octets(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return skip("has coordinates that do not fit its curve");
    }
    let point = [&[4][..], &x, &y].concat();
    if ParsedPublicKey::new(verification, &point).is_err() {
        return skip("is not a point on its curve");
    }
    let thumbprint = thumbprint(&format!(
        r#"{{"crv":"P-{}","kty":"EC","x":"{}","y":"{}"}}"#,
        size * 8,
        URL_SAFE_NO_PAD.encode(&x),
        URL_SAFE_NO_PAD.encode(&y)
    ));
    Ok((kinds, thumbprint, DecodingKey::from_ec_der(&point)))
}

/// RFC 8037 §2: Ed25519 only; X25519 signs nothing.
fn read_okp(jwk: &Members) -> Result<Parts, Skip> {
    if text(jwk, "crv")? != Some("Ed25519") {
        return skip("is on a curve that is not used here");
    }
    let x = octets(jwk, "x")?;
    if x.len() != 32 || ParsedPublicKey::new(&ED25519, &x).is_err() {
        return skip("is no Ed25519 key");
    }
    let thumbprint = thumbprint(&format!(
        r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(&x)
    ));
    Ok((
        &[Algorithm::EdDSA],
        thumbprint,
        DecodingKey::from_ed_der(&x),
    ))
}

/// The thumbprint of the certificate that goes with a key, from `x5t#S256` or the first of `x5c`.
fn read_certificate(jwk: &Members) -> Result<Option<Vec<u8>>, Skip> {
    if let Some(text) = text(jwk, "x5t#S256")? {
        return match URL_SAFE_NO_PAD.decode(text) {
            Ok(thumbprint) => Ok(Some(thumbprint)),
            Err(_) => skip("has an `x5t#S256` that is not base64url"),
        };
    }
    let first = match jwk.get("x5c") {
        None => return Ok(None),
        Some(Value::Set(chain)) => chain.first().and_then(Value::as_str),
        Some(_) => None,
    };
    match first.and_then(|first| STANDARD.decode(first).ok()) {
        Some(certificate) => Ok(Some(digest(&SHA256, &certificate).as_ref().to_vec())),
        None => skip("has an `x5c` that is not base64"),
    }
}

fn text<'a>(jwk: &'a Members, name: &str) -> Result<Option<&'a str>, Skip> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => skip("has a member of the wrong type"),
    }
}

fn octets(jwk: &Members, name: &str) -> Result<Vec<u8>, Skip> {
    match text(jwk, name)?.map(|text| URL_SAFE_NO_PAD.decode(text)) {
        Some(Ok(octets)) => Ok(octets),
        _ => skip("lacks a part of its public key"),
    }
}

/// Base64urlUInt (RFC 7518 §2), leading zeros dropped.
fn uint(jwk: &Members, name: &str) -> Result<Vec<u8>, Skip> {
    let octets = octets(jwk, name)?;
    Ok(octets.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn thumbprint(required_members: &str) -> [u8; 32] {
    to_array(&digest(&SHA256, required_members.as_bytes()))
}

fn to_array(digest: &Digest) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest.as_ref());
    array
}

//! The development issuer: the only signer in Doorward, and never outside development mode.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value as Json, json};

use crate::{
    config::{Algorithm, IssuerConfig, KeySource, Profile},
    model::{IssuerName, JsonLimits, SignedDuration, Timestamp, parse_json},
};

#[cfg(test)]
mod tests;

const KEY_FILE: &str = "dev-issuer.pk8";
const ISSUER: &str = "https://dev.doorward.invalid/";
const AUDIENCE: &str = "doorward-dev";
/// A key is 138 bytes; a file of more than this is none.
const MAX_KEY: u64 = 4096;
/// The longest life of a development token.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Signs tokens for development with a key kept in the data directory.
pub struct DevIssuer {
    signing: jsonwebtoken::EncodingKey,
    jwk: Json,
    kid: String,
}

/// A token to make.
#[derive(Clone)]
pub struct Mint {
    /// `sub`.
    pub sub: String,
    /// `scope`, separated by spaces; empty: none.
    pub scope: String,
    /// `client_id`.
    pub client_id: String,
    /// From `iat` to `exp`.
    pub ttl: SignedDuration,
    /// Further claims as name and JSON text; they override the ones above.
    pub claims: Vec<(String, String)>,
}

/// Why the development issuer cannot work.
#[derive(Debug, thiserror::Error)]
pub enum DevFault {
    /// The key file cannot be read or written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the key.
    #[error("`{}` can be read by others; run `chmod 600` on it", .0.display())]
    Exposed(PathBuf),
    /// The file is not such a key.
    #[error("`{}` is not a P-256 key in PKCS #8; delete it to have a new one made", .0.display())]
    NotAKey(PathBuf),
    /// A further claim that is not JSON, or given twice.
    #[error("claim `{name}` {what}")]
    Claim {
        /// Its name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The life asked for is out of bounds.
    #[error("a token lives 1 second to 30 days")]
    Ttl,
    /// The operating system's randomness or the signer failed.
    #[error("cannot sign")]
    Crypto,
}

impl DevIssuer {
    /// Opens the key in `data`, making both where they are missing.
    ///
    /// # Errors
    /// [`DevFault`] when the key cannot be had, or others could have it.
    pub fn open(data: &Path) -> Result<Self, DevFault> {
        let path = data.join(KEY_FILE);
        let io = |source| DevFault::Io {
            path: path.clone(),
            source,
        };
        if !path.try_exists().map_err(io)? {
            create_key(data, &path)?;
        }
        let file = fs::File::open(&path).map_err(io)?;
        if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
            return Err(DevFault::Exposed(path));
        }
        let mut pkcs8 = Vec::new();
        file.take(MAX_KEY).read_to_end(&mut pkcs8).map_err(io)?;
        Self::from_pkcs8(&pkcs8).ok_or(DevFault::NotAKey(path))
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
        let (x, y) = pair
            .public_key()
            .as_ref()
            .strip_prefix(&[4])?
            .split_at_checked(32)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638 §3: the required members in lexicographic order.
        let required = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, required.as_bytes()));
        Some(Self {
            signing: jsonwebtoken::EncodingKey::from_ec_der(pkcs8),
            jwk: json!({
                "kty": "EC", "crv": "P-256", "x": x, "y": y,
                "kid": kid, "alg": "ES256", "use": "sig",
            }),
            kid,
        })
    }

    /// Its public key as a JWK Set.
    pub fn jwks(&self) -> String {
        json!({ "keys": [self.jwk] }).to_string()
    }

    /// The trust in it, as a server in development mode has it.
    pub fn issuer_config(&self) -> IssuerConfig {
        IssuerConfig {
            name: IssuerName::new("dev"),
            issuer: ISSUER.to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec![Algorithm::ES256],
            keys: KeySource::Inline(self.jwks()),
            profile: Profile::AtJwt,
            preset: None,
            leeway: Duration::from_secs(30),
            max_lifetime: MAX_LIFETIME,
            key_refetch: Duration::from_secs(30),
        }
    }

    /// Makes an access token of RFC 9068 as of `now`.
    ///
    /// # Errors
    /// [`DevFault`] for claims that are not JSON and lives out of bounds.
    pub fn mint(&self, mint: &Mint, now: Timestamp) -> Result<String, DevFault> {
        if mint.ttl < SignedDuration::from_secs(1) || mint.ttl.unsigned_abs() > MAX_LIFETIME {
            return Err(DevFault::Ttl);
        }
        let mut claims = json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": mint.sub,
            "client_id": mint.client_id,
            "iat": now.as_second(),
            "exp": now.as_second().saturating_add(mint.ttl.as_secs()),
            "jti": token_id()?,
        });
        if let Json::Object(claims) = &mut claims {
            if !mint.scope.is_empty() {
                claims.insert("scope".to_owned(), json!(mint.scope));
            }
            claims.append(&mut read_claims(&mint.claims)?);
        }
        let header = json!({ "typ": "at+jwt", "alg": "ES256", "kid": self.kid });
        let signing_input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = jsonwebtoken::crypto::sign(
            signing_input.as_bytes(),
            &self.signing,
            jsonwebtoken::Algorithm::ES256,
        )
        .map_err(|_| DevFault::Crypto)?;
        Ok(format!("{signing_input}.{signature}"))
    }
}

impl std::fmt::Debug for DevIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevIssuer")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Reads each further claim as strictly as a token's payload is read.
fn read_claims(claims: &[(String, String)]) -> Result<Map<String, Json>, DevFault> {
    const LIMITS: JsonLimits = JsonLimits {
        depth: 31,
        values: 4096,
    };
    let mut read = Map::new();
    for (name, text) in claims {
        let fault = |what| DevFault::Claim {
            name: name.clone(),
            what,
        };
        let not_json = "is not JSON; write text in quotes, as in `--claim 'team=\"eng\"'`";
        parse_json(text.as_bytes(), LIMITS).map_err(|_| fault(not_json))?;
        let value = serde_json::from_str(text).map_err(|_| fault(not_json))?;
        if read.insert(name.clone(), value).is_some() {
            return Err(fault("is given twice"));
        }
    }
    Ok(read)
}

/// 128 random bits.
fn token_id() -> Result<String, DevFault> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| DevFault::Crypto)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Writes a new key under a name of its own and links it into place, so that nobody reads half of
/// it, and of two programs that start at once both use the key of the first.
fn create_key(data: &Path, path: &Path) -> Result<(), DevFault> {
    let io = |source| DevFault::Io {
        path: path.to_owned(),
        source,
    };
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| DevFault::Crypto)?;
    fs::create_dir_all(data).map_err(io)?;
    let draft = data.join(format!("{KEY_FILE}.{}", token_id()?));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(io)?;
    let written = file
        .write_all(pkcs8.as_ref())
        .and_then(|()| file.sync_all())
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    fs::remove_file(&draft).and(written).map_err(io)
}

//! Where an issuer's JWK Set is read from, again and again.

use std::{io, path::PathBuf, time::Duration};

use tokio::io::AsyncReadExt;
use url::Url;

use crate::{
    config::{FetchConfig, IssuerConfig, KeySource},
    model::{JsonLimits, Value, parse_json},
};

use super::{
    fetch::{FetchFault, Fetched, Fetcher},
    ring::{KeyRing, MAX_SET, RingFault},
};

/// Times between two reads of a file: cheap, and soon enough for a rotation.
pub(super) const POLL: Duration = Duration::from_secs(5);
/// What a `Cache-Control` may say is held to these (and none says this).
const SHORTEST: Duration = Duration::from_secs(60);
const DEFAULT: Duration = Duration::from_secs(600);
const LONGEST: Duration = Duration::from_secs(3600);

/// A place to read keys from.
pub(super) enum Source {
    /// A file.
    File(PathBuf),
    /// A URL.
    Url(Url, Fetcher),
    /// The `jwks_uri` of a discovery document.
    Discovery(Url, Fetcher),
}

/// Keys that were read, and when to read them again.
pub(super) struct Loaded {
    pub(super) ring: KeyRing,
    /// How long until the next read.
    pub(super) next: Duration,
}

/// Why no keys could be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// The file cannot be read.
    #[error("cannot read `{}`: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A document cannot be fetched.
    #[error("cannot fetch `{url}`: {why}")]
    Fetch {
        /// From where.
        url: String,
        /// Why.
        why: FetchFault,
    },
    /// The discovery document is not that of the issuer.
    #[error("discovery document `{url}`: {why}")]
    Discovery {
        /// Which.
        url: String,
        /// Why.
        why: String,
    },
    /// The set has no usable key.
    #[error(transparent)]
    Ring(#[from] RingFault),
}

impl Source {
    /// The place that the configuration names; none for keys given in place.
    ///
    /// # Errors
    /// [`FetchFault`] when fetching cannot be set up.
    pub(super) fn of(config: &IssuerConfig) -> Result<Option<Self>, FetchFault> {
        Ok(match &config.keys {
            KeySource::Inline(_) => None,
            KeySource::File(path) => Some(Self::File(path.clone())),
            KeySource::Url { url, fetch } => Some(Self::Url(url.clone(), Fetcher::new(fetch)?)),
            KeySource::Discovery { issuer, fetch } => {
                Some(Self::Discovery(issuer.clone(), Fetcher::new(fetch)?))
            }
        })
    }

    /// Whether it is elsewhere, so that reading takes a network.
    pub(super) fn is_remote(&self) -> bool {
        !matches!(self, Self::File(_))
    }

    /// Reads the keys that are there now.
    ///
    /// # Errors
    /// [`SourceFault`]; the caller keeps what it had.
    pub(super) async fn load(&self, config: &IssuerConfig) -> Result<Loaded, SourceFault> {
        let (bytes, next) = match self {
            Self::File(path) => {
                let read = read_file(path).await;
                let bytes = read.map_err(|why| SourceFault::File {
                    path: path.clone(),
                    why,
                })?;
                (bytes, POLL)
            }
            Self::Url(url, fetcher) => {
                let fetched = get(fetcher, url).await?;
                (fetched.bytes, ahead(fetched.max_age))
            }
            Self::Discovery(issuer, fetcher) => {
                let document = discovery_url(issuer);
                let fetched = get(fetcher, &document).await?;
                let keys =
                    jwks_uri(&fetched.bytes, &config.issuer, fetcher.rule()).map_err(|why| {
                        SourceFault::Discovery {
                            url: document.to_string(),
                            why,
                        }
                    })?;
                let fetched = get(fetcher, &keys).await?;
                (fetched.bytes, ahead(fetched.max_age))
            }
        };
        Ok(Loaded {
            ring: KeyRing::parse(&bytes, &config.algorithms)?,
            next,
        })
    }
}

async fn get(fetcher: &Fetcher, url: &Url) -> Result<Fetched, SourceFault> {
    fetcher.get(url).await.map_err(|why| SourceFault::Fetch {
        url: url.to_string(),
        why,
    })
}

/// Reads a file, of one that is too large only enough to tell.
async fn read_file(path: &PathBuf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    tokio::fs::File::open(path)
        .await?
        .take(MAX_SET as u64 + 1)
        .read_to_end(&mut bytes)
        .await?;
    Ok(bytes)
}

/// When to fetch again: a tenth before the answer's life is over.
fn ahead(max_age: Option<Duration>) -> Duration {
    let life = max_age.unwrap_or(DEFAULT).clamp(SHORTEST, LONGEST);
    (life - life / 10).max(SHORTEST)
}

/// OpenID Connect Discovery §4.1: below the issuer, a slash at its end dropped.
fn discovery_url(issuer: &Url) -> Url {
    let mut url = issuer.clone();
    let path = issuer.path().trim_end_matches('/');
    url.set_path(&format!("{path}/.well-known/openid-configuration"));
    url
}

/// Where a discovery document says that the keys of `issuer` are.
///
/// The document must be the issuer's own, byte for byte (OpenID Connect Discovery §4.3), and send
/// to its own origin unless `rule` lists another.
///
/// # Errors
/// What is wrong with it.
pub fn jwks_uri(document: &[u8], issuer: &str, rule: &FetchConfig) -> Result<Url, String> {
    const LIMITS: JsonLimits = JsonLimits {
        depth: 16,
        values: 10_000,
    };
    let document = parse_json(document, LIMITS).map_err(|fault| fault.to_string())?;
    let member = |name: &str| {
        document
            .as_record()
            .and_then(|document| document.get(name))
            .and_then(Value::as_str)
    };
    if member("issuer") != Some(issuer) {
        return Err(format!("its `issuer` is not `{issuer}`, byte for byte"));
    }
    let Some(uri) = member("jwks_uri") else {
        return Err("it has no `jwks_uri`".to_owned());
    };
    let own = rule.check_url(issuer)?;
    let url = rule
        .check_url(uri)
        .map_err(|fault| format!("its `jwks_uri` {fault}"))?;
    if !rule.allows_origin(&own, &url) {
        return Err(format!(
            "its `jwks_uri` is on {}; if that is meant, list it in `allow_origins`",
            url.origin().ascii_serialization()
        ));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::authn::testing;

    #[test]
    fn the_document_is_below_the_issuer() {
        for (issuer, expected) in [
            (
                "https://id.example/",
                "https://id.example/.well-known/openid-configuration",
            ),
            (
                "https://id.example",
                "https://id.example/.well-known/openid-configuration",
            ),
            (
                "https://id.example/realms/a",
                "https://id.example/realms/a/.well-known/openid-configuration",
            ),
            (
                "https://id.example/a/",
                "https://id.example/a/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(discovery_url(&issuer.parse().unwrap()).as_str(), expected);
        }
    }

    #[test]
    fn keys_are_fetched_again_before_their_life_is_over() {
        for (max_age, expected) in [
            (None, 540),
            (Some(0), 60),
            (Some(60), 60),
            (Some(100), 90),
            (Some(3600), 3240),
            (Some(31_536_000), 3240),
            (Some(u64::MAX), 3240),
        ] {
            let next = ahead(max_age.map(Duration::from_secs));
            assert_eq!(next, Duration::from_secs(expected), "C16 {max_age:?}");
        }
    }

    #[test]
    fn c04_a_discovery_document_speaks_for_its_own_issuer_and_origin() {
        let rule = FetchConfig {
            allow_origins: vec![Url::parse("https://keys.example.com").unwrap().origin()],
            ..FetchConfig::default()
        };
        let uri = |issuer_member: &str, uri: serde_json::Value| {
            let document = json!({"issuer": issuer_member, "jwks_uri": uri}).to_string();
            jwks_uri(document.as_bytes(), testing::ISS, &rule).map(|url| url.to_string())
        };
        let own = json!("https://id.example.com/keys");
        assert_eq!(
            uri(testing::ISS, own.clone()),
            Ok("https://id.example.com/keys".into())
        );
        assert!(uri(testing::ISS, json!("https://keys.example.com/a")).is_ok());
        for other in [
            "https://id.example.com",
            "https://ID.example.com/",
            "https://id.example.com:443/",
            "http://id.example.com/",
            "https://evil.example/",
            "",
        ] {
            let fault = uri(other, own.clone()).unwrap_err();
            assert!(fault.contains("byte for byte"), "{fault}");
        }
        for (elsewhere, why) in [
            (json!("https://evil.example/keys"), "allow_origins"),
            (json!("https://id.example.com:8443/keys"), "allow_origins"),
            (json!("http://id.example.com/keys"), "not https"),
            (json!("file:///etc/passwd"), "has no host"),
            (json!(1), "no `jwks_uri`"),
            (json!(null), "no `jwks_uri`"),
        ] {
            let fault = uri(testing::ISS, elsewhere).unwrap_err();
            assert!(fault.contains(why), "C01 {fault}");
        }
        for text in ["", "[]", "<html>", "{}", "{\"issuer\":1,\"issuer\":1}"] {
            assert!(
                jwks_uri(text.as_bytes(), testing::ISS, &rule).is_err(),
                "{text}"
            );
        }
    }
}

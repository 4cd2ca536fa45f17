//! Which issuers are trusted, and by which keys right now.

use std::{collections::BTreeSet, fmt, fs, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    config::{IssuerConfig, KeySource},
    model::IssuerName,
};

use super::ring::{KeyRing, MAX_SET, RingFault};

/// Holds the trusted issuers and their keys; hands them out one generation at a time.
pub struct TokenVerifier {
    current: ArcSwap<TrustedKeys>,
}

/// Every trusted issuer with its keys, as they were when a request pinned them.
pub struct TrustedKeys {
    issuers: Vec<TrustedIssuer>,
}

/// An issuer with its keys.
#[derive(Clone)]
pub(super) struct TrustedIssuer {
    pub(super) config: Arc<IssuerConfig>,
    pub(super) ring: Arc<KeyRing>,
}

/// Why the trusted keys cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// Two issuers with one name or one `iss`.
    #[error("issuer `{0}` is configured twice, by its name or by its `issuer`")]
    Twice(IssuerName),
    /// The file cannot be read.
    #[error("issuer `{issuer}`: cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// Whose keys.
        issuer: IssuerName,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The set is not usable.
    #[error("issuer `{issuer}`: {fault}")]
    Unusable {
        /// Whose keys.
        issuer: IssuerName,
        /// Why.
        fault: RingFault,
    },
}

impl TokenVerifier {
    /// Reads the keys of every issuer.
    ///
    /// # Errors
    /// [`KeysFault`] for the first issuer whose keys cannot be had.
    pub fn new(issuers: &[IssuerConfig]) -> Result<Self, KeysFault> {
        let mut seen = BTreeSet::new();
        let mut trusted = Vec::with_capacity(issuers.len());
        for config in issuers {
            if !seen.insert(config.name.as_str()) || !seen.insert(config.issuer.as_str()) {
                return Err(KeysFault::Twice(config.name.clone()));
            }
            trusted.push(TrustedIssuer {
                ring: Arc::new(load(config)?),
                config: Arc::new(config.clone()),
            });
        }
        Ok(Self {
            current: ArcSwap::from_pointee(TrustedKeys { issuers: trusted }),
        })
    }

    /// The keys as they are now: one generation, for one request.
    pub fn pin(&self) -> Arc<TrustedKeys> {
        self.current.load_full()
    }
}

impl TrustedKeys {
    /// The issuer that calls itself `iss`, byte for byte.
    pub(super) fn issuer(&self, iss: &str) -> Option<&TrustedIssuer> {
        self.issuers
            .iter()
            .find(|trusted| trusted.config.issuer == iss)
    }

    /// An issuer other than `iss` that has a key named `kid`.
    pub(super) fn other_owner(&self, iss: &str, kid: &str) -> Option<&IssuerName> {
        let named = |trusted: &&TrustedIssuer| {
            trusted.config.issuer != iss
                && trusted
                    .ring
                    .keys()
                    .iter()
                    .any(|key| key.kid.as_deref() == Some(kid))
        };
        let owner = self.issuers.iter().find(named)?;
        Some(&owner.config.name)
    }
}

fn load(config: &IssuerConfig) -> Result<KeyRing, KeysFault> {
    let bytes = match &config.keys {
        KeySource::Inline(text) => text.clone().into_bytes(),
        KeySource::File(path) => read_set(path).map_err(|source| KeysFault::Unreadable {
            issuer: config.name.clone(),
            path: path.clone(),
            source,
        })?,
    };
    KeyRing::parse(&bytes, &config.algorithms).map_err(|fault| KeysFault::Unusable {
        issuer: config.name.clone(),
        fault,
    })
}

/// Reads a file, of one that is too large only enough to tell.
fn read_set(path: &PathBuf) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_SET as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenVerifier").field(&self.pin()).finish()
    }
}

impl fmt::Debug for TrustedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.issuers
                    .iter()
                    .map(|trusted| (&trusted.config.name, &trusted.ring)),
            )
            .finish()
    }
}

//! Which issuers are trusted, and by which keys right now.

use std::{collections::BTreeSet, fmt, fs, io::Read, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    config::{IssuerConfig, KeySource},
    model::{IssuerName, Rejection, RejectionCode, SignedDuration, Timestamp},
};

use super::{
    cache::TokenCache,
    fetch::FetchFault,
    refresh::Desk,
    reject,
    ring::{KeyRing, MAX_SET, SkippedKey},
    source::{Source, SourceFault},
};

/// How long the last good keys are used while their source cannot be read.
pub(super) const MAX_STALE: SignedDuration = SignedDuration::from_hours(24);

/// Holds the trusted issuers and their keys; hands them out one generation at a time.
pub struct TokenVerifier {
    current: ArcSwap<TrustedKeys>,
    /// In the order of the issuers; none for keys given in place.
    pub(super) desks: Vec<Option<Desk>>,
}

/// Every trusted issuer with its keys, as they were when a request pinned them.
pub struct TrustedKeys {
    pub(super) issuers: Vec<TrustedIssuer>,
    pub(super) cache: Arc<TokenCache>,
}

/// An issuer with its keys.
#[derive(Clone)]
pub(super) struct TrustedIssuer {
    pub(super) config: Arc<IssuerConfig>,
    /// The last good ones.
    keys: Option<Held>,
    /// Why the last read failed, if it did.
    fault: Option<Arc<str>>,
}

#[derive(Clone)]
struct Held {
    ring: Arc<KeyRing>,
    /// When they were read; none since trust was set up.
    since: Option<Timestamp>,
    /// When they are too old to be trusted; never, for keys given in place.
    until: Option<Timestamp>,
}

/// How an issuer's keys are, for readiness and operators.
#[derive(Clone, Debug)]
pub struct KeyHealth {
    /// Whose.
    pub issuer: IssuerName,
    /// Whether tokens can be verified with them.
    pub usable: bool,
    /// How many there are.
    pub keys: usize,
    /// Those of the set that are not used.
    pub skipped: Vec<SkippedKey>,
    /// When they were last read; none since trust was set up.
    pub read_at: Option<Timestamp>,
    /// When they become too old, unless read again.
    pub usable_until: Option<Timestamp>,
    /// Why the last read failed, if it did: the keys are then of an earlier one.
    pub fault: Option<String>,
}

/// Why the trusted keys cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// Two issuers with one name or one `iss`.
    #[error("issuer `{0}` is configured twice, by its name or by its `issuer`")]
    Twice(IssuerName),
    /// Keys on this machine cannot be used.
    #[error("issuer `{issuer}`: {fault}")]
    Unusable {
        /// Whose keys.
        issuer: IssuerName,
        /// Why.
        fault: SourceFault,
    },
    /// Fetching cannot be set up.
    #[error("issuer `{issuer}`: {fault}")]
    NoFetching {
        /// Whose keys.
        issuer: IssuerName,
        /// Why.
        fault: FetchFault,
    },
}

impl TokenVerifier {
    /// Trusts these issuers. Keys on this machine are read now; others by [`Self::tasks`], and
    /// until then tokens of theirs are refused as `keys_unavailable`.
    ///
    /// # Errors
    /// [`KeysFault`] for the first issuer that cannot be set up.
    pub fn new(issuers: &[IssuerConfig]) -> Result<Self, KeysFault> {
        let mut seen = BTreeSet::new();
        let mut trusted = Vec::with_capacity(issuers.len());
        let mut desks = Vec::with_capacity(issuers.len());
        for config in issuers {
            if !seen.insert(config.name.as_str()) || !seen.insert(config.issuer.as_str()) {
                return Err(KeysFault::Twice(config.name.clone()));
            }
            let source = Source::of(config).map_err(|fault| KeysFault::NoFetching {
                issuer: config.name.clone(),
                fault,
            })?;
            let ring = read_local(config).map_err(|fault| KeysFault::Unusable {
                issuer: config.name.clone(),
                fault,
            })?;
            trusted.push(TrustedIssuer {
                config: Arc::new(config.clone()),
                keys: ring.map(|ring| Held::new(ring, None)),
                fault: None,
            });
            desks.push(source.map(|source| Desk::new(source, config.key_refetch)));
        }
        Ok(Self {
            current: ArcSwap::from_pointee(TrustedKeys {
                issuers: trusted,
                cache: Arc::new(TokenCache::new()),
            }),
            desks,
        })
    }

    /// The keys as they are now: one generation, for one request.
    pub fn pin(&self) -> Arc<TrustedKeys> {
        self.current.load_full()
    }

    /// Puts what was read of issuer number `index` in force, all at once.
    pub(super) fn publish(&self, index: usize, read: Result<KeyRing, Arc<str>>, now: Timestamp) {
        let read = read.map(|ring| Held::new(ring, Some(now)));
        self.current.rcu(|current| {
            let mut issuers = current.issuers.clone();
            if let Some(issuer) = issuers.get_mut(index) {
                match &read {
                    Ok(held) => {
                        issuer.keys = Some(held.clone());
                        issuer.fault = None;
                    }
                    Err(fault) => {
                        issuer.fault = Some(Arc::clone(fault));
                        if let Some(held) = &mut issuer.keys {
                            held.until = held.until.or(now.checked_add(MAX_STALE).ok());
                        }
                    }
                }
            }
            TrustedKeys {
                issuers,
                cache: Arc::clone(&current.cache),
            }
        });
    }
}

impl TrustedKeys {
    /// The issuer that calls itself `iss`, byte for byte, and its number.
    pub(super) fn issuer(&self, iss: &str) -> Option<(usize, &TrustedIssuer)> {
        self.issuers
            .iter()
            .enumerate()
            .find(|(_, trusted)| trusted.config.issuer == iss)
    }

    /// An issuer other than `iss` that has a key named `kid`.
    pub(super) fn other_owner(&self, iss: &str, kid: &str) -> Option<&IssuerName> {
        let named = |trusted: &&TrustedIssuer| {
            trusted.config.issuer != iss
                && trusted.keys.as_ref().is_some_and(|held| held.ring.has(kid))
        };
        let owner = self.issuers.iter().find(named)?;
        Some(&owner.config.name)
    }

    /// How often a token was one verified before, and how often not, since the start.
    pub fn remembered(&self) -> (u64, u64) {
        self.cache.counts()
    }

    /// How the keys of every issuer are as of `now`.
    pub fn health(&self, now: Timestamp) -> Vec<KeyHealth> {
        self.issuers
            .iter()
            .map(|trusted| {
                let held = trusted.keys.as_ref();
                KeyHealth {
                    issuer: trusted.config.name.clone(),
                    usable: trusted.ring(now).is_ok(),
                    keys: held.map_or(0, |held| held.ring.keys().len()),
                    skipped: held.map_or_else(Vec::new, |held| held.ring.skipped().to_vec()),
                    read_at: held.and_then(|held| held.since),
                    usable_until: held.and_then(|held| held.until),
                    fault: trusted.fault.as_deref().map(str::to_owned),
                }
            })
            .collect()
    }
}

impl TrustedIssuer {
    /// Its keys, unless there are none or they are too old.
    pub(super) fn ring(&self, now: Timestamp) -> Result<&KeyRing, Rejection> {
        let name = &self.config.name;
        match &self.keys {
            Some(held) if held.until.is_none_or(|until| now < until) => Ok(&held.ring),
            Some(_) => reject(
                RejectionCode::KeysUnavailable,
                format!("the keys of issuer `{name}` could not be read again for a day"),
            ),
            None => reject(
                RejectionCode::KeysUnavailable,
                format!("the keys of issuer `{name}` could not be read yet"),
            ),
        }
    }

    /// Whether it has keys, however old.
    pub(super) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether its keys are just these.
    pub(super) fn holds(&self, ring: &KeyRing) -> bool {
        let same = |held: &Held| held.ring.digest() == ring.digest();
        self.keys.as_ref().is_some_and(same)
    }

    /// Why the last read failed, if it did.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

impl Held {
    fn new(ring: KeyRing, since: Option<Timestamp>) -> Self {
        Self {
            ring: Arc::new(ring),
            since,
            until: since.and_then(|since| since.checked_add(MAX_STALE).ok()),
        }
    }
}

/// Reads keys that need no network.
fn read_local(config: &IssuerConfig) -> Result<Option<KeyRing>, SourceFault> {
    let bytes = match &config.keys {
        KeySource::Inline(text) => text.clone().into_bytes(),
        KeySource::File(path) => {
            let mut bytes = Vec::new();
            fs::File::open(path)
                .and_then(|file| file.take(MAX_SET as u64 + 1).read_to_end(&mut bytes))
                .map_err(|why| SourceFault::File {
                    path: path.clone(),
                    why,
                })?;
            bytes
        }
        KeySource::Url { .. } | KeySource::Discovery { .. } => return Ok(None),
    };
    Ok(Some(KeyRing::parse(&bytes, &config.algorithms)?))
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenVerifier").field(&self.pin()).finish()
    }
}

impl fmt::Debug for TrustedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.issuers.iter().map(|trusted| &trusted.config.name);
        f.debug_list().entries(names).finish()
    }
}

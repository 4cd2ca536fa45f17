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

    pub(super) fn put(&self, token: &str, signed: &Arc<Signed>) {
        self.0.insert(token.into(), Arc::clone(signed));
    }
}

//! Facts beside the entries: each with a salt, so that the commitment tells nothing once they are gone.

use std::collections::HashMap;

use aws_lc_rs::{digest, rand};
use serde::{Serialize, de::DeserializeOwned};

use super::format::Ref;

/// Bytes of salt.
const SALT: usize = 16;
/// Facts that are told apart in one segment; beyond that they are written again.
const KNOWN: usize = 32 * 1024;

/// What facts were already written in the open segment.
#[derive(Debug, Default)]
pub(super) struct Written {
    known: HashMap<[u8; 32], (u64, u8, [u8; 32])>,
    salts: Salts,
}

/// Random bytes, drawn many at a time.
#[derive(Debug, Default)]
struct Salts {
    drawn: Vec<u8>,
}

/// What stands beside one entry.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) bytes: Vec<u8>,
    slots: u8,
    fresh: Vec<([u8; 32], u8, [u8; 32])>,
}

impl Written {
    /// Refers to facts where they stand, or puts them beside the record `sequence`.
    pub(super) fn refer(
        &mut self,
        beside: &mut Beside,
        sequence: u64,
        facts: &impl Serialize,
    ) -> Option<Ref> {
        let bytes = postcard::to_stdvec(facts).ok()?;
        let name = sha256(&[], &bytes);
        if let Some((at, slot, commitment)) = self.known.get(&name) {
            return Some(Ref {
                back: sequence.saturating_sub(*at),
                slot: *slot,
                commitment: *commitment,
            });
        }
        let salt = self.salts.next()?;
        let commitment = sha256(&salt, &bytes);
        let slot = beside.slots;
        beside.slots += 1;
        let length = u32::try_from(bytes.len()).ok()?;
        beside.bytes.extend(length.to_le_bytes());
        beside.bytes.extend(salt);
        beside.bytes.extend(bytes);
        beside.fresh.push((name, slot, commitment));
        Some(Ref {
            back: 0,
            slot,
            commitment,
        })
    }

    /// The record `sequence` was written with what is beside it.
    pub(super) fn wrote(&mut self, sequence: u64, beside: &Beside) {
        if self.known.len() > KNOWN {
            self.known.clear();
        }
        for (name, slot, commitment) in &beside.fresh {
            self.known.insert(*name, (sequence, *slot, *commitment));
        }
    }

    /// A new segment begins, or what was written last may not be there.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }
}

impl Salts {
    fn next(&mut self) -> Option<[u8; SALT]> {
        if self.drawn.is_empty() {
            self.drawn = vec![0; 256 * SALT];
            if rand::fill(&mut self.drawn).is_err() {
                self.drawn.clear();
                return None;
            }
        }
        let (rest, salt) = self.drawn.split_last_chunk()?;
        let (salt, rest) = (*salt, rest.len());
        self.drawn.truncate(rest);
        Some(salt)
    }
}

pub(super) fn sha256(first: &[u8], rest: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(first);
    context.update(rest);
    let found = context.finish();
    found.as_ref().first_chunk().copied().unwrap_or_default()
}

impl Beside {
    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the last block away, before which there were so many bytes.
    pub(super) fn cut_last(&mut self, bytes: usize) {
        if self.bytes.len() > bytes {
            self.bytes.truncate(bytes);
            self.fresh.pop();
        }
    }
}

/// One block of facts, as it stands beside a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    salt: &'a [u8; SALT],
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// The blocks beside a record.
    pub(super) fn all(loose: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = loose;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (salt, after) = after.split_first_chunk::<SALT>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (bytes, after) = after.split_at_checked(length)?;
            rest = after;
            Some(Self { salt, bytes })
        })
    }

    /// Whether it was erased: nothing else has a salt of zeros.
    pub(super) fn is_erased(&self) -> bool {
        self.salt.iter().chain(self.bytes).all(|byte| *byte == 0)
    }

    /// Whether it is what was committed to.
    pub(super) fn is(&self, commitment: &[u8; 32]) -> bool {
        sha256(self.salt, self.bytes) == *commitment
    }

    /// The facts; `None` when they were erased.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        match self.is_erased() {
            true => None,
            false => postcard::from_bytes(self.bytes).ok(),
        }
    }
}

/// Erases block `slot` of what stands beside a record; `false`: there is none.
pub(super) fn erase(loose: &mut [u8], slot: u8) -> bool {
    let mut rest = loose;
    for n in 0..=slot {
        let Some((length, after)) = rest.split_first_chunk_mut::<4>() else {
            return false;
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((block, after)) = after.split_at_mut_checked(length.saturating_add(SALT)) else {
            return false;
        };
        if n == slot {
            block.fill(0);
            return true;
        }
        rest = after;
    }
    false
}

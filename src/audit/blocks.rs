//! Facts beside the entries: each with a salt, so that the commitment tells nothing once they are gone.

use std::{collections::HashMap, mem::size_of, sync::Arc};

use aws_lc_rs::{digest, rand};
use serde::{Serialize, de::DeserializeOwned};

use super::format::{Ref, append};
use crate::model::SubjectFacts;

/// Bytes of salt.
const SALT: usize = 16;
/// Bytes of a block before its facts: their length, and the salt.
const HEAD: usize = size_of::<u32>() + SALT;
/// Bytes of facts that are told apart in one segment; beyond that they are written again.
const KNOWN: usize = 16 * 1024 * 1024;
/// Bytes that one of them takes besides.
const ENTRY: usize = 128;

/// What facts were already written in the open segment.
///
/// They are compared themselves, not by a hash, so what a record refers to is what it stands on.
#[derive(Debug, Default)]
pub(super) struct Written {
    known: HashMap<Box<[u8]>, Place, foldhash::fast::RandomState>,
    /// Those of subjects that several records share: the very same ones need not be read again.
    shared: HashMap<usize, (Arc<SubjectFacts>, Place), foldhash::fast::RandomState>,
    /// Bytes that both take, roughly.
    size: usize,
    salts: Salts,
}

/// Where facts stand.
#[derive(Clone, Copy, Debug)]
struct Place {
    sequence: u64,
    slot: u8,
    commitment: [u8; 32],
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
}

impl Written {
    /// Refers to the facts of a subject; see [`Self::refer`].
    pub(super) fn refer_to_subject(
        &mut self,
        beside: &mut Beside,
        sequence: u64,
        facts: &Arc<SubjectFacts>,
    ) -> Option<Ref> {
        // Nobody else has them: they will not come again.
        if Arc::strong_count(facts) == 1 {
            return self.refer(beside, sequence, facts, usize::MAX);
        }
        let address = Arc::as_ptr(facts).addr();
        if let Some((_, place)) = self.shared.get(&address) {
            return Some(place.seen_from(sequence));
        }
        let found = self.refer(beside, sequence, facts, usize::MAX)?;
        let place = Place {
            sequence: sequence.saturating_sub(found.back),
            slot: found.slot,
            commitment: found.commitment,
        };
        self.make_room(ENTRY);
        // Holding them keeps their address theirs.
        self.shared.insert(address, (Arc::clone(facts), place));
        Some(found)
    }

    /// Refers to facts where they stand, or puts them beside the record `sequence`, unless there
    /// were more than `most` bytes then. The record must be written, or all of this forgotten.
    pub(super) fn refer(
        &mut self,
        beside: &mut Beside,
        sequence: u64,
        facts: &impl Serialize,
        most: usize,
    ) -> Option<Ref> {
        let start = beside.bytes.len();
        let found = self.put(beside, start, sequence, facts, most);
        if found.is_none_or(|it| it.back > 0 || it.slot < beside.slots) {
            beside.bytes.truncate(start);
        } else {
            beside.slots += 1;
        }
        found
    }

    /// Appends a block, which stays only if the reference is to it.
    fn put(
        &mut self,
        beside: &mut Beside,
        start: usize,
        sequence: u64,
        facts: &impl Serialize,
        most: usize,
    ) -> Option<Ref> {
        let bytes = &mut beside.bytes;
        bytes.extend([0; HEAD]);
        append(bytes, facts).ok()?;
        let size = bytes.len();
        let block = bytes.get_mut(start..)?;
        let facts = block.get(HEAD..)?;
        if let Some(place) = self.known.get(facts) {
            return Some(place.seen_from(sequence));
        }
        if size > most {
            return None;
        }
        let (name, length) = (facts.into(), u32::try_from(facts.len()).ok()?);
        let (head, salted) = block.split_first_chunk_mut()?;
        *head = length.to_le_bytes();
        *salted.first_chunk_mut()? = self.salts.next()?;
        let place = Place {
            sequence,
            slot: beside.slots,
            commitment: sha256(salted),
        };
        self.make_room(salted.len() + ENTRY);
        self.known.insert(name, place);
        Some(place.seen_from(sequence))
    }

    fn make_room(&mut self, bytes: usize) {
        if self.size + bytes > KNOWN {
            self.forget();
        }
        self.size += bytes;
    }

    /// A new segment begins, or what was written last may not be there.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.shared.clear();
        self.size = 0;
    }
}

impl Place {
    fn seen_from(&self, sequence: u64) -> Ref {
        Ref {
            back: sequence.saturating_sub(self.sequence),
            slot: self.slot,
            commitment: self.commitment,
        }
    }
}

impl Salts {
    fn next(&mut self) -> Option<[u8; SALT]> {
        if self.drawn.is_empty() {
            self.drawn.resize(256 * SALT, 0);
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

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let found = digest::digest(&digest::SHA256, bytes);
    found.as_ref().first_chunk().copied().unwrap_or_default()
}

impl Beside {
    /// Begins anew, beside another entry.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.slots = 0;
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
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.salt);
        context.update(self.bytes);
        context.finish().as_ref() == commitment
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

//! One record on the disk, and the chain that every record carries on.
//!
//! ```text
//! 0   length of the payload      u32   all integers little-endian
//! 4   CRC-32 of all that follows u32
//! 8   sequence                   u64
//! 16  durable                    u64   everything before this sequence was on the disk
//! 24  hash of the record before  32
//! 56  length of the loose part   u32
//! 60  payload, then the loose part
//! ```
//!
//! A record's hash is the SHA-256 of its bytes from the sequence on, without the loose part: that one
//! can be erased later, and the chain still holds. Whoever needs it covered commits to it in the
//! payload.

use aws_lc_rs::digest::{SHA256, digest};

/// Bytes of a record besides its payload.
pub(super) const OVERHEAD: usize = 60;
/// The largest payload with its loose part, in bytes.
pub const MAX_PAYLOAD: usize = 16 * 1024 * 1024;
/// Where what the checksum covers begins.
const COVERED: usize = 8;

/// The end of a chain of records: the next one goes on from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The sequence of the last record; 0 before the first.
    pub sequence: u64,
    /// The hash of the last record; zeros before the first.
    pub hash: [u8; 32],
}

/// A record as it stands in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its place in the order of all.
    pub sequence: u64,
    /// Everything before this sequence was on the disk when it was written.
    pub durable: u64,
    /// The hash of the record before.
    pub before: [u8; 32],
    /// What was appended.
    pub payload: &'a [u8],
    /// What the chain does not cover.
    pub loose: &'a [u8],
    /// What it commits to: its payload and everything before it.
    pub hash: [u8; 32],
}

impl Frame<'_> {
    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        OVERHEAD + self.payload.len() + self.loose.len()
    }

    /// Whether it is the record that follows `chain`.
    ///
    /// # Errors
    /// Why not.
    pub fn follows(&self, chain: &Chain) -> Result<(), String> {
        let expected = chain.sequence + 1;
        if self.sequence != expected {
            return Err(format!(
                "record {} stands where {expected} should",
                self.sequence
            ));
        }
        match self.before == chain.hash {
            true => Ok(()),
            false => Err(format!(
                "record {expected} does not follow from the one before it"
            )),
        }
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrame {
    /// They end before the record does, at this many bytes.
    Short(usize),
    /// They never were one, or are no more.
    Damaged(&'static str),
}

/// Appends the record that follows `chain` to `buffer`, and carries the chain on.
pub(super) fn write(
    buffer: &mut Vec<u8>,
    chain: &mut Chain,
    durable: u64,
    payload: &[u8],
    loose: &[u8],
) {
    let sequence = chain.sequence + 1;
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let length = size(payload.len() + loose.len());
    let start = buffer.len();
    buffer.extend(length.to_le_bytes());
    buffer.extend([0; 4]);
    buffer.extend(sequence.to_le_bytes());
    buffer.extend(durable.to_le_bytes());
    buffer.extend(chain.hash);
    buffer.extend(size(loose.len()).to_le_bytes());
    buffer.extend(payload);
    buffer.extend(loose);
    let Some((head, covered)) = buffer
        .get_mut(start..)
        .and_then(|frame| frame.split_at_mut_checked(COVERED))
    else {
        return;
    };
    if let Some(checksum) = head.last_chunk_mut() {
        *checksum = crc32fast::hash(covered).to_le_bytes();
    }
    *chain = Chain {
        sequence,
        hash: sha256(
            covered
                .get(..covered.len() - loose.len())
                .unwrap_or_default(),
        ),
    };
}

/// Replaces what is loose in the record that begins `bytes`, whose chain stays as it is.
pub fn loosen(bytes: &mut [u8], loose: impl FnOnce(&mut [u8])) -> Result<(), NoFrame> {
    let (size, loose_bytes) = {
        let frame = read(bytes)?;
        (frame.size(), frame.loose.len())
    };
    let short = NoFrame::Short(size);
    let whole = bytes.get_mut(..size).ok_or(short)?;
    loose(whole.get_mut(size - loose_bytes..).ok_or(short)?);
    let (head, covered) = whole.split_at_mut_checked(COVERED).ok_or(short)?;
    *head.last_chunk_mut().ok_or(short)? = crc32fast::hash(covered).to_le_bytes();
    Ok(())
}

/// How many bytes the record takes that begins `bytes`, by its own word.
///
/// # Errors
/// [`NoFrame`].
pub fn size(bytes: &[u8]) -> Result<usize, NoFrame> {
    let length = bytes.first_chunk().ok_or(NoFrame::Short(OVERHEAD))?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    match length <= MAX_PAYLOAD {
        true => Ok(OVERHEAD + length),
        false => Err(NoFrame::Damaged("its length is beyond the limit")),
    }
}

/// Reads the record that begins `bytes`.
///
/// # Errors
/// [`NoFrame`].
pub fn read(bytes: &[u8]) -> Result<Frame<'_>, NoFrame> {
    let size = size(bytes)?;
    let short = NoFrame::Short(size);
    let whole = bytes.get(..size).ok_or(short)?;
    let (head, covered) = whole.split_at_checked(COVERED).ok_or(short)?;
    let checksum = head.last_chunk().map(|it| u32::from_le_bytes(*it));
    if checksum != Some(crc32fast::hash(covered)) {
        return Err(NoFrame::Damaged("its checksum is wrong"));
    }
    let field = |from: usize| covered.get(from..).and_then(|rest| rest.first_chunk());
    let number = |from| field(from).map(|it| u64::from_le_bytes(*it));
    let before = covered.get(16..).and_then(|rest| rest.first_chunk());
    let loose = covered.get(48..).and_then(|rest| rest.first_chunk());
    let loose = loose.map(|it| usize::try_from(u32::from_le_bytes(*it)).unwrap_or(usize::MAX));
    let damaged = NoFrame::Damaged("its parts are longer than it");
    let hashed = covered.len().checked_sub(loose.ok_or(short)?);
    let hashed = hashed
        .filter(|it| *it >= OVERHEAD - COVERED)
        .ok_or(damaged)?;
    let (hashed, loose) = covered.split_at_checked(hashed).ok_or(damaged)?;
    Ok(Frame {
        sequence: number(0).ok_or(short)?,
        durable: number(8).ok_or(short)?,
        before: *before.ok_or(short)?,
        payload: hashed.get(OVERHEAD - COVERED..).ok_or(short)?,
        loose,
        hash: sha256(hashed),
    })
}

/// The sequence that a record at the start of `bytes` would have, without any check.
pub(super) fn claimed_sequence(bytes: &[u8]) -> Option<u64> {
    let field = bytes.get(COVERED..)?.first_chunk()?;
    Some(u64::from_le_bytes(*field))
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let found = digest(&SHA256, bytes);
    found.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Vec<u8>, Chain) {
        let (mut bytes, mut chain) = (Vec::new(), Chain::default());
        write(&mut bytes, &mut chain, 1, b"first", b"loose");
        write(&mut bytes, &mut chain, 1, b"", b"");
        (bytes, chain)
    }

    #[test]
    fn records_are_read_as_written_and_follow_each_other() {
        let (bytes, end) = two();
        let first = read(&bytes).unwrap();
        assert_eq!((first.sequence, first.payload), (1, &b"first"[..]));
        assert_eq!(first.loose, b"loose");
        assert_eq!(first.follows(&Chain::default()), Ok(()));
        let second = read(&bytes[first.size()..]).unwrap();
        let after = Chain {
            sequence: 1,
            hash: first.hash,
        };
        assert_eq!(second.follows(&after), Ok(()));
        assert!(second.follows(&Chain::default()).is_err());
        assert!(first.follows(&after).is_err());
        assert_eq!((second.sequence, second.hash), (end.sequence, end.hash));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let (bytes, _) = two();
        let size = read(&bytes).unwrap().size();
        for bit in 0..size * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            let found = read(&other);
            assert!(found.is_err(), "bit {bit} made {found:?}");
        }
    }

    #[test]
    fn the_loose_part_can_be_erased_and_the_chain_holds() {
        let (mut bytes, _) = two();
        let before = read(&bytes).unwrap().hash;
        loosen(&mut bytes, |loose| loose.fill(0)).unwrap();
        let after = read(&bytes).unwrap();
        assert_eq!((after.hash, after.payload), (before, &b"first"[..]));
        assert_eq!(after.loose, [0; 5]);
    }

    #[test]
    fn what_is_cut_is_short() {
        let (bytes, _) = two();
        let size = read(&bytes).unwrap().size();
        for length in 0..size {
            assert!(matches!(read(&bytes[..length]), Err(NoFrame::Short(_))));
        }
    }
}

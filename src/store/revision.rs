//! Revisions: by what a caller says what it has seen, without being able to make one up.

use std::{fmt, fs, io, path::Path};

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::version::Version;
use crate::{
    ledger::{Chain, Epoch},
    model::Revision,
};

const FILE: &str = "revision.key";
/// Bytes of a record's hash that a revision carries.
const HASH: usize = 8;
/// Bytes of the MAC.
const TAG: usize = 16;

/// The key by which revisions are made and known again.
pub(super) struct RevisionKey(hmac::Key);

/// Where a revision stands to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The version has it.
    Reached,
    /// It is still to come.
    Later,
    /// It is of a state that a restore has undone.
    Lost,
    /// It is no revision that was ever given out here.
    Unknown,
}

impl RevisionKey {
    /// The key of a data directory, made where it is missing.
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        match Self::existing(data) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                let key = random()?;
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true);
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(data.join(FILE))?;
                io::Write::write_all(&mut file, &key)?;
                file.sync_all()?;
                Ok(Self::new(&key))
            }
            found => found,
        }
    }

    /// The key that a data directory has.
    pub(super) fn existing(data: &Path) -> io::Result<Self> {
        match fs::read(data.join(FILE))? {
            key if key.len() == 32 => Ok(Self::new(&key)),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "`revision.key` is not 32 bytes: remove it, and revisions given out before are void",
            )),
        }
    }

    pub(super) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, key))
    }

    /// The revision of a record.
    pub(super) fn make(&self, epoch: Epoch, chain: Chain) -> Revision {
        let mut bytes = Vec::with_capacity(16 + HASH + TAG);
        bytes.extend(epoch.id.to_be_bytes());
        bytes.extend(chain.sequence.to_be_bytes());
        bytes.extend(chain.hash.iter().take(HASH));
        let tag = hmac::sign(&self.0, &bytes);
        bytes.extend(tag.as_ref().iter().take(TAG));
        Revision::new(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Where the revision `text` stands to `version`.
    pub(super) fn reach(&self, text: &str, version: &Version) -> Reach {
        let Some((epoch, sequence, hash)) = self.read(text) else {
            return Reach::Unknown;
        };
        let Some(at) = version.epochs.iter().position(|it| it.id == epoch) else {
            // Of a future that was undone; or of nothing stored, which every version has.
            return match sequence {
                0 => Reach::Reached,
                _ => Reach::Lost,
            };
        };
        let chain = version.chain;
        match version.epochs.get(at + 1) {
            Some(next) if sequence < next.from => Reach::Reached,
            Some(_) => Reach::Lost,
            None if sequence > chain.sequence => Reach::Later,
            None if sequence == chain.sequence && !chain.hash.starts_with(&hash) => Reach::Lost,
            None => Reach::Reached,
        }
    }

    /// The sequence of a revision's record, and the beginning of its hash.
    pub(super) fn record(&self, text: &str) -> Option<(u64, [u8; HASH])> {
        let (_, sequence, hash) = self.read(text)?;
        Some((sequence, hash))
    }

    fn read(&self, text: &str) -> Option<(u64, u64, [u8; HASH])> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, tag) = bytes.split_at_checked(16 + HASH)?;
        let expected = hmac::sign(&self.0, said);
        let expected = expected.as_ref().get(..TAG)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(expected, tag).ok()?;
        let (epoch, rest) = said.split_first_chunk()?;
        let (sequence, hash) = rest.split_first_chunk()?;
        let numbers = (u64::from_be_bytes(*epoch), u64::from_be_bytes(*sequence));
        Some((numbers.0, numbers.1, *hash.first_chunk()?))
    }
}

fn random() -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(key)
}

impl fmt::Debug for RevisionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevisionKey")
    }
}

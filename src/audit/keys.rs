//! The node's keys: one signs checkpoints, one makes pseudonyms. They never leave the data directory.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    hmac, rand,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

use super::files::write_whole;

const SIGNING: &str = "node.key";
const PSEUDONYMS: &str = "pseudonym.key";
/// Bytes of the key of pseudonyms.
const SECRET: usize = 32;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read or made.
    #[error("cannot use `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is none.
    #[error("`{}` is not a key of this log; restore it from a backup, or move it away to have a new one made", .0.display())]
    NotAKey(PathBuf),
    /// Others may read it.
    #[error("`{}` may be read by others: `chmod 600` it", .0.display())]
    Readable(PathBuf),
}

/// Signs checkpoints.
pub(super) struct NodeKey(Ed25519KeyPair);

/// Makes pseudonyms: equal values have equal ones, and without the key nobody can tell of which.
#[derive(Clone)]
pub struct Pseudonyms(hmac::Key);

impl NodeKey {
    /// Opens the key in `dir`, or makes one.
    pub(super) fn open(dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join(SIGNING);
        let fresh = || {
            let key = Ed25519KeyPair::generate().ok()?;
            Some(key.to_pkcs8().ok()?.as_ref().to_vec())
        };
        let bytes = open(&path, fresh)?;
        let key = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| KeyError::NotAKey(path))?;
        Ok(Self(key))
    }

    pub(super) fn public(&self) -> [u8; 32] {
        let key = self.0.public_key().as_ref().first_chunk();
        key.copied().unwrap_or_default()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// Whether the holder of `key` signed `message`.
pub(super) fn is_signed(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(message, signature).is_ok()
}

impl Pseudonyms {
    /// Opens the key in `dir`, or makes one.
    pub(super) fn open(dir: &Path) -> Result<Self, KeyError> {
        let fresh = || {
            let mut secret = vec![0; SECRET];
            rand::fill(&mut secret).ok()?;
            Some(secret)
        };
        let bytes = open(&dir.join(PSEUDONYMS), fresh)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The key in `dir`, if there is one.
    pub fn existing(dir: &Path) -> Option<Self> {
        let bytes = fs::read(dir.join(PSEUDONYMS)).ok()?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// What stands for `text`.
    pub fn of(&self, text: &str) -> String {
        let tag = hmac::sign(&self.0, text.as_bytes());
        let short = tag.as_ref().iter().take(16);
        std::iter::once("~".to_owned())
            .chain(short.map(|byte| format!("{byte:02x}")))
            .collect()
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(***)")
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(***)")
    }
}

fn open(path: &Path, fresh: impl Fn() -> Option<Vec<u8>>) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => {
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(KeyError::Readable(path.to_owned()));
                }
            }
            Ok(bytes)
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let bytes = fresh().ok_or_else(|| failed(io::Error::other("no random numbers")))?;
            write_whole(path, &bytes).map_err(failed)?;
            Ok(bytes)
        }
        Err(why) => Err(failed(why)),
    }
}

//! The files of a bundle, as read, and the digest that names them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use aws_lc_rs::digest::{self, SHA256};

use super::read::Reader;
use crate::{model::Digest, policy::Fault};

/// How large a bundle may be.
#[derive(Clone, Copy, Debug)]
pub struct BundleLimits {
    /// The greatest number of files and folders, its own or not.
    pub files: usize,
    /// The greatest size of all files together, in bytes.
    pub bytes: usize,
    /// The greatest depth of folders.
    pub depth: usize,
}

impl Default for BundleLimits {
    fn default() -> Self {
        Self {
            files: 250_000,
            bytes: 64 << 20,
            depth: 16,
        }
    }
}

/// The text of each file by its path within the bundle, with `/` between folders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BundleFiles {
    files: BTreeMap<Arc<str>, String>,
}

/// One look at a bundle's directory, which others may be writing to.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The files, or every one that cannot be read.
    pub files: Result<BundleFiles, Vec<Fault>>,
    /// The bundle's files that are there with something in them, readable or not.
    pub present: BTreeSet<Arc<str>>,
    /// Names the content, `tests/` and faults included.
    pub content: Digest,
    /// Names the very files that were looked at: a file that was written or replaced since makes
    /// another, even with the same content.
    pub stamp: Digest,
}

impl BundleFiles {
    /// Files that are at hand already.
    pub fn new(files: impl IntoIterator<Item = (impl Into<Arc<str>>, impl Into<String>)>) -> Self {
        let files = files
            .into_iter()
            .map(|(path, text)| (path.into(), text.into()));
        Self {
            files: files.collect(),
        }
    }

    /// Reads a bundle's directory.
    ///
    /// Files that no bundle has (editors' leftovers, notes) are left alone. Links are followed within
    /// the directory only; what is no regular file is refused.
    ///
    /// # Errors
    /// Every file that cannot be read, or the limit that the directory exceeds.
    pub fn read(root: &Path, limits: BundleLimits) -> Result<Self, Vec<Fault>> {
        Self::look(root, limits).files
    }

    /// Reads a bundle's directory that others may be writing to.
    pub fn look(root: &Path, limits: BundleLimits) -> Sighting {
        let Reader {
            files,
            present,
            stamps,
            mut faults,
            ..
        } = Reader::read(root, limits);
        let read = Self { files };
        if faults.is_empty() && read.get("schema.cedarschema").is_none() {
            let message = format!("`{}` has no `schema.cedarschema`", root.display());
            let help = "a bundle is a directory with a schema, policies and a `bundle.toml`";
            faults.push(Fault::general("no_schema", message).help(help));
        }
        let texts = faults.iter().map(|fault| ("", fault.to_string()));
        let told: Vec<_> = texts.collect();
        let parts = read
            .iter()
            .map(|(path, text)| (&**path, text))
            .chain(told.iter().map(|(path, text)| (*path, text.as_str())));
        Sighting {
            content: digest_of(parts),
            stamp: digest_of(stamps.iter().map(|(path, stamp)| (&**path, stamp.as_str()))),
            present,
            files: match faults.is_empty() {
                true => Ok(read),
                false => Err(faults),
            },
        }
    }

    /// The text of one file.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Paths and texts, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        self.files.iter().map(|(path, text)| (path, text.as_str()))
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<Arc<str>>, text: impl Into<String>) {
        self.files.insert(path.into(), text.into());
    }

    /// The files that have something in them.
    pub fn present(&self) -> BTreeSet<Arc<str>> {
        let filled = self.files.iter().filter(|(_, text)| !text.is_empty());
        filled.map(|(path, _)| Arc::clone(path)).collect()
    }

    /// The name of this content: SHA-256 over the length-prefixed paths and texts of all but `tests/`.
    pub fn digest(&self) -> Digest {
        digest_of(
            self.files
                .iter()
                .filter(|(path, _)| !path.starts_with("tests/"))
                .map(|(path, text)| (&**path, text.as_str())),
        )
    }

    /// The name of each file's content, without `tests/`.
    pub(super) fn manifest(&self) -> BTreeMap<Arc<str>, Digest> {
        let rules = self.iter().filter(|(path, _)| !path.starts_with("tests/"));
        rules
            .map(|(path, text)| (Arc::clone(path), digest_of(std::iter::once(("", text)))))
            .collect()
    }

    /// As [`Self::digest`], but with `tests/`: the name of all that was read.
    pub fn content(&self) -> Digest {
        digest_of(self.iter().map(|(path, text)| (&**path, text)))
    }
}

fn digest_of<'a>(parts: impl Iterator<Item = (&'a str, &'a str)>) -> Digest {
    let mut sha = digest::Context::new(&SHA256);
    for (path, text) in parts {
        for part in [path.as_bytes(), text.as_bytes()] {
            sha.update(&(part.len() as u64).to_be_bytes());
            sha.update(part);
        }
    }
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(sha.finish().as_ref()) {
        *to = *from;
    }
    Digest::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_covers_paths_and_texts_but_not_tests() {
        let digest = |files: &[(&str, &str)]| BundleFiles::new(files.iter().copied()).digest();
        let base = digest(&[("a.cedar", "xy"), ("b.cedar", "z")]);
        assert_eq!(
            base,
            digest(&[("b.cedar", "z"), ("a.cedar", "xy"), ("tests/t.yaml", "?")])
        );
        for other in [
            &[("a.cedar", "x"), ("b.cedar", "yz")][..],
            &[("a.cedar", "xy"), ("c.cedar", "z")],
            &[("a.cedar", "xy")],
        ] {
            assert_ne!(base, digest(other));
        }
    }

    #[test]
    fn the_content_covers_tests_too() {
        let bare = BundleFiles::new([("a.cedar", "x")]);
        let tried = BundleFiles::new([("a.cedar", "x"), ("tests/t.yaml", "?")]);
        assert_eq!(bare.digest(), tried.digest());
        assert_ne!(bare.content(), tried.content());
    }
}

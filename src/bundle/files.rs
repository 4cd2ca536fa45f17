//! The files of a bundle, as read, and the digest that names them.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use aws_lc_rs::digest::{self, SHA256};

use crate::{model::Digest, policy::Fault};

/// How large a bundle may be.
#[derive(Clone, Copy, Debug)]
pub struct BundleLimits {
    /// The greatest number of files.
    pub files: usize,
    /// The greatest size of all files together, in bytes.
    pub bytes: usize,
    /// The greatest depth of folders.
    pub depth: usize,
}

impl Default for BundleLimits {
    fn default() -> Self {
        Self {
            files: 10_000,
            bytes: 64 << 20,
            depth: 16,
        }
    }
}

/// The text of each file by its path within the bundle, with `/` between folders.
#[derive(Clone, Debug, Default)]
pub struct BundleFiles {
    files: BTreeMap<Arc<str>, String>,
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
    /// Files that no bundle has (editors' leftovers, notes) are left alone.
    ///
    /// # Errors
    /// Every file that cannot be read, or the limit that the directory exceeds.
    pub fn read(root: &Path, limits: BundleLimits) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader {
            limits,
            files: BTreeMap::new(),
            bytes: 0,
            faults: Vec::new(),
        };
        reader.folder(root, "", limits.depth);
        if reader.faults.is_empty() && !reader.files.contains_key("schema.cedarschema") {
            let message = format!("`{}` has no `schema.cedarschema`", root.display());
            let help = "a bundle is a directory with a schema, policies and a `bundle.toml`";
            reader
                .faults
                .push(Fault::general("no_schema", message).help(help));
        }
        match reader.faults.is_empty() {
            true => Ok(Self {
                files: reader.files,
            }),
            false => Err(reader.faults),
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

    /// The name of this content: SHA-256 over the length-prefixed paths and texts of all but `tests/`.
    pub fn digest(&self) -> Digest {
        let mut sha = digest::Context::new(&SHA256);
        for (path, text) in self
            .files
            .iter()
            .filter(|(path, _)| !path.starts_with("tests/"))
        {
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
}

/// Whether a file of this path within the bundle is part of it.
fn belongs(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let in_tests = path.starts_with("tests/");
    !name.starts_with('.')
        && match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("cedar") => !in_tests,
            Some("yaml" | "yml") => in_tests,
            _ => matches!(
                path,
                "schema.cedarschema" | "bundle.toml" | "entities.json" | "links.json"
            ),
        }
}

struct Reader {
    limits: BundleLimits,
    files: BTreeMap<Arc<str>, String>,
    bytes: usize,
    faults: Vec<Fault>,
}

impl Reader {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.fault("unreadable", prefix, &error.to_string()),
        };
        for entry in entries {
            let (name, kind) =
                match entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))) {
                    Ok(found) => found,
                    Err(error) => return self.fault("unreadable", prefix, &error.to_string()),
                };
            let Some(name) = name.to_str() else { continue };
            let path = format!("{prefix}{name}");
            if kind.is_dir() {
                if name.starts_with('.') {
                    continue;
                }
                match depth.checked_sub(1) {
                    Some(depth) => self.folder(&folder.join(name), &format!("{path}/"), depth),
                    None => self.fault("bundle_too_deep", &path, "folders are nested too deeply"),
                }
            } else if belongs(&path) {
                self.file(&folder.join(name), path);
            }
        }
    }

    fn file(&mut self, file: &Path, path: String) {
        // A FIFO or device would block; what a link leads to is looked at, not the link.
        match fs::metadata(file) {
            Ok(metadata) if metadata.is_file() => {
                let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
                self.bytes = self.bytes.saturating_add(size);
            }
            Ok(_) => return self.fault("not_a_file", &path, "is not a regular file"),
            Err(error) => return self.fault("unreadable", &path, &error.to_string()),
        }
        if self.bytes > self.limits.bytes || self.files.len() >= self.limits.files {
            let message = format!(
                "the bundle exceeds {} bytes or {} files",
                self.limits.bytes, self.limits.files
            );
            return self.fault("bundle_too_large", &path, &message);
        }
        match fs::read(file).map(String::from_utf8) {
            Ok(Ok(text)) => {
                self.files.insert(path.into(), text);
            }
            Ok(Err(_)) => self.fault("not_utf8", &path, "is not UTF-8"),
            Err(error) => self.fault("unreadable", &path, &error.to_string()),
        }
    }

    fn fault(&mut self, rule: &'static str, path: &str, message: &str) {
        self.faults.push(match path.is_empty() {
            true => Fault::general(rule, format!("bundle directory: {message}")),
            false => Fault::in_file(rule, path.trim_end_matches('/'), message),
        });
    }
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
    fn only_a_bundles_own_files_belong_to_it() {
        for (path, expected) in [
            ("schema.cedarschema", true),
            ("orders.cedar", true),
            ("team/orders.cedar", true),
            ("bundle.toml", true),
            ("tests/a.yaml", true),
            ("tests/a.cedar", false),
            (".orders.cedar", false),
            ("orders.cedar~", false),
            ("4913", false),
            ("a.yaml", false),
            ("team/bundle.toml", false),
            ("README.md", false),
        ] {
            assert_eq!(belongs(path), expected, "{path}");
        }
    }
}

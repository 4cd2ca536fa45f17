//! From a directory that anyone may have arranged to texts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::BundleLimits;
use crate::policy::Fault;

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

/// Reads a directory, and keeps what it finds.
pub(super) struct Reader {
    limits: BundleLimits,
    /// The directory without links: everything read must be in it.
    root: PathBuf,
    seen: usize,
    bytes: u64,
    pub(super) files: BTreeMap<Arc<str>, String>,
    pub(super) present: BTreeSet<Arc<str>>,
    pub(super) stamps: BTreeMap<Arc<str>, String>,
    pub(super) faults: Vec<Fault>,
}

impl Reader {
    pub(super) fn read(root: &Path, limits: BundleLimits) -> Self {
        let mut reader = Self {
            limits,
            root: PathBuf::new(),
            seen: 0,
            bytes: 0,
            files: BTreeMap::new(),
            present: BTreeSet::new(),
            stamps: BTreeMap::new(),
            faults: Vec::new(),
        };
        match fs::canonicalize(root) {
            Ok(real) => {
                reader.root.clone_from(&real);
                reader.folder(&real, "", &mut Vec::new());
            }
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", root.display());
                reader.faults.push(Fault::general("unreadable", message));
            }
        }
        reader
    }

    /// Reads one folder; `above` are those it is in, without links.
    fn folder(&mut self, folder: &Path, prefix: &str, above: &mut Vec<PathBuf>) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                return self.fault("unreadable", prefix, &format!("cannot be read: {error}"));
            }
        };
        above.push(folder.to_owned());
        for entry in entries {
            self.seen += 1;
            if self.seen > self.limits.files {
                let message = format!("has more than {} files", self.limits.files);
                self.fault("bundle_too_large", prefix, &message);
                break;
            }
            match entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))) {
                Ok((name, kind)) => {
                    // A name that is not UTF-8 is none that a bundle's file has.
                    if let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) {
                        let path = format!("{prefix}{name}");
                        self.entry(&folder.join(name), &path, kind, above);
                    }
                }
                Err(error) => {
                    self.fault("unreadable", prefix, &format!("cannot be read: {error}"));
                }
            }
        }
        above.pop();
    }

    fn entry(&mut self, at: &Path, path: &str, kind: fs::FileType, above: &mut Vec<PathBuf>) {
        let (at, is_dir) = if kind.is_symlink() {
            match self.follow(at) {
                Ok((at, is_dir)) => (at, is_dir),
                // What would not be read anyway may lead anywhere; a folder could have policies.
                Err(_) if !belongs(path) && !at.is_dir() => return,
                Err(message) => return self.fault("link", path, &message),
            }
        } else {
            (at.to_owned(), kind.is_dir())
        };
        if !is_dir {
            if belongs(path) {
                self.file(&at, path.into());
            }
        } else if above.contains(&at) {
            self.fault("link", path, "leads back to a folder that it is in");
        } else if above.len() > self.limits.depth {
            self.fault("bundle_too_deep", path, "folders are nested too deeply");
        } else {
            self.folder(&at, &format!("{path}/"), above);
        }
    }

    /// Where a link leads, and whether a folder is there.
    fn follow(&self, link: &Path) -> Result<(PathBuf, bool), String> {
        let real = fs::canonicalize(link).map_err(|error| format!("is a link: {error}"))?;
        if !real.starts_with(&self.root) {
            // Where it leads is not told: the answer may be read by others than the author.
            return Err("is a link that leads out of the bundle".into());
        }
        let is_dir = real.is_dir();
        Ok((real, is_dir))
    }

    fn file(&mut self, at: &Path, path: Arc<str>) {
        if self.bytes > self.limits.bytes as u64 {
            return;
        }
        match self.text(at, &path) {
            Ok(Ok(text)) => {
                self.files.insert(path, text);
            }
            Ok(Err((rule, message))) => self.fault(rule, &path, &message),
            Err(error) => {
                self.present.insert(Arc::clone(&path));
                self.fault("unreadable", &path, &format!("cannot be read: {error}"));
            }
        }
    }

    fn text(
        &mut self,
        at: &Path,
        path: &Arc<str>,
    ) -> io::Result<Result<String, (&'static str, String)>> {
        // Opening a FIFO would wait for a writer, so what it is must be known before.
        if !fs::metadata(at)?.is_file() {
            self.present.insert(Arc::clone(path));
            return Ok(Err(("not_a_file", "is not a regular file".into())));
        }
        let mut file = File::open(at)?;
        let metadata = file.metadata()?;
        self.stamps.insert(Arc::clone(path), stamp(&metadata));
        if metadata.len() > 0 {
            self.present.insert(Arc::clone(path));
        }
        let most = self.limits.bytes as u64;
        let left = most.saturating_sub(self.bytes);
        let mut bytes = Vec::new();
        // It may grow while it is read.
        let read = file
            .by_ref()
            .take(left.saturating_add(1))
            .read_to_end(&mut bytes)?;
        self.bytes = self.bytes.saturating_add(read as u64);
        if self.bytes > most {
            let message = format!("the bundle has more than {most} bytes");
            return Ok(Err(("bundle_too_large", message)));
        }
        Ok(String::from_utf8(bytes).map_err(|_| ("not_utf8", "is not UTF-8".into())))
    }

    fn fault(&mut self, rule: &'static str, path: &str, message: &str) {
        self.faults.push(match path.is_empty() {
            true => Fault::general(rule, format!("the bundle's directory {message}")),
            false => Fault::in_file(rule, path.trim_end_matches('/'), message),
        });
    }
}

/// What tells one state of a file from another without reading it.
fn stamp(metadata: &Metadata) -> String {
    format!(
        "{} {} {} {}.{} {}.{}",
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (".orders.cedar.swp", false),
            (".#orders.cedar", false),
            ("#orders.cedar#", false),
            ("orders.cedar~", false),
            ("orders.cedar.tmp", false),
            ("4913", false),
            ("a.yaml", false),
            ("team/bundle.toml", false),
            ("README.md", false),
        ] {
            assert_eq!(belongs(path), expected, "{path}");
        }
    }
}

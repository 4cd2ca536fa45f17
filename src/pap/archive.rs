//! Published bundles, kept in the data directory by the name of their content, so that a restart with
//! broken files still has rules to serve.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Change, Publication};
use crate::{
    bundle::{BundleFiles, BundleLimits},
    model::{BundleName, Digest, Timestamp},
};

const LOG: &str = "publications.jsonl";
/// How many publications back a restart looks for one that still compiles.
const TRIED: usize = 16;

/// The published bundles of one name.
#[derive(Clone, Debug)]
pub struct Archive {
    dir: PathBuf,
}

/// A bundle that was published.
#[derive(Debug)]
pub struct Kept {
    /// Its files, which are those that its digest names.
    pub files: BundleFiles,
    /// When it was published.
    pub time: Timestamp,
}

/// One line of the log of publications.
#[derive(Serialize, Deserialize)]
struct Entry {
    time: Timestamp,
    digest: String,
    policies: usize,
    cases: usize,
    change: Change,
}

impl Archive {
    /// The archive of `bundle` in the data directory, which need not have one yet.
    pub fn new(data: &Path, bundle: &BundleName) -> Self {
        Self {
            dir: data.join("bundles").join(bundle.as_str()),
        }
    }

    /// Keeps what is being published, and records that it was; durable when this returns.
    ///
    /// What is published again right after itself, as by a restart, is recorded once.
    ///
    /// # Errors
    /// Why it cannot be kept.
    pub fn keep(
        &self,
        files: &BundleFiles,
        publication: &Publication,
        now: Timestamp,
    ) -> io::Result<()> {
        let name = publication.digest.to_string();
        fs::create_dir_all(&self.dir)?;
        if !self.holds(publication.digest) {
            self.store(files, &name)?;
        }
        if self.entries()?.last().is_some_and(|it| it.digest == name) {
            return Ok(());
        }
        let entry = Entry {
            time: now,
            digest: name,
            policies: publication.policies,
            cases: publication.cases,
            change: publication.change.clone(),
        };
        self.append(&entry)
    }

    /// What was published, the last first; what is damaged is left out.
    ///
    /// # Errors
    /// When the log of publications is there but cannot be read.
    pub fn published(&self) -> io::Result<impl Iterator<Item = Kept>> {
        let entries = self.entries()?.into_iter().rev().take(TRIED);
        Ok(entries.filter_map(|entry| {
            let files = self.read(&entry.digest)?;
            Some(Kept {
                files,
                time: entry.time,
            })
        }))
    }

    /// The files of a bundle that was published, if they are still here and whole.
    pub fn files(&self, digest: Digest) -> Option<BundleFiles> {
        self.read(&digest.to_string())
    }

    fn holds(&self, digest: Digest) -> bool {
        self.read(&digest.to_string()).is_some()
    }

    /// The files of that digest, if they are what it says.
    fn read(&self, digest: &str) -> Option<BundleFiles> {
        let is_name = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let limits = BundleLimits {
            bytes: usize::MAX,
            ..BundleLimits::default()
        };
        let files = BundleFiles::read(&self.dir.join(is_name.then_some(digest)?), limits).ok()?;
        (files.digest().to_string() == digest).then_some(files)
    }

    /// Writes to the side and renames, so that a directory of that name is whole or not there.
    fn store(&self, files: &BundleFiles, name: &str) -> io::Result<()> {
        let (side, place) = (self.dir.join(format!(".{name}")), self.dir.join(name));
        if side.exists() {
            fs::remove_dir_all(&side)?;
        }
        fs::create_dir(&side)?;
        let mut folders = vec![side.clone()];
        for (path, text) in files.iter() {
            let at = side.join(&**path);
            if let Some(folder) = at.parent().filter(|it| !it.exists()) {
                fs::create_dir_all(folder)?;
                let between = folder.ancestors().take_while(|it| *it != side);
                folders.extend(between.map(Path::to_owned));
            }
            let mut file = OpenOptions::new().write(true).create_new(true).open(&at)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
        }
        for folder in &folders {
            File::open(folder)?.sync_all()?;
        }
        if place.exists() {
            // It is not what its name says; someone may want to know what it is.
            let aside = (1..).map(|n| self.dir.join(format!("{name}.damaged-{n}")));
            if let Some(aside) = { aside }.find(|it| !it.exists()) {
                fs::rename(&place, aside)?;
            }
        }
        fs::rename(&side, &place)?;
        File::open(&self.dir)?.sync_all()
    }

    /// Every line that can be read; a crash may have cut one short.
    fn entries(&self) -> io::Result<Vec<Entry>> {
        let text = match fs::read(self.dir.join(LOG)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            text => text?,
        };
        let lines = text.split(|byte| *byte == b'\n');
        Ok(lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }

    fn append(&self, entry: &Entry) -> io::Result<()> {
        let path = self.dir.join(LOG);
        let mut log = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)?;
        let mut line = Vec::new();
        if log.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            log.seek(SeekFrom::End(-1))?;
            log.read_exact(&mut last)?;
            if last != *b"\n" {
                line.push(b'\n');
            }
        }
        serde_json::to_writer(&mut line, entry)?;
        line.push(b'\n');
        log.write_all(&line)?;
        log.sync_all()?;
        File::open(&self.dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(policy: &str) -> BundleFiles {
        BundleFiles::new([
            ("schema.cedarschema", "entity User;"),
            ("team/a.cedar", policy),
            ("tests/t.yaml", "cases: []"),
        ])
    }

    fn keep(archive: &Archive, policy: &str) {
        let files = files(policy);
        let publication = Publication {
            digest: files.digest(),
            policies: 1,
            cases: 0,
            change: Change::default(),
            broad: Vec::new(),
        };
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        archive.keep(&files, &publication, now).unwrap();
    }

    #[track_caller]
    fn check(archive: &Archive, expected: &[&str]) {
        let found: Vec<BundleFiles> = archive.published().unwrap().map(|it| it.files).collect();
        let expected: Vec<BundleFiles> = expected.iter().map(|policy| files(policy)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_was_kept_comes_back_the_last_first() {
        let data = tempfile::tempdir().unwrap();
        let archive = Archive::new(data.path(), &BundleName::new("b"));
        check(&archive, &[]);
        for policy in ["x", "y", "y", "x"] {
            keep(&archive, policy);
        }
        check(&archive, &["x", "y", "x"]);
    }

    #[test]
    fn damage_is_left_out_set_aside_and_written_anew() {
        let data = tempfile::tempdir().unwrap();
        let archive = Archive::new(data.path(), &BundleName::new("b"));
        keep(&archive, "x");
        keep(&archive, "y");
        let name = files("y").digest().to_string();
        fs::write(archive.dir.join(&name).join("team/a.cedar"), "z").unwrap();
        check(&archive, &["x"]);
        keep(&archive, "y");
        check(&archive, &["y", "x"]);
        let aside = archive.dir.join(format!("{name}.damaged-1/team/a.cedar"));
        assert_eq!(fs::read_to_string(aside).unwrap(), "z");
    }

    #[test]
    fn a_line_cut_short_hides_no_other() {
        let data = tempfile::tempdir().unwrap();
        let archive = Archive::new(data.path(), &BundleName::new("b"));
        keep(&archive, "x");
        keep(&archive, "y");
        let log = archive.dir.join(LOG);
        let text = fs::read_to_string(&log).unwrap();
        fs::write(&log, text.get(..text.len() - 9).unwrap()).unwrap();
        // A leftover of the crash.
        fs::create_dir(archive.dir.join(format!(".{}", files("z").digest()))).unwrap();
        check(&archive, &["x"]);
        keep(&archive, "z");
        check(&archive, &["z", "x"]);
    }
}

//! What a recorded decision was made by, as far as it was kept.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Archive;
use crate::{
    audit::Recorded,
    bundle::{CompileOptions, Snapshot},
    model::{BundleName, Digest},
    pip::{DirectoryView, Known},
    policy::TextLimits,
    store::{NotPast, Past},
};

/// The worlds of recorded decisions, from a data directory; it only reads, beside a running server.
///
/// Records that are looked at in their order cost the least.
#[derive(Debug)]
pub struct PastWorlds {
    data: PathBuf,
    rules: Option<(BundleName, Arc<Snapshot>)>,
    past: Option<Past>,
}

/// The rules that decided a record, and the directory as it was then.
#[derive(Debug)]
pub struct PastWorld {
    snapshot: Arc<Snapshot>,
    /// `None` where the rules do not look at it.
    directory: Option<DirectoryView>,
}

/// Why what decided a record is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// It was refused before a bundle was asked.
    #[error("no bundle decided it")]
    NoBundle,
    /// The archive lacks the bundle.
    #[error("the bundle that decided it ({}) is not kept in `{}`", .0.short(), .1.display())]
    Bundle(Digest, PathBuf),
    /// This program does not take the bundle.
    #[error("the bundle that decided it does not compile: {0}")]
    DoesNotCompile(String),
    /// The ledger does not tell.
    #[error("its rules look at the directory, which is not at hand as it was then: {0}")]
    Directory(#[from] NotPast),
}

impl PastWorlds {
    /// Those of a data directory.
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            rules: None,
            past: None,
        }
    }

    /// The world of a record. It blocks, as long as what was kept is read.
    ///
    /// # Errors
    /// [`NotKept`].
    pub fn of(&mut self, record: &Recorded) -> Result<PastWorld, NotKept> {
        let snapshot = self.rules(record)?;
        if !snapshot.sources.uses_directory() {
            let directory = None;
            return Ok(PastWorld {
                snapshot,
                directory,
            });
        }
        let past = match self.past.take() {
            Some(past) => past,
            None => Past::open(&self.data)?,
        };
        let version = self.past.insert(past).version(&record.revision)?;
        let bundle = record.bundle.as_deref().unwrap_or_default();
        let directory = version.directory(bundle).cloned().unwrap_or_default();
        Ok(PastWorld {
            snapshot,
            directory: Some(DirectoryView::new(directory)),
        })
    }

    fn rules(&mut self, record: &Recorded) -> Result<Arc<Snapshot>, NotKept> {
        let (Some(bundle), Some(digest)) = (&record.bundle, record.digest) else {
            return Err(NotKept::NoBundle);
        };
        let bundle = BundleName::new(bundle.as_str());
        if let Some((name, snapshot)) = &self.rules
            && (*name == bundle && snapshot.digest == digest)
            && snapshot.strict_errors == record.strict_errors
        {
            return Ok(Arc::clone(snapshot));
        }
        let files = Archive::new(&self.data, &bundle).files(digest);
        let files = files.ok_or_else(|| NotKept::Bundle(digest, self.data.clone()))?;
        // It was served, whatever the bounds were and are.
        let options = CompileOptions {
            strict_errors: record.strict_errors,
            gate: false,
            max_level: u32::MAX,
            text: TextLimits {
                file_bytes: usize::MAX,
                policies: usize::MAX,
                ..TextLimits::default()
            },
            ..CompileOptions::default()
        };
        let snapshot = Snapshot::compile(&files, &options).map_err(|faults| {
            let first = faults.first().map(ToString::to_string);
            NotKept::DoesNotCompile(first.unwrap_or_default())
        })?;
        let snapshot = Arc::new(snapshot);
        self.rules = Some((bundle, Arc::clone(&snapshot)));
        Ok(snapshot)
    }
}

impl PastWorld {
    /// All that was known.
    pub fn known(&self) -> Known<'_> {
        match &self.directory {
            Some(directory) => Known::new(&self.snapshot, directory),
            None => Known::from(&self.snapshot),
        }
    }
}

//! Copies of what is stored, and how they come back.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ServerError, clock, prepare_data, store};
use crate::{
    ledger::{
        Log, LogOptions, RealDisk,
        record::{LedgerRecord, Restored},
    },
    model::SignedDuration,
    store::{Store, StoreOptions},
};

/// What of a data directory is copied, besides the ledger. Keys keep who may read them.
const ALSO: &[&str] = &["bundles", "dev", "dev-issuer.pk8", "revision.key"];
const LEDGER: &str = "ledger";
/// How often a copy is begun anew because the ledger was compacted meanwhile.
const TRIES: usize = 5;

/// Copies what is stored to the new directory `to`, also beside a running server; returns how many
/// records the copy has.
///
/// # Errors
/// [`ServerError::Data`] with what cannot be copied; [`ServerError::Store`] when the copy is not whole.
pub fn backup(data: &Path, to: &Path) -> Result<u64, ServerError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ServerError::Data { path, source }
    };
    fs::create_dir(to).map_err(failed(to))?;
    let (from, copy) = (data.join(LEDGER), to.join(LEDGER));
    let mut tries = 0;
    loop {
        tries += 1;
        match copy_ledger(&from, &copy) {
            Err(why) if why.kind() == io::ErrorKind::NotFound && tries < TRIES && from.exists() => {
                fs::remove_dir_all(&copy).map_err(failed(&copy))?;
            }
            copied => {
                copied.map_err(failed(&from))?;
                break;
            }
        }
    }
    for name in ALSO {
        let path = data.join(name);
        copy_all(&path, &to.join(name)).map_err(failed(&path))?;
    }
    // Half of what was just being written is cut off; anything else that is not whole is refused.
    let opened = Log::open(Arc::new(RealDisk), &copy, LogOptions::default());
    let opened = opened.map_err(|why| ServerError::Store(why.into()))?;
    Ok(opened.recovery.chain.sequence)
}

/// Makes the new data directory `data` of a backup.
///
/// It is a new epoch: revisions given out after the backup are refused. `keep_tokens`: do not take
/// access tokens issued before now as revoked, though a revocation may be among what was lost.
///
/// # Errors
/// [`ServerError`] with what cannot be done.
pub async fn restore(from: &Path, data: &Path, keep_tokens: bool) -> Result<u64, ServerError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ServerError::Data { path, source }
    };
    if data.join(LEDGER).exists() {
        let there = io::Error::new(io::ErrorKind::AlreadyExists, "it has a ledger already");
        return Err(failed(data)(there));
    }
    prepare_data(data, from.join("dev").exists())?;
    copy_ledger(&from.join(LEDGER), &data.join(LEDGER)).map_err(failed(from))?;
    for name in ALSO {
        copy_all(&from.join(name), &data.join(name)).map_err(failed(&data.join(name)))?;
    }
    let mut options = StoreOptions::new(data);
    options.log.new_epoch = true;
    options.checkpoint = false;
    let (stored, tasks) = Store::open(options, |_| ()).map_err(ServerError::Store)?;
    let ended = store::run(tasks).map_err(ServerError::Threads)?;
    let record = LedgerRecord::Restored(Restored {
        time: clock::now(),
        revoke_before: !keep_tokens,
        // Longer than any token should live; the configuration is not known here.
        longest: SignedDuration::from_hours(30 * 24),
    });
    let written = stored.write(&record).await;
    stored.end().await;
    ended
        .await
        .map_err(|why| ServerError::task("ledger", why))?;
    let written = written.map_err(|why| ServerError::task("ledger", why.to_string()))?;
    Ok(written.sequence)
}

/// Copies the note of what is durable first, so that what is copied after it has at least that.
fn copy_ledger(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let names = || -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(from)?;
        let mut paths: Vec<_> = entries
            .map(|it| Ok(it?.path()))
            .collect::<io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    };
    let copy = |path: &Path| match path.file_name() {
        Some(name) => fs::copy(path, to.join(name)).map(|_| ()),
        None => Ok(()),
    };
    copy(&from.join("head"))?;
    let is = |path: &Path, ending: &str| path.extension().is_some_and(|it| it == ending);
    for ending in ["snap", "seg"] {
        for path in names()?.iter().filter(|it| is(it, ending)) {
            copy(path)?;
        }
    }
    for path in fs::read_dir(to)? {
        fs::File::open(path?.path())?.sync_all()?;
    }
    fs::File::open(to)?.sync_all()
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.exists() {
        return Ok(());
    }
    if from.is_file() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if let Some(name) = path.file_name() {
            copy_all(&path, &to.join(name))?;
        }
    }
    Ok(())
}

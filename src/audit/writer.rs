//! The one task that appends records to the file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{sync::mpsc, task};

use super::line;
use crate::{
    metrics::Metrics,
    model::{Record, Timestamp},
};

/// Records written with one system call; what arrives meanwhile waits for the next.
const BATCH: usize = 512;

/// Writes what recorders hand over. Run it in one task, until its drain.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    records: mpsc::Receiver<Record>,
    /// Records lost since the last gap line.
    lost: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    /// The last write may have left half a line.
    torn: bool,
}

impl Writer {
    pub(super) fn open(
        path: &Path,
        records: mpsc::Receiver<Record>,
        lost: Arc<AtomicU64>,
        metrics: Arc<Metrics>,
        clock: fn() -> Timestamp,
    ) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        // The log names people.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        Ok(Self {
            torn: ends_in_half_a_line(&mut file)?,
            path: path.to_owned(),
            file,
            records,
            lost,
            metrics,
            clock,
        })
    }

    /// Writes until `drain` resolves, then what is still queued, and flushes to the disk.
    ///
    /// # Errors
    /// When the last flush fails. A failed write in between loses its records, which the log and
    /// the next gap line say, and writing goes on.
    pub async fn run(mut self, drain: impl Future<Output = ()>) -> io::Result<()> {
        let mut drain = std::pin::pin!(drain);
        let mut draining = false;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = &mut drain, if !draining => {
                    draining = true;
                    self.records.close();
                }
                count = self.records.recv_many(&mut batch, BATCH) => {
                    self = self.write(std::mem::take(&mut batch)).await?;
                    if count == 0 {
                        return self.file.sync_all();
                    }
                }
            }
        }
    }

    /// Appends a batch off the async threads, since a disk may stall.
    async fn write(mut self, batch: Vec<Record>) -> io::Result<Self> {
        task::spawn_blocking(move || {
            self.append(&batch);
            self
        })
        .await
        .map_err(io::Error::other)
    }

    fn append(&mut self, batch: &[Record]) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let mut text = Vec::new();
        if self.torn {
            text.push(b'\n');
        }
        let mut unwritable = 0;
        for record in batch {
            unwritable += u64::from(line::write_record(&mut text, record).is_err());
        }
        if lost + unwritable > 0 {
            let gap = line::write_gap(&mut text, (self.clock)(), lost + unwritable);
            debug_assert!(gap.is_ok(), "a gap is two numbers");
        }
        if text.is_empty() {
            return;
        }
        self.metrics.records_dropped(unwritable);
        match self.file.write_all(&text) {
            Ok(()) => self.torn = false,
            Err(why) => {
                let gone = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                self.torn = true;
                self.lost
                    .fetch_add(lost.saturating_add(gone), Ordering::Relaxed);
                self.metrics.records_dropped(gone - unwritable);
                tracing::error!(path = %self.path.display(), error = %why, lost = gone, "decision log cannot be written");
            }
        }
    }
}

fn ends_in_half_a_line(file: &mut File) -> io::Result<bool> {
    // A device or pipe has no end to look at.
    if !file.metadata()?.is_file() || file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

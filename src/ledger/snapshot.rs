//! Snapshots: the state after some record, in records of its own, so that older segments can go.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::{Disk, DiskFile},
    frame::{self, Chain, NoFrame},
    log::LogError,
    reader::{Entry, Reader, Window},
    segment::{self, Epoch, HEADER, Header, Kind},
};

/// Bytes written at once.
const CHUNK: usize = 1024 * 1024;
/// The payload of the record that ends a snapshot, which no other has.
const END: &[u8] = b"";

/// Takes one record of a snapshot that stands for everything up to a place in the chain.
pub type Each<'a> = dyn FnMut(Chain, Epoch, &[u8]) -> Result<(), LogError> + 'a;

/// Writes a snapshot aside; it counts only once it is finished.
#[derive(Debug)]
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    side: PathBuf,
    file: Box<dyn DiskFile>,
    header: Header,
    chain: Chain,
    buffer: Vec<u8>,
    offset: u64,
}

impl SnapshotWriter {
    /// Begins a snapshot of the state after the record `at`, in the log of `dir`.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        at: Chain,
        epoch: Epoch,
    ) -> Result<Self, LogError> {
        let header = Header {
            kind: Kind::Snapshot,
            epoch,
            chain: at,
        };
        let side = segment::snapshot_path(dir, at.sequence).with_extension("tmp");
        let file = disk
            .create(&side)
            .map_err(LogError::io("write the snapshot", &side))?;
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            side,
            file,
            chain: segment::snapshot_chain(&header),
            buffer: header.bytes(),
            header,
            offset: 0,
        })
    }

    /// Adds one record, which must not be empty.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn add(&mut self, payload: &[u8]) -> Result<(), LogError> {
        frame::write(&mut self.buffer, &mut self.chain, 0, payload, &[]);
        match self.buffer.len() >= CHUNK {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Makes it count, and removes the segments and snapshots that it stands for.
    ///
    /// # Errors
    /// [`LogError`]; a snapshot that is not finished changes nothing.
    pub fn finish(mut self) -> Result<(), LogError> {
        self.place()?;
        self.remove_before(self.header.chain.sequence)
    }

    /// Makes it count, and removes what the newest snapshot stands for behind which comes a record
    /// that `is_old`: whatever was the state as of a record that is not can still be told.
    ///
    /// # Errors
    /// As of [`Self::finish`].
    pub fn finish_and_keep(mut self, is_old: &dyn Fn(&Entry) -> bool) -> Result<(), LogError> {
        self.place()?;
        for snapshot in segment::snapshots(&*self.disk, &self.dir)?.iter().rev() {
            let disk = Arc::clone(&self.disk);
            let next = Reader::after(disk, &self.dir, snapshot.first)?.next()?;
            if next.is_some_and(|next| next.sequence == snapshot.first + 1 && is_old(&next)) {
                return self.remove_before(snapshot.first);
            }
        }
        Ok(())
    }

    fn place(&mut self) -> Result<(), LogError> {
        self.add(END)?;
        self.flush()?;
        let path = segment::snapshot_path(&self.dir, self.header.chain.sequence);
        let placed = self
            .file
            .sync()
            .and_then(|()| self.disk.rename(&self.side, &path))
            .and_then(|()| self.disk.sync_dir(&self.dir));
        placed.map_err(LogError::io("write the snapshot", &path))
    }

    /// Removes what the snapshot `at` stands for.
    fn remove_before(&self, at: u64) -> Result<(), LogError> {
        let segments = segment::list(&*self.disk, &self.dir)?;
        // A segment ends where the next begins; the last is being written.
        let ends = segments.iter().zip(segments.iter().skip(1));
        let covered = ends.filter(|(_, next)| next.first <= at + 1);
        let snapshots = segment::snapshots(&*self.disk, &self.dir)?;
        let older = snapshots.iter().filter(|it| it.first < at);
        for gone in covered.map(|(it, _)| it).chain(older) {
            let removed = self.disk.remove(&gone.path);
            removed.map_err(LogError::io("remove", &gone.path))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let written = self.file.write_at(self.offset, &self.buffer);
        written.map_err(LogError::io("write the snapshot", &self.side))?;
        self.offset += u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    /// Half a snapshot is of no use, and a disk without room needs what it takes.
    fn drop(&mut self) {
        // One that was finished has another name by now.
        let _none = self.disk.remove(&self.side);
    }
}

impl Reader {
    /// Reads the newest snapshot of the log in `dir`, and then what comes after it.
    ///
    /// `each` is given the snapshot's records; without a snapshot, nothing.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when the snapshot is not whole; the first error of `each`.
    pub fn from_snapshot(
        disk: Arc<dyn Disk>,
        dir: &Path,
        each: &mut Each<'_>,
    ) -> Result<Self, LogError> {
        Self::from_snapshot_by(disk, dir, u64::MAX, each)
    }

    /// The same with the newest snapshot that stands for no record after `latest`.
    ///
    /// What it does not stand for may be gone, where a later snapshot stands for that: then the
    /// reader's [`Reader::chain`] is not what `each` was given.
    ///
    /// # Errors
    /// As of [`Self::from_snapshot`].
    pub fn from_snapshot_by(
        disk: Arc<dyn Disk>,
        dir: &Path,
        latest: u64,
        each: &mut Each<'_>,
    ) -> Result<Self, LogError> {
        let snapshots = segment::snapshots(&*disk, dir)?;
        let Some(newest) = snapshots.iter().rfind(|it| it.first <= latest) else {
            return Self::first(disk, dir);
        };
        let is_last = snapshots.last() == Some(newest);
        let path = &newest.path;
        let file = disk.open(path, false).map_err(LogError::io("open", path))?;
        let damaged = |at: u64, why: &str| LogError::damaged(path, at, why);
        let header =
            Header::read(path, &*file)?.ok_or_else(|| damaged(0, "its header is short"))?;
        if header.kind != Kind::Snapshot || header.chain.sequence != newest.first {
            return Err(damaged(0, "its name is not that of what it holds"));
        }
        let mut chain = segment::snapshot_chain(&header);
        let mut window = Window::new(path.clone(), file);
        debug_assert_eq!(window.offset(), u64::try_from(HEADER).unwrap_or(0));
        loop {
            let at = window.offset();
            match window.frame()? {
                Ok(frame) => {
                    frame
                        .follows(&chain)
                        .map_err(|why| LogError::damaged(path, at, why))?;
                    chain = Chain {
                        sequence: frame.sequence,
                        hash: frame.hash,
                    };
                    if frame.payload == END {
                        break;
                    }
                    each(header.chain, header.epoch, frame.payload)?;
                    let size = frame.size();
                    window.pass(size);
                }
                Err(NoFrame::Short(_)) => return Err(damaged(at, "it ends too early")),
                Err(NoFrame::Damaged(why)) => return Err(damaged(at, why)),
            }
        }
        let reader = Self::after(disk, dir, header.chain.sequence)?;
        match reader.chain() {
            chain if chain == header.chain || !is_last => Ok(reader),
            _ => Err(damaged(0, "the segments do not go on from it")),
        }
    }

    /// The last record that the oldest snapshot after `sequence` stands for; without one, the record
    /// before the first that is there.
    ///
    /// # Errors
    /// [`LogError`] when the folder cannot be read.
    pub fn snapshot_after(&self, sequence: u64) -> Result<u64, LogError> {
        let snapshots = segment::snapshots(&*self.disk, &self.dir)?;
        let later = snapshots.iter().find(|it| it.first > sequence);
        Ok(later.map_or(self.chain().sequence, |it| it.first))
    }
}

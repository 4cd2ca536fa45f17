//! Appending to an open log, on the thread of whoever has it.

use std::path::Path;

use super::{
    frame::{self, Chain},
    log::{Log, LogError},
    segment,
    writer::NotAppended,
};

/// The largest buffer that is kept from one group to the next, in bytes.
const BUFFER: usize = 4 * 1024 * 1024;

/// Records that are written together, in their order.
#[derive(Debug)]
pub struct Group {
    bytes: Vec<u8>,
    chain: Chain,
    durable: u64,
}

impl Group {
    /// Adds a record; `loose` is not covered by the chain. Its place, should the group be appended.
    pub fn add(&mut self, payload: &[u8], loose: &[u8]) -> Chain {
        frame::write(
            &mut self.bytes,
            &mut self.chain,
            self.durable,
            payload,
            loose,
        );
        self.chain
    }

    /// The last record of it, or the one before the first.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Its buffer, to be used again, unless it became a large one.
    pub fn into_buffer(self) -> Vec<u8> {
        match self.bytes.capacity() <= BUFFER {
            true => self.bytes,
            false => Vec::new(),
        }
    }
}

impl Log {
    /// Begins a group that goes on from the end of the log.
    pub fn group(&self) -> Group {
        self.group_in(Vec::new())
    }

    /// Begins such a group in a buffer that is not needed any more.
    pub fn group_in(&self, mut bytes: Vec<u8>) -> Group {
        bytes.clear();
        Group {
            bytes,
            chain: self.tail.chain,
            durable: self.durable,
        }
    }

    /// Writes a group and syncs it.
    ///
    /// # Errors
    /// [`NotAppended::Disk`]: none of it is in the log. [`NotAppended::Stopped`]: that is unknown.
    pub fn append(&mut self, group: &Group) -> Result<(), NotAppended> {
        self.write(group)?;
        self.sync()
    }

    /// Writes a group that may be lost with the power until the next [`Self::sync`].
    ///
    /// # Errors
    /// As of [`Self::append`].
    pub fn write(&mut self, group: &Group) -> Result<(), NotAppended> {
        if let Some(why) = &self.stopped {
            return Err(NotAppended::Stopped(why.clone()));
        }
        if group.bytes.is_empty() {
            return Ok(());
        }
        let tail = &mut self.tail;
        if let Err(why) = tail.file.write_at(tail.offset, &group.bytes) {
            // What was synced is before it, so cutting it off leaves what was there.
            let cut = tail.file.truncate(tail.offset);
            let cut = cut.and_then(|()| tail.file.sync());
            return Err(match cut {
                Ok(()) => {
                    tracing::error!(%why, "cannot write the log; nothing of it was kept");
                    NotAppended::Disk(why.to_string())
                }
                Err(again) => self.stop(format!("{why}, and then: {again}")),
            });
        }
        tail.chain = group.chain;
        tail.offset += u64::try_from(group.bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// [`NotAppended::Stopped`]: what was written since the last time may be there or not.
    pub fn sync(&mut self) -> Result<(), NotAppended> {
        if let Some(why) = &self.stopped {
            return Err(NotAppended::Stopped(why.clone()));
        }
        let tail = &mut self.tail;
        if self.durable > tail.chain.sequence {
            return Ok(());
        }
        if let Err(why) = tail.file.sync() {
            return Err(self.stop(why.to_string()));
        }
        self.durable = tail.chain.sequence + 1;
        if let Err(why) = segment::write_head(&mut *tail.head, tail.chain) {
            tracing::warn!(%why, "cannot note how far the log is durable");
        }
        Ok(())
    }

    /// Whether the open segment has reached its size.
    pub fn is_full(&self) -> bool {
        self.tail.offset >= self.options.segment_bytes
    }

    /// The open segment's file, and the first sequence that it has or will have.
    pub fn segment(&self) -> (&Path, u64) {
        (&self.tail.path, first_of(&self.tail.path))
    }

    /// Goes on in a new segment, all of the old one being durable; where that fails, in the old one.
    pub fn rotate(&mut self) {
        if self.tail.chain.sequence + 1 == first_of(&self.tail.path) || self.sync().is_err() {
            return;
        }
        let Self {
            disk,
            dir,
            tail,
            options,
            ..
        } = self;
        match segment::begin(&**disk, dir, tail.chain, tail.epoch) {
            Ok((path, file)) => {
                (tail.path, tail.file) = (path, file);
                tail.offset = u64::try_from(segment::HEADER).unwrap_or(u64::MAX);
            }
            Err(why) => {
                tracing::error!(%why, "cannot begin a segment; the old one goes on");
                let path = segment::path_of(dir, tail.chain.sequence + 1);
                let removed = match disk.remove(&path) {
                    Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    removed => removed.and_then(|()| disk.sync_dir(dir)),
                };
                if let Err(why) = removed {
                    self.stop(LogError::io("remove", &path)(why).to_string());
                } else {
                    // Not at every group: as many bytes again first.
                    options.segment_bytes = options.segment_bytes.saturating_mul(2);
                }
            }
        }
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When the disk left it unknown what is durable.
    pub fn close(&mut self) -> Result<(), String> {
        self.sync().map_err(|why| why.to_string())?;
        // The note alone was never synced; losing it loses nothing.
        self.tail.head.sync().map_err(|why| why.to_string())
    }

    fn stop(&mut self, why: String) -> NotAppended {
        tracing::error!(why, "the log stops: what is on the disk is unknown");
        self.stopped = Some(why.clone());
        NotAppended::Stopped(why)
    }
}

/// The sequence that a segment's name says.
fn first_of(path: &Path) -> u64 {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.and_then(|stem| stem.parse().ok()).unwrap_or(0)
}

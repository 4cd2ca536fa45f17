//! The ordered log of everything that must outlive the process.
//!
//! [`Log`] is the generic half: segments of opaque records, each of which commits to the one before.
//! It knows nothing of what the records say, so that other logs can stand on it. [`record`] is the
//! other half: the records of *the* ledger, from which the directory, the revocations and the
//! history of publications follow.
//!
//! **Invariant:** what was acknowledged is on the disk; what is on the disk and damaged is refused.

mod append;
mod disk;
mod frame;
mod log;
mod reader;
pub mod record;
mod recover;
mod segment;
mod snapshot;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

pub use append::Group;
pub use disk::{Disk, DiskFile, Lock, RealDisk};
pub use frame::{
    Chain, Frame, MAX_PAYLOAD, NoFrame, loosen, read as read_frame, size as frame_size,
};
pub use log::{Held, Log, LogError, LogOptions, Opened};
pub use reader::{Entry, Reader};
pub use recover::{Cut, Recovery};
pub use segment::{Epoch, HEADER, SegmentInfo, chain_before};
pub use snapshot::{Each, SnapshotWriter};
pub use writer::{Appended, Appender, Apply, NotAppended, Receipt, Writer};

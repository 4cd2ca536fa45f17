//! Lines at the end of a file, or on standard output.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use super::Sent;
use crate::{
    audit::{Followed, json, ocsf},
    config::{FileSink, SinkFormat},
};

/// Writes lines. The file is opened each time, so whoever rotates it only needs to rename it.
pub(super) struct Lines {
    to: FileSink,
}

impl Lines {
    pub(super) fn new(to: FileSink) -> Self {
        Self { to }
    }

    /// Writes a batch; when it returns, the disk has it.
    pub(super) fn send(&self, batch: &[Followed]) -> Sent {
        let mut lines = Vec::new();
        for followed in batch {
            match (followed, self.to.format) {
                (Followed::Entry(_, entry), SinkFormat::Json) => json(&mut lines, entry),
                (Followed::Entry(_, entry), SinkFormat::Ocsf) => ocsf(&mut lines, entry),
                (Followed::Missing(count), SinkFormat::Json) => {
                    let line = serde_json::json!({ "kind": "missed", "count": count });
                    lines.extend(format!("{line}\n").into_bytes());
                }
                (Followed::Missing(_), SinkFormat::Ocsf) => {}
            }
        }
        self.write(&lines).map(|()| 0).map_err(|why| {
            let path = self.to.path.as_ref();
            let name = path.map_or("standard output".into(), |it| it.display().to_string());
            format!("cannot write to {name}: {why}")
        })
    }

    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let Some(path) = &self.to.path else {
            let mut out = io::stdout().lock();
            return out.write_all(lines).and_then(|()| out.flush());
        };
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let mut file = options.open(path)?;
        let before = file.metadata()?;
        file.write_all(lines)
            .and_then(|()| file.sync_data())
            .inspect_err(|_| {
                if before.is_file() {
                    // Half a line must not stand before the ones that are written again. Where it
                    // cannot be cut off, the receiver sees a broken line, and the whole one later.
                    let _cut = file.set_len(before.len());
                }
            })
    }
}

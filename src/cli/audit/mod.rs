//! `doorward audit` and `doorward why`: the decision log, read beside a running server.

mod hold;
mod look;
mod remote;
mod why;

use std::{fmt::Display, path::PathBuf};

use clap::Subcommand;

use super::{Exit, Failure, output};
use crate::{
    audit::{AuditFiles, Erased, Pseudonyms, Verified, erase, verify},
    model::EntityRef,
};
pub(super) use why::{WhyArgs, why};

/// Look into the decision log
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Verify(VerifyArgs),
    Tail(look::TailArgs),
    Query(look::QueryArgs),
    Export(look::ExportArgs),
    Erase(EraseArgs),
    #[command(subcommand)]
    Hold(hold::Verb),
}

/// Where the log is.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The server's data directory
    #[arg(
        long,
        value_name = "DIR",
        env = "DOORWARD_DATA",
        default_value = "data"
    )]
    data: PathBuf,
    /// The folder of the log, where it is not `audit` in the data directory
    #[arg(long, value_name = "DIR", env = "DOORWARD_AUDIT__DIR")]
    dir: Option<PathBuf>,
}

/// Check that the log is all there, unchanged and in its order
///
/// Names the first record that is not as it was written.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// The node's public key in hexadecimal, as noted elsewhere
    #[arg(long, value_name = "HEX")]
    key: Option<String>,
    /// A record and its hash that were noted elsewhere, as the last `verify` printed them
    #[arg(long, value_name = "RECORD:HEX")]
    anchor: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Erase what was kept of one subject
///
/// Its decisions stay, without the facts of it; the log is still whole. What the open segment has is
/// erased once that has ended: ask again, or set `audit.segment_age`.
#[derive(Debug, clap::Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    place: Place,
    /// The principal, as `User::"alice"`
    #[arg(long, value_name = "UID")]
    subject: EntityRef,
}

impl Place {
    fn files(&self) -> Result<AuditFiles, Failure> {
        let dir = self.dir.clone().unwrap_or_else(|| self.data.join("audit"));
        match dir.is_dir() {
            true => Ok(AuditFiles::new(&dir)),
            false => Err(Failure::failed(format!(
                "there is no decision log in `{}`: name the server's data directory with `--data`",
                dir.display()
            ))),
        }
    }
}

pub(super) fn run(verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Verify(args) => check(&args),
        Verb::Tail(args) => look::tail(args),
        Verb::Query(args) => look::query(args),
        Verb::Erase(args) => forget(&args),
        Verb::Export(args) => look::export(args),
        Verb::Hold(verb) => hold::run(verb),
    }
}

fn check(args: &VerifyArgs) -> Result<Exit, Failure> {
    let key = args.key.as_deref().map(hexadecimal).transpose()?;
    let anchor = args.anchor.as_deref().map(|text| {
        let bad = || Failure::usage("`--anchor` must be a record's number, `:` and its hash");
        let (record, hash) = text.split_once(':').ok_or_else(bad)?;
        Ok::<_, Failure>((record.parse().map_err(|_| bad())?, hexadecimal(hash)?))
    });
    let found = verify(&args.place.files()?, key, anchor.transpose()?);
    let text = match (&found, args.json) {
        (Ok(found), false) => whole(found),
        (Ok(found), true) => {
            let told = serde_json::json!({
                "ok": true, "segments": found.segments, "first": found.first,
                "last": found.last.sequence, "hash": hex(&found.last.hash),
                "checkpoints": found.checkpoints, "signed": found.signed, "keys": found.keys,
                "erased": found.erased, "lost": found.lost, "torn_bytes": found.torn,
                "closed": found.closed, "bytes": found.bytes,
            });
            format!("{told}\n")
        }
        (Err(broken), true) => {
            let told = serde_json::json!({
                "ok": false, "path": broken.path, "record": broken.record,
                "offset": broken.offset, "what": broken.what,
            });
            format!("{told}\n")
        }
        (Err(_), false) => String::new(),
    };
    output::print(&text)?;
    match found {
        Ok(_) => Ok(Exit::Ok),
        Err(_) if args.json => Ok(Exit::Failed),
        Err(broken) => Err(Failure::failed(format!("the log is not whole: {broken}"))),
    }
}

fn forget(args: &EraseArgs) -> Result<Exit, Failure> {
    let files = args.place.files()?;
    let mut names = vec![args.subject.clone()];
    names.extend(Pseudonyms::existing(files.dir()).map(|pseudonyms| {
        EntityRef::new(
            args.subject.type_name.clone(),
            pseudonyms.of(&args.subject.id),
        )
    }));
    let mut all = Erased::default();
    for name in names {
        let erased = erase(&files, &name).map_err(Failure::failed)?;
        all.facts += erased.facts;
        all.left += erased.left;
        all.held += erased.held;
    }
    let gone = counted(all.facts, "fact was", "facts were");
    output::print(&format!("{gone} erased\n"))?;
    let are = |count| counted(count, "fact is", "facts are");
    match (all.held, all.left) {
        (0, 0) => Ok(Exit::Ok),
        (0, left) => Err(Failure::failed(format!(
            "{} in the segment that is being written: ask again once it has ended",
            are(left)
        ))),
        (held, _) => Err(Failure::failed(format!(
            "{} in segments that are held: `doorward audit hold list` says by what",
            are(held)
        ))),
    }
}

fn whole(found: &Verified) -> String {
    let mut text = format!(
        "the log is whole: records {} to {} in {}, {}, signed up to record {}\n",
        found.first,
        found.last.sequence,
        counted(found.segments, "segment", "segments"),
        counted(found.checkpoints, "signature", "signatures"),
        found.signed
    );
    for key in &found.keys {
        text.push_str(&format!("  key     {key}\n"));
    }
    text.push_str(&format!(
        "  anchor  {}:{}\n",
        found.last.sequence,
        hex(&found.last.hash)
    ));
    let notes = [
        (found.erased, "fact was", "facts were", "erased"),
        (
            found.lost,
            "record was",
            "records were",
            "lost, as the log says",
        ),
        (
            found.torn,
            "byte at the end is",
            "bytes at the end are",
            "half a write, which no answer stood on",
        ),
    ];
    for (count, one, many, what) in notes {
        if count > 0 {
            let count = counted(count, one, many);
            text.push_str(&format!("  note    {count} {what}\n"));
        }
    }
    text
}

/// So many of something, in words for one and for many.
fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let what = if count == N::from(1) { one } else { many };
    format!("{count} {what}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hexadecimal(text: &str) -> Result<[u8; 32], Failure> {
    let bad = || {
        Failure::usage(format!(
            "expected 64 hexadecimal digits, not `{}`",
            output::shown(text)
        ))
    };
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|it| u8::try_from(it).ok()))
        .collect::<Option<_>>()
        .ok_or_else(bad)?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .filter_map(|pair| Some(pair.first()? << 4 | pair.get(1)?))
        .collect();
    match (digits.len(), bytes.try_into()) {
        (64, Ok(bytes)) => Ok(bytes),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_as_one() {
        let found = Verified {
            segments: 1,
            first: 1,
            checkpoints: 2,
            erased: 1,
            lost: 3,
            ..Verified::default()
        };
        let text = whole(&found);
        for told in [
            "in 1 segment, 2 signatures, ",
            "note    1 fact was erased",
            "note    3 records were lost, as the log says",
        ] {
            assert!(text.contains(told), "{text}");
        }
    }
}

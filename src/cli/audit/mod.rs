//! `doorward audit` and `doorward why`: the decision log, read beside a running server.

mod why;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Subcommand, ValueEnum};

use super::{Exit, Failure, output};
use crate::{
    audit::{
        AuditFiles, Erased, Pseudonyms, Query, Tail, Told, Verified, erase, json, ocsf, select,
        verify,
    },
    model::{EntityRef, Timestamp},
};
pub(super) use why::{WhyArgs, why};

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Look into the decision log
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Verify(VerifyArgs),
    Tail(TailArgs),
    Query(QueryArgs),
    Export(ExportArgs),
    Erase(EraseArgs),
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

/// Print the newest decisions
#[derive(Debug, clap::Args)]
pub(super) struct TailArgs {
    #[command(flatten)]
    place: Place,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// How many to begin with
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
}

/// Find decisions and refusals
#[derive(Debug, clap::Args)]
pub(super) struct QueryArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    what: What,
    /// The most to print
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
}

/// What is looked for.
#[derive(Debug, clap::Args)]
struct What {
    /// The principal, as `User::"alice"`
    #[arg(long, value_name = "UID")]
    subject: Option<String>,
    /// The action, as `ReadOrder`
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// The resource, as `Order::"o-1"`
    #[arg(long, value_name = "UID")]
    resource: Option<String>,
    /// `allow`, `deny` or `refused`
    #[arg(long, value_name = "WORD", value_parser = ["allow", "deny", "refused"])]
    outcome: Option<String>,
    /// The cause of a decision, or the kind or reason of a refusal
    #[arg(long, value_name = "WORD")]
    cause: Option<String>,
    /// A policy that determined it, or failed
    #[arg(long, value_name = "ID")]
    policy: Option<String>,
    /// Who asked
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// The bundle
    #[arg(long, value_name = "NAME")]
    bundle: Option<String>,
    /// Not before, as `2030-01-01T09:00:00Z`
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Not at or after
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

/// Print all of the log for another program
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    what: What,
    /// How each is written
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines of JSON, with what is no decision
    Json,
    /// Events of OCSF 1.3 (API Activity)
    Ocsf,
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

impl What {
    /// What stands in the log where its ids were redacted counts as well.
    fn queries(self, dir: &Path) -> Vec<Query> {
        let Self {
            subject,
            action,
            resource,
            outcome,
            cause,
            policy,
            caller,
            bundle,
            since,
            until,
        } = self;
        let plain = Query {
            subject,
            action,
            resource,
            outcome,
            cause,
            policy,
            caller,
            bundle,
            since,
            until,
        };
        let Some(pseudonyms) = Pseudonyms::existing(dir) else {
            return vec![plain];
        };
        let hidden = |uid: &Option<String>| {
            let uid: EntityRef = uid.as_ref()?.parse().ok()?;
            let id = pseudonyms.of(&uid.id);
            Some(EntityRef::new(uid.type_name, id).to_string())
        };
        let subjects = [plain.subject.clone(), hidden(&plain.subject)];
        let resources = [plain.resource.clone(), hidden(&plain.resource)];
        let mut queries = Vec::new();
        for (n, subject) in subjects.into_iter().enumerate() {
            for (m, resource) in resources.iter().enumerate() {
                let stands_for_one = |at: usize, it: &Option<String>| at == 0 || it.is_some();
                if stands_for_one(n, &subject) && stands_for_one(m, resource) {
                    queries.push(Query {
                        subject: subject.clone(),
                        resource: resource.clone(),
                        ..plain.clone()
                    });
                }
            }
        }
        queries
    }
}

pub(super) fn run(verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Verify(args) => check(&args),
        Verb::Tail(args) => tail(&args),
        Verb::Query(args) => {
            let (limit, json) = (args.limit, args.json);
            print(
                &args.place,
                args.what,
                limit,
                if json { json_lines } else { people },
            )
        }
        Verb::Erase(args) => forget(&args),
        Verb::Export(args) => {
            let format = match args.format {
                Format::Json => json_lines,
                Format::Ocsf => ocsf,
            };
            print(&args.place, args.what, usize::MAX, format)
        }
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
    }
    output::print(&format!("{} facts were erased\n", all.facts))?;
    match all.left {
        0 => Ok(Exit::Ok),
        left => Err(Failure::failed(format!(
            "{left} facts are in the segment that is being written: ask again once it has ended"
        ))),
    }
}

fn whole(found: &Verified) -> String {
    let mut text = format!(
        "the log is whole: records {} to {} in {} segments, {} signatures, signed up to record {}\n",
        found.first, found.last.sequence, found.segments, found.checkpoints, found.signed
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
        (found.erased, "facts were erased"),
        (found.lost, "records were lost, as the log says"),
        (
            found.torn,
            "bytes at the end are half a write, which no answer stood on",
        ),
    ];
    for (count, what) in notes {
        if count > 0 {
            text.push_str(&format!("  note    {count} {what}\n"));
        }
    }
    text
}

fn tail(args: &TailArgs) -> Result<Exit, Failure> {
    let mut tail = Tail::new(args.place.files()?);
    let format = if args.json { json_lines } else { people };
    let mut first = tail.more().map_err(Failure::failed)?;
    first.retain(|entry| args.json || is_told(entry));
    let skip = first.len().saturating_sub(args.limit);
    show(first.iter().skip(skip), format)?;
    if !args.follow {
        return Ok(Exit::Ok);
    }
    loop {
        std::thread::sleep(LOOK);
        show(tail.more().map_err(Failure::failed)?.iter(), format)?;
    }
}

fn is_told(entry: &Told) -> bool {
    !matches!(entry, Told::Checkpoint(..) | Told::Start(..))
}

fn print(
    place: &Place,
    what: What,
    limit: usize,
    format: fn(&mut Vec<u8>, &Told),
) -> Result<Exit, Failure> {
    let files = place.files()?;
    let mut left = limit;
    for query in what.queries(files.dir()) {
        let mut ended = Ok(());
        select(&files, &query, &mut |entry| {
            if left == 0 {
                return false;
            }
            left -= 1;
            ended = show(std::iter::once(&entry), format);
            ended.is_ok()
        })
        .map_err(Failure::failed)?;
        ended?;
    }
    Ok(Exit::Ok)
}

fn show<'a>(
    entries: impl Iterator<Item = &'a Told>,
    format: fn(&mut Vec<u8>, &Told),
) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    for entry in entries {
        format(&mut bytes, entry);
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(&bytes).and_then(|()| out.flush());
    written.map_err(|why| Failure::failed(format!("cannot write the output: {why}")))
}

fn json_lines(out: &mut Vec<u8>, entry: &Told) {
    json(out, entry);
}

/// One line for people.
fn people(out: &mut Vec<u8>, entry: &Told) {
    let line = why::line(entry);
    if !line.is_empty() {
        out.extend(output::shown_lines(&line).as_bytes());
        out.push(b'\n');
    }
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

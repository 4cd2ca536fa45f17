//! `doorward audit tail`, `query` and `export`.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use clap::ValueEnum;

use super::{
    super::{Exit, Failure, output},
    Place,
    remote::{self, Remote},
    why,
};
use crate::{
    audit::{
        AuditFiles, Followed, Follower, Pseudonyms, Query, Told, find, json, ocsf, page_back,
        select,
    },
    model::{DecisionId, EntityRef, Timestamp},
};

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Entries that are read at once.
const IN_HAND: usize = 1024;

/// Print the newest decisions
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TailArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    what: What,
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
pub(in crate::cli) struct QueryArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    what: What,
    /// The one of this decision id
    #[arg(long, value_name = "ID")]
    id: Option<DecisionId>,
    /// The newest first
    #[arg(long)]
    newest: bool,
    /// The most to print
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
}

/// What is looked for.
#[derive(Debug, clap::Args)]
pub(super) struct What {
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
pub(in crate::cli) struct ExportArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    what: What,
    /// How each is written
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines of JSON, with what is no decision
    Json,
    /// Events of OCSF 1.3 (API Activity)
    Ocsf,
}

impl What {
    fn plain(self) -> Query {
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
        Query {
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
        }
    }

    /// What stands in the log where its ids were redacted counts as well.
    fn queries(self, dir: &Path) -> Vec<Query> {
        let plain = self.plain();
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

/// How entries are written.
type Form = fn(&mut Vec<u8>, &Told);

pub(super) fn tail(args: TailArgs) -> Result<Exit, Failure> {
    let form = if args.json { json_lines } else { people };
    if let Some(server) = args.remote.server() {
        let (filter, follow) = (remote::to_filter(args.what.plain()), args.follow);
        return remote::tail(&server, filter, args.limit, follow, args.json);
    }
    let files = args.place.files()?;
    let queries = args.what.queries(files.dir());
    let narrow = |entry: Told| match &*queries {
        [query] => query.narrow(entry),
        many => many.iter().find_map(|query| query.narrow(entry.clone())),
    };
    let mut follower = Follower::at_open(files).map_err(Failure::failed)?;
    let mut last = VecDeque::new();
    loop {
        let found = follower.more(u64::MAX, IN_HAND).map_err(Failure::failed)?;
        if found.is_empty() {
            break;
        }
        let wanted = entries(found).filter_map(narrow);
        last.extend(wanted.filter(|entry| args.json || is_told(entry)));
        last.drain(..last.len().saturating_sub(args.limit));
    }
    show(last.iter(), form)?;
    if !args.follow {
        return Ok(Exit::Ok);
    }
    loop {
        std::thread::sleep(LOOK);
        let found = follower.more(u64::MAX, IN_HAND).map_err(Failure::failed)?;
        let wanted: Vec<Told> = entries(found).filter_map(narrow).collect();
        show(wanted.iter(), form)?;
    }
}

/// The entries among what was followed; what is missing is said on the way.
fn entries(found: Vec<Followed>) -> impl Iterator<Item = Told> {
    found.into_iter().filter_map(|followed| match followed {
        Followed::Entry(_, entry) => Some(entry),
        Followed::Missing(count) => {
            remote::missed(count);
            None
        }
    })
}

fn is_told(entry: &Told) -> bool {
    !matches!(entry, Told::Checkpoint(..) | Told::Start(..))
}

pub(super) fn query(args: QueryArgs) -> Result<Exit, Failure> {
    let form = if args.json { json_lines } else { people };
    if let Some(server) = args.remote.server() {
        return match args.id {
            Some(id) => remote::get(&server, args.what.plain().bundle, id, args.json),
            None => {
                let filter = remote::to_filter(args.what.plain());
                remote::query(&server, filter, args.newest, args.limit, args.json)
            }
        };
    }
    let files = args.place.files()?;
    if let Some(id) = args.id {
        let found = find(&files, id).map_err(Failure::failed)?;
        let found = found.ok_or_else(|| Failure::failed(format!("`{id}` is not in the log")))?;
        show(std::iter::once(&found), form)?;
        return Ok(Exit::Ok);
    }
    match args.newest {
        true => print_back(&files, args.what, args.limit, form),
        false => print(&files, args.what, args.limit, form),
    }
}

pub(super) fn export(args: ExportArgs) -> Result<Exit, Failure> {
    let form = match args.format {
        Format::Json => json_lines,
        Format::Ocsf => ocsf,
    };
    print(&args.place.files()?, args.what, usize::MAX, form)
}

fn print(files: &AuditFiles, what: What, limit: usize, form: Form) -> Result<Exit, Failure> {
    let mut left = limit;
    for query in what.queries(files.dir()) {
        let mut ended = Ok(());
        select(files, &query, &mut |entry| {
            if left == 0 {
                return false;
            }
            left -= 1;
            ended = show(std::iter::once(&entry), form);
            ended.is_ok()
        })
        .map_err(Failure::failed)?;
        ended?;
    }
    Ok(Exit::Ok)
}

fn print_back(files: &AuditFiles, what: What, limit: usize, form: Form) -> Result<Exit, Failure> {
    let mut left = limit;
    for query in what.queries(files.dir()) {
        let mut before = Some(u64::MAX);
        while let (Some(from), true) = (before, left > 0) {
            let page = page_back(files, &query, from, left.min(IN_HAND), usize::MAX);
            let page = page.map_err(Failure::failed)?;
            show(page.entries.iter().map(|(_, entry)| entry), form)?;
            left -= page.entries.len();
            before = page.next;
        }
    }
    Ok(Exit::Ok)
}

fn show<'a>(entries: impl Iterator<Item = &'a Told>, form: Form) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    for entry in entries {
        form(&mut bytes, entry);
    }
    write(&bytes)
}

/// Writes what is shown, at once.
pub(super) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
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

//! `doorward audit hold`.

use std::io;

use clap::{ArgGroup, Subcommand};

use super::{
    super::{Exit, Failure, output},
    Place, counted,
};
use crate::{
    audit::{Hold, change_holds, find, holds, kept_by},
    model::{DecisionId, Timestamp},
};

const EXAMPLES: &str = "\
Examples:
  doorward audit hold add case-17 --since 2030-01-01T00:00:00Z --until 2030-02-01T00:00:00Z
  doorward audit hold add complaint --decision 01a1fd86-cd60-7a93-b2e1-e92a64df74bd
  doorward audit hold remove case-17";

/// Keep records whatever their age, until you say otherwise
///
/// What a hold refers to is neither removed nor erased; since a log has no holes, what comes after it
/// stays as well. It counts at once, with or without a running server.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) enum Verb {
    /// Keep the records of a time, or of one decision
    Add(Add),
    /// Print what is held
    List(List),
    /// Let go
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true)))]
pub(in crate::cli) struct Add {
    /// By which you will know it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: Place,
    /// Records from this time on (RFC 3339)
    #[arg(long, value_name = "TIME", group = "what")]
    since: Option<Timestamp>,
    /// Records before this time
    #[arg(long, value_name = "TIME", group = "what")]
    until: Option<Timestamp>,
    /// The record of this decision
    #[arg(long, value_name = "ID", group = "what", conflicts_with_all = ["since", "until"])]
    decision: Option<DecisionId>,
    /// Why it is held
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    place: Place,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Remove {
    /// Which
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Add(args) => add(args),
        Verb::List(args) => list(&args),
        Verb::Remove(args) => remove(&args),
    }
}

fn add(args: Add) -> Result<Exit, Failure> {
    let files = args.place.files()?;
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since >= until
    {
        return Err(Failure::usage("`--until` must be later than `--since`"));
    }
    let hold = Hold {
        name: args.name,
        reason: args.reason,
        decision: args.decision,
        since: args.since,
        until: args.until,
    };
    // Held first, looked for then: what is there cannot go meanwhile.
    change_holds(&files, |all| {
        if all.iter().any(|it| it.name == hold.name) {
            let why = format!("`{}` is held already: choose another name", hold.name);
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        all.push(hold.clone());
        Ok(())
    })
    .map_err(Failure::failed)?;
    let name = output::shown(&hold.name);
    if let Some(id) = hold.decision
        && find(&files, id).map_err(Failure::failed)?.is_none()
    {
        return Err(Failure::failed(format!(
            "`{name}` is held, but `{id}` is not in the log: it is of another server, or was removed before"
        )));
    }
    let kept = kept_by(&files, &hold).map_err(Failure::failed)?;
    let kept = counted(kept, "segment", "segments");
    output::print(&format!("held `{name}`: {kept} now\n"))?;
    Ok(Exit::Ok)
}

fn list(args: &List) -> Result<Exit, Failure> {
    let files = args.place.files()?;
    let all = holds(&files).map_err(Failure::failed)?;
    if args.json {
        let text = serde_json::to_string(&all).map_err(Failure::failed)?;
        output::print(&format!("{text}\n"))?;
        return Ok(Exit::Ok);
    }
    let lines = all.iter().map(|hold| {
        let from = |at: Option<Timestamp>, other: &str| {
            at.map_or_else(|| other.to_owned(), |at| at.to_string())
        };
        let what = match hold.decision {
            Some(id) => format!("decision {id}"),
            None => {
                let since = from(hold.since, "the first");
                format!("{since} to {}", from(hold.until, "the last"))
            }
        };
        let reason = hold.reason.as_deref().unwrap_or_default();
        format!("{}  {what}  {reason}\n", hold.name)
    });
    output::print(&output::shown_lines(&lines.collect::<String>()))?;
    Ok(Exit::Ok)
}

fn remove(args: &Remove) -> Result<Exit, Failure> {
    let files = args.place.files()?;
    change_holds(&files, |all| {
        let before = all.len();
        all.retain(|hold| hold.name != args.name);
        match all.len() < before {
            true => Ok(()),
            false => {
                let why = format!("nothing is held as `{}`", args.name.escape_debug());
                Err(io::Error::new(io::ErrorKind::NotFound, why))
            }
        }
    })
    .map_err(Failure::failed)?;
    output::print(&format!("let go `{}`\n", output::shown(&args.name)))?;
    Ok(Exit::Ok)
}

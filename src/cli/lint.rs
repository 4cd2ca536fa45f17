//! `doorward lint`.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Exit, Failure, output,
    output::Style,
    told::{Form, FormArgs, Loaded, Weight},
};
use crate::{
    pap::{LINTS, Lint, lint},
    policy::{Fault, closest},
};

const EXAMPLES: &str = "\
Examples:
  doorward lint policies
  doorward lint --deny warnings           for continuous integration
  doorward lint --explain read_without_has";

/// Look for what is valid and still deserves a second look
///
/// A policy opts out with `@allow_lint(\"CODE: REASON\")`, and so does a part of the schema.
/// Exit codes: 0 nothing that is denied, 1 something is, 3 the bundle is not valid.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The bundle's directory
    #[arg(value_name = "DIR", default_value = "policies")]
    directory: PathBuf,
    #[command(flatten)]
    form: FormArgs,
    /// Fail for a lint, or for all of them (`warnings`); repeatable
    #[arg(long, value_name = "CODE")]
    deny: Vec<String>,
    /// List the lints
    #[arg(long, exclusive = true)]
    list: bool,
    /// Print the page of a lint
    #[arg(long, value_name = "CODE", exclusive = true)]
    explain: Option<String>,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    if let Some(code) = &args.explain {
        output::print(known(code)?.page)?;
        return Ok(Exit::Ok);
    }
    if args.list {
        let lines = LINTS
            .iter()
            .map(|it| format!("{:<30}{}\n", it.code, summary(it)));
        output::print(&lines.collect::<String>())?;
        return Ok(Exit::Ok);
    }
    for code in args.deny.iter().filter(|code| *code != "warnings") {
        known(code)?;
    }
    let loaded = Loaded::read(&args.directory)?;
    let (form, style) = (args.form.form(), Style::of_stdout());
    let snapshot = match &loaded.compiled {
        Ok(snapshot) => snapshot,
        Err(faults) => {
            output::print(&loaded.teller().invalid(faults, form, style))?;
            return Ok(Exit::Invalid);
        }
    };
    let found = lint(&loaded.files, snapshot);
    let weight = |fault: &Fault| {
        let denied = |code: &String| code == "warnings" || code == fault.rule;
        match args.deny.iter().any(denied) {
            true => Weight::Error,
            false => Weight::Warning,
        }
    };
    let (denied, warned): (Vec<Fault>, Vec<Fault>) = found
        .into_iter()
        .partition(|it| weight(it) == Weight::Error);
    output::print(&told(&loaded, &denied, &warned, form, style))?;
    Ok(match denied.is_empty() {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}

fn told(loaded: &Loaded, denied: &[Fault], warned: &[Fault], form: Form, style: Style) -> String {
    let teller = loaded.teller();
    match form {
        Form::Json => format!("{}\n", json!({ "denied": denied, "warnings": warned })),
        Form::Sarif => {
            let denied = denied.iter().map(|it| (Weight::Error, it));
            let warned = warned.iter().map(|it| (Weight::Warning, it));
            teller.sarif(&denied.chain(warned).collect::<Vec<_>>())
        }
        Form::Human => {
            let mut out = teller.human(denied, Weight::Error, style);
            out.push_str(&teller.human(warned, Weight::Warning, style));
            let count = denied.len() + warned.len();
            out.push_str(&match count {
                0 => format!("{}  nothing to tell\n", style.good("ok")),
                _ => format!("{count} to look at; `doorward lint --explain CODE` says more\n"),
            });
            out
        }
    }
}

fn known(code: &str) -> Result<&'static Lint, Failure> {
    LINTS.iter().find(|it| it.code == code).ok_or_else(|| {
        let near = closest(code, LINTS.iter().map(|it| it.code));
        let near = near.map_or("see `doorward lint --list`".to_owned(), |near| {
            format!("did you mean `{near}`?")
        });
        Failure::usage(format!(
            "there is no lint `{}`: {near}",
            output::shown(code)
        ))
    })
}

/// The first sentence under a page's title.
fn summary(lint: &Lint) -> &'static str {
    let mut lines = lint.page.lines().skip(1);
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

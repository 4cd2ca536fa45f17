//! `doorward fmt`.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use similar::TextDiff;

use super::{
    Exit, Failure, output,
    output::{Style, shown, shown_lines},
    told::{self, Form, Teller},
};
use crate::{bundle::BundleFiles, pap::format_policies, policy::TextLimits};

const EXAMPLES: &str = "\
Examples:
  doorward fmt policies
  doorward fmt --check                    for continuous integration
  doorward fmt - < orders.cedar           for editors";

/// Write the policies of a bundle in one form
///
/// A file is written only when its policies and comments are proven to be the same as before.
/// Exit codes: 0 done, 1 with --check: some are not in that form, 3 some cannot be parsed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The bundle's directory, or `-` for policies from standard input to standard output
    #[arg(value_name = "DIR|-", default_value = "policies")]
    directory: PathBuf,
    /// Write nothing: show what would change
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let style = Style::of_stdout();
    if args.directory == Path::new("-") {
        return piped(args.check, style);
    }
    let (files, mut faults) = told::read(&args.directory)?;
    let (mut changed, mut all) = (Vec::new(), 0);
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".cedar")) {
        all += 1;
        match format_policies(path, text) {
            Ok(formatted) if formatted == text => {}
            Ok(formatted) => changed.push((path, text, formatted)),
            Err(found) => faults.extend(found),
        }
    }
    let teller = Teller {
        directory: &args.directory,
        files: &files,
    };
    if !faults.is_empty() {
        output::print(&teller.invalid(&faults, Form::Human, style))?;
        return Ok(Exit::Invalid);
    }
    let mut out = String::new();
    for (path, text, formatted) in &changed {
        let at = args.directory.join(&***path);
        match args.check {
            true => out.push_str(&diff(&at.display().to_string(), text, formatted)),
            false => {
                fs::write(&at, formatted).map_err(|why| {
                    Failure::failed(format!("cannot write `{}`: {why}", at.display()))
                })?;
                out.push_str(&format!(
                    "formatted  {}\n",
                    shown(&at.display().to_string())
                ));
            }
        }
    }
    let (count, s) = (changed.len(), if all == 1 { "" } else { "s" });
    let exit = match (args.check, count) {
        (true, 1..) => {
            let hint = style.bad("not formatted");
            out.push_str(&format!(
                "{hint}  {count} of {all} file{s}; run `doorward fmt`\n"
            ));
            Exit::Failed
        }
        _ => {
            let same = all - count;
            out.push_str(&format!(
                "{}  {same} of {all} file{s} as they were\n",
                style.good("ok")
            ));
            Exit::Ok
        }
    };
    output::print(&out)?;
    Ok(exit)
}

/// From standard input to standard output.
fn piped(check: bool, style: Style) -> Result<Exit, Failure> {
    let most = TextLimits::default().file_bytes;
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(most as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|why| Failure::failed(format!("cannot read standard input: {why}")))?;
    let file: Arc<str> = Arc::from("<stdin>");
    match format_policies(&file, &text) {
        Ok(formatted) if check => {
            output::print(&diff(&file, &text, &formatted))?;
            Ok(match formatted == text {
                true => Exit::Ok,
                false => Exit::Failed,
            })
        }
        Ok(formatted) => {
            output::print(&formatted)?;
            Ok(Exit::Ok)
        }
        Err(faults) => {
            let files = BundleFiles::new([(file, text)]);
            let teller = Teller {
                directory: Path::new(""),
                files: &files,
            };
            // Standard output is where the policies would go.
            eprint!("{}", teller.invalid(&faults, Form::Human, style));
            Ok(Exit::Invalid)
        }
    }
}

fn diff(path: &str, before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let path = shown(path);
    shown_lines(
        &diff
            .unified_diff()
            .context_radius(2)
            .header(&path, &format!("{path}, formatted"))
            .to_string(),
    )
}

//! `doorward completions` and `doorward man`: what shells and manuals know of this program.

use std::{fs, path::PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Exit, Failure, output};

/// Print a script that completes this program's commands in a shell
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Write a manual page for each command
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The directory for them, which is made if need be
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn completions(args: CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "doorward", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

pub(super) fn man(args: ManArgs) -> Result<Exit, Failure> {
    let directory = &args.directory;
    let command = Cli::command().disable_help_subcommand(true);
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .map_err(|why| {
            let directory = directory.display();
            Failure::failed(format!("cannot write manual pages to `{directory}`: {why}"))
        })?;
    let first = output::shown(&directory.join("doorward.1").display().to_string());
    output::print(&format!("written; read them with `man {first}`\n"))?;
    Ok(Exit::Ok)
}

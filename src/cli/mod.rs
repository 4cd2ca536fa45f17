//! What people type. One file for each verb; each returns how it ended.

mod audit;
mod backup;
mod check;
mod completions;
mod directory;
mod exit;
mod explain;
mod fmt;
mod inspect;
mod lint;
mod new;
mod output;
mod revoke;
mod route;
mod schema;
mod serve;
mod test;
mod token;
mod told;
mod validate;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Exit, Failure};

const EXAMPLES: &str = "\
First steps:
  doorward serve --dev
      a server for this machine, with its own token issuer and an example; it prints
      questions to paste
  doorward token --sub alice --scope orders:read --claim roles='[\"clerk\"]'
      a token that it accepts
  doorward check --token - --action ReadOrder --resource 'Order::\"o-1\"'
      may the holder of the token read this order, and why?
  doorward explain policies --case 'but no other'
      which rules decide that, and what would have to be otherwise?
  doorward validate policies && doorward test policies
      are my policies sound, and do they decide as their cases say?

Exit codes: 0 ok or allowed, 1 failed, 2 denied, 3 invalid policies, 4 failed cases, 64 bad usage";

/// Decides who may do what: validates access tokens, evaluates Cedar policies, gives reasons.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Args),
    Token(Box<token::Args>),
    Check(Box<check::Args>),
    Explain(Box<explain::Args>),
    Route(route::Args),
    New(new::Args),
    Validate(validate::Args),
    Test(test::Args),
    Fmt(fmt::Args),
    Lint(lint::Args),
    #[command(subcommand)]
    Directory(directory::Verb),
    Revoke(revoke::Args),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    #[command(subcommand)]
    Audit(audit::Verb),
    Why(audit::WhyArgs),
    #[command(subcommand)]
    Schema(schema::Verb),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

/// Runs the program: reads the command line, does what it says, tells how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(why) => {
            // Help that nobody can read changes nothing about the end.
            let _unprinted = why.print();
            return exit_of(&why).into();
        }
    };
    let ended = match cli.verb {
        Verb::Serve(args) => serve::run(args),
        Verb::Token(args) => token::run(*args),
        Verb::Check(args) => check::run(*args),
        Verb::Explain(args) => explain::run(*args),
        Verb::Route(args) => route::run(args),
        Verb::Validate(args) => validate::run(args),
        Verb::Test(args) => test::run(args),
        Verb::New(args) => new::run(args),
        Verb::Fmt(args) => fmt::run(args),
        Verb::Audit(verb) => audit::run(verb),
        Verb::Why(args) => audit::why(&args),
        Verb::Lint(args) => lint::run(args),
        Verb::Directory(verb) => directory::run(verb),
        Verb::Revoke(args) => revoke::run(args),
        Verb::Backup(args) => backup::backup(args),
        Verb::Restore(args) => backup::restore(args),
        Verb::Schema(verb) => schema::run(verb),
        Verb::Completions(args) => completions::completions(args),
        Verb::Man(args) => completions::man(args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(Failure { exit, message }) => {
            eprintln!("doorward: {message}");
            exit.into()
        }
    }
}

/// clap's own code for bad usage is 2, which here means a denial.
fn exit_of(why: &clap::Error) -> Exit {
    match why.use_stderr() {
        true => Exit::Usage,
        false => Exit::Ok,
    }
}

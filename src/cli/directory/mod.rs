//! `doorward directory`.

mod edit;
mod lines;

use clap::Subcommand;

use super::{Exit, Failure, check::pair, check::secret, output};
use crate::{
    client::{ClientError, Code, Operator},
    model::EntityRef,
};

const EXAMPLES: &str = "\
Examples:
  doorward directory add-parent 'User::\"alice\"' 'Rota::\"night\"'
  doorward directory put 'Project::\"atlas\"' --attr tenant='\"acme\"'
  doorward directory list --type User --in 'Rota::\"night\"'
  doorward directory export > entities.jsonl
  doorward directory import entities.jsonl

Exit codes: 0 done, 1 refused or unreachable, 64 bad usage";

/// Keep the stored entities of a running server: users, groups, resources
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Verb {
    /// Store an entity, in place of what is stored of it
    Put(edit::Put),
    /// Print an entity as JSON
    Get(edit::Get),
    /// Print the names of entities
    List(lines::List),
    /// Remove an entity; whoever was in it is not any more, at once
    Delete(edit::Delete),
    /// Store every entity of a file of JSON lines
    Import(lines::Import),
    /// Print every entity as JSON lines
    Export(lines::Export),
    /// Put an entity into another one
    AddParent(edit::Parent),
    /// Take an entity out of another one
    RemoveParent(edit::Parent),
}

/// How to reach the server.
#[derive(Debug, clap::Args)]
pub(super) struct Server {
    /// The server's listener for operators
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8283")]
    addr: String,
    /// Your own secret, for a server that knows its callers: the secret or @FILE
    #[arg(long, value_name = "SECRET|@FILE")]
    caller_token: Option<String>,
    /// The bundle [default: the server's]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) bundle: String,
}

impl Server {
    /// The server at `addr`, asked with this secret.
    pub(super) fn new(addr: String, caller_token: Option<String>) -> Self {
        Self {
            addr,
            caller_token,
            bundle: String::new(),
        }
    }

    /// Does `work` with a connection.
    pub(super) fn run<T>(
        &self,
        work: impl AsyncFnOnce(Operator) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let token = self.caller_token.as_deref().map(secret).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::failed)?;
        runtime.block_on(async {
            let mut operator = Operator::connect(&self.addr).await.map_err(told)?;
            if let Some(token) = token {
                operator = operator.with_secret(&token).map_err(told)?;
            }
            work(operator).await
        })
    }
}

/// A client's error in words that say what to do.
pub(super) fn told(why: ClientError) -> Failure {
    match why {
        ClientError::Url(_) | ClientError::Secret => Failure::usage(why),
        ClientError::Unreachable { .. } => Failure::failed(format!(
            "{why}; start one with `doorward serve --dev`, or name another with `--addr`"
        )),
        ClientError::Refused(refused) => {
            let faults = refused.violations.iter();
            let faults = faults.map(|(field, fault)| format!("\n  `{field}` {fault}"));
            let faults: String = faults.collect();
            let message = output::shown_lines(&format!("{}{faults}", refused.message));
            let message = match refused.reason.as_str() {
                "" => message,
                reason => format!("{}: {message}", output::shown(reason)),
            };
            match refused.code {
                Code::InvalidArgument => Failure::usage(message),
                _ => Failure::failed(message),
            }
        }
        other => Failure::failed(other),
    }
}

pub(super) fn run(verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Put(args) => edit::put(args),
        Verb::Get(args) => edit::get(args),
        Verb::List(args) => lines::list(args),
        Verb::Delete(args) => edit::delete(args),
        Verb::Import(args) => lines::import(args),
        Verb::Export(args) => lines::export(args),
        Verb::AddParent(args) => edit::parent(args, true),
        Verb::RemoveParent(args) => edit::parent(args, false),
    }
}

/// Says that something was done, and by which revision it is known.
fn done(what: &str, uid: &EntityRef, revision: &str) -> Result<Exit, Failure> {
    let uid = output::shown(&uid.to_string());
    output::print(&format!("{what} {uid}\n  revision {revision}\n"))?;
    Ok(Exit::Ok)
}

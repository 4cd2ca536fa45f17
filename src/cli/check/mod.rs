//! `doorward check`.

mod render;
mod request;

use super::{Exit, Failure, output, output::Style};
use crate::client::{Client, ClientError};
pub(in crate::cli) use render::{json_refusal, refusal};
pub(in crate::cli) use request::{Flags, Stated, Whom, pair, read_json, secret};

const EXAMPLES: &str = "\
Examples:
  doorward check --token @token.jwt --action ReadOrder --resource 'Order::\"o-1\"'
  doorward check --token @token.jwt --method GET --host api.example.com --path /orders/o-1
  doorward check --subject 'User::\"alice\"' --subject-attr tenant='\"acme\"' \\
      --action ReadOrder --resource 'Order::\"o-1\"' --attr tenant='\"acme\"'
  doorward token --sub alice | doorward check --token - --json \\
      --action ReadOrder --resource 'Order::\"o-1\"'

Exit codes: 0 allowed, 2 denied, 1 refused or unreachable, 64 bad usage";

/// Ask a running server: may this subject do that, and why?
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    asked: request::Asked,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9191")]
    addr: String,
    /// Your own secret, for a server that knows its callers: the secret or @FILE
    #[arg(long, value_name = "SECRET|@FILE")]
    caller_token: Option<String>,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let request = args.asked.into_request()?;
    let secret = args
        .caller_token
        .as_deref()
        .map(request::secret)
        .transpose()?;
    let answered = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?
        .block_on(async {
            let client = Client::connect(&args.addr).await?;
            match secret {
                Some(secret) => client.with_secret(&secret)?.check(request).await,
                None => client.check(request).await,
            }
        });
    let (text, exit) = match &answered {
        Ok(verdict) => {
            let decision = verdict.decision();
            let exit = match verdict.is_allowed() {
                true => Exit::Ok,
                false => Exit::Denied,
            };
            match args.json {
                true => (render::json(decision), exit),
                false => (render::answer(decision, Style::of_stdout()), exit),
            }
        }
        Err(ClientError::Refused(refused)) => match args.json {
            true => (render::json_refusal(refused), Exit::Failed),
            false => (render::refusal(refused, Style::of_stdout()), Exit::Failed),
        },
        Err(ClientError::Url(_) | ClientError::Secret) => {
            return Err(Failure::usage(
                answered
                    .err()
                    .map_or_else(String::new, |why| why.to_string()),
            ));
        }
        Err(why @ ClientError::Unreachable { .. }) => {
            return Err(Failure::failed(format!(
                "{why}; start one with `doorward serve --dev`, or name another with `--addr`"
            )));
        }
        Err(why @ (ClientError::NoAnswer | ClientError::Late(_))) => {
            return Err(Failure::failed(why));
        }
    };
    output::print(&text)?;
    Ok(exit)
}

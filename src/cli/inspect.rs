//! `doorward token inspect`.

use std::{path::PathBuf, sync::Arc};

use super::{Exit, Failure, output};
use crate::{
    authn::{DevIssuer, TokenScope, TokenVerifier, inspect},
    config::{Config, Sources},
    model::AccessToken,
    server,
};

const EXAMPLES: &str = "\
Examples:
  doorward token --sub alice | doorward token inspect -
  doorward token inspect --config doorward.toml @token.txt";

/// Say, check by check, why a token is accepted or refused, without printing it
///
/// Runs the server's own verification with the issuers of a configuration, or with the development
/// issuer of a data directory. Exit code 1: the token would be refused.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The token, `-` for standard input, or `@FILE`
    #[arg(value_name = "TOKEN|-|@FILE")]
    token: String,
    /// The configuration whose issuers are trusted [default: the development issuer]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The development server's data directory
    #[arg(
        long,
        value_name = "DIR",
        default_value = "data",
        conflicts_with = "config"
    )]
    data: PathBuf,
    /// An audience in place of the issuer's own, as a bundle may have
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audiences: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let token = AccessToken::new(super::check::secret(&args.token)?);
    let issuers = match &args.config {
        Some(file) => {
            let sources = Sources {
                file: Some(file.clone()),
                ..Sources::default()
            };
            Config::load(sources).map_err(Failure::usage)?.issuers
        }
        None => {
            server::prepare_data(&args.data, true).map_err(Failure::usage)?;
            vec![
                DevIssuer::open(&args.data)
                    .map_err(Failure::failed)?
                    .issuer_config(),
            ]
        }
    };
    let verifier = Arc::new(TokenVerifier::new(&issuers).map_err(Failure::usage)?);
    let asked = token.clone();
    let keys = server::block_on(async move { Ok(server::read_keys(&verifier, &asked).await) })
        .map_err(Failure::failed)?;
    let scope = TokenScope {
        issuers: None,
        audiences: (!args.audiences.is_empty()).then_some(args.audiences.as_slice()),
    };
    let inspection = inspect(&token, &keys, &scope, server::clock::now());
    let text = match args.json {
        true => serde_json::to_string(&inspection).map_err(Failure::failed)?,
        false => inspection.to_string(),
    };
    output::print(&format!("{}\n", text.trim_end()))?;
    Ok(match inspection.accepted {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}

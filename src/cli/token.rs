//! `doorward token`.

use std::path::PathBuf;

use super::{Exit, Failure, output};
use crate::{
    authn::{DevIssuer, Mint},
    model::SignedDuration,
    server,
};

const EXAMPLES: &str = "\
Examples:
  doorward token --sub alice --scope 'orders:read orders:write'
  doorward token --sub alice --claim tenant='\"acme\"' --claim roles='[\"clerk\"]' --ttl 1h
  doorward token --sub billing --client-id billing       a service that acts for itself";

/// Make an access token of the development issuer, and print it alone
///
/// Servers started with --dev and the same data directory accept it; no other server does.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Whom it is about (claim `sub`)
    #[arg(long, value_name = "SUBJECT", required = true)]
    sub: Option<String>,
    /// What it is good for, separated by spaces (claim `scope`)
    #[arg(
        long,
        value_name = "SCOPES",
        default_value = "",
        hide_default_value = true
    )]
    scope: String,
    /// A further claim, its value as JSON (text in quotes); repeatable
    #[arg(long = "claim", value_name = "NAME=JSON", value_parser = super::check::pair)]
    claims: Vec<(String, String)>,
    /// How long it lives
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    ttl: SignedDuration,
    /// The client it was issued to (claim `client_id`)
    #[arg(long, value_name = "CLIENT", default_value = "doorward-cli")]
    client_id: String,
    /// The development server's data directory
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Inspect(super::inspect::Args),
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    if let Some(Verb::Inspect(args)) = args.verb {
        return super::inspect::run(args);
    }
    server::prepare_data(&args.data, true).map_err(Failure::usage)?;
    let issuer = DevIssuer::open(&args.data).map_err(Failure::failed)?;
    let mint = Mint {
        sub: args.sub.unwrap_or_default(),
        scope: args.scope,
        client_id: args.client_id,
        ttl: args.ttl,
        claims: args.claims,
    };
    let minted = issuer.mint(&mint, server::clock::now());
    let token = minted.map_err(Failure::usage)?;
    output::print(&format!("{token}\n"))?;
    Ok(Exit::Ok)
}

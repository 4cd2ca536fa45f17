//! `doorward backup` and `doorward restore`.

use std::path::PathBuf;

use super::{Exit, Failure, output};
use crate::server;

/// Copy what a server stores; also while it runs
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The new directory of the copy
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// The server's data directory
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

/// Make a data directory of a backup
///
/// What was stored after the backup is lost, and with it perhaps revocations: access tokens issued
/// before the restore are taken as revoked.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The directory of the copy
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// The data directory to make; it must not have a ledger yet
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Go on accepting access tokens issued before the restore
    #[arg(long)]
    keep_tokens: bool,
}

pub(super) fn backup(args: BackupArgs) -> Result<Exit, Failure> {
    let records = server::backup(&args.data, &args.to).map_err(Failure::failed)?;
    let to = args.to.display();
    output::print(&format!("{records} records copied to {to}\n"))?;
    Ok(Exit::Ok)
}

pub(super) fn restore(args: RestoreArgs) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    let restored = server::restore(&args.from, &args.data, args.keep_tokens);
    let records = runtime.block_on(restored).map_err(Failure::failed)?;
    let told = match args.keep_tokens {
        true => "tokens issued before now are accepted still, revoked ones perhaps among them",
        false => "tokens issued before now are refused: their holders must log in again",
    };
    output::print(&format!("{records} records restored\n  {told}\n"))?;
    Ok(Exit::Ok)
}

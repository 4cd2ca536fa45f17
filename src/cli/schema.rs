//! `doorward schema`.

use super::{Exit, Failure, output};
use crate::policy::PRELUDE;

/// Look at schemas
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Print the types that Doorward adds to every schema (namespace `Doorward`)
    Prelude,
}

pub(super) fn run(verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Prelude => output::print(PRELUDE)?,
    }
    Ok(Exit::Ok)
}

//! Why the server does not run, in words that say what to change.

use std::{io, path::PathBuf};

use crate::{
    admin::RulesFault,
    audit::AuditError,
    authn::{DevFault, KeysFault},
    config::ListenAddress,
    store::StoreError,
};

/// Why the server does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`: {source}; choose another with `{flag}`")]
    Listen {
        /// The address.
        address: ListenAddress,
        /// The flag that sets it.
        flag: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The certificates of the listeners cannot be used.
    #[error("`[tls]`: {0}")]
    Tls(String),
    /// The data directory cannot be used.
    #[error("cannot use the data directory `{}`: {source}", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A development data directory for a server that is not one.
    #[error(
        "`{}` belongs to `--dev`, whose keys must not be trusted here: give another directory with `--data`",
        .0.display()
    )]
    DevData(PathBuf),
    /// The data directory of a real server for a development one.
    #[error(
        "`{}` is not a development directory: give an empty or new one with `--data`",
        .0.display()
    )]
    NotDevData(PathBuf),
    /// The decision log cannot be opened.
    #[error("cannot open the decision log: {0}")]
    Audit(AuditError),
    /// The keys of an issuer cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysFault),
    /// The development issuer cannot work.
    #[error(transparent)]
    DevIssuer(#[from] DevFault),
    /// What is stored cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// The rules for operators cannot be used.
    #[error(transparent)]
    Admin(#[from] RulesFault),
    /// Logging cannot start.
    #[error("{0}")]
    Log(String),
    /// The threads cannot be started.
    #[error("cannot start threads: {0}")]
    Threads(io::Error),
    /// A task that must run has died.
    #[error("the task `{name}` died: {why}")]
    Task {
        /// The task.
        name: &'static str,
        /// How.
        why: String,
    },
}

impl ServerError {
    pub(super) fn task(name: &'static str, why: impl Into<String>) -> Self {
        Self::Task {
            name,
            why: why.into(),
        }
    }
}

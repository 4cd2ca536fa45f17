//! Exit codes, which scripts rely on.

use std::process::ExitCode;

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done, or allowed.
    Ok = 0,
    /// Refused, unreachable, or broken.
    Failed = 1,
    /// The policies say no.
    Denied = 2,
    /// The policies are not valid.
    Invalid = 3,
    /// Cases of the bundle fail.
    CasesFailed = 4,
    /// Bad usage or configuration (`EX_USAGE`).
    Usage = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb gave up: a sentence for standard error, and the code.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
}

impl Failure {
    /// Something could not be done.
    pub(super) fn failed(message: impl ToString) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.to_string(),
        }
    }

    /// What was asked for or configured makes no sense.
    pub(super) fn usage(message: impl ToString) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.to_string(),
        }
    }
}

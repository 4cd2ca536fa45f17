//! Why no decision could be made.

use std::{fmt, time::Duration};

use super::{BundleName, canonical::NotCanonical, rejection::Rejection};

/// Why no decision could be made. Never an allow; `pep::status` says how each face answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request cannot be understood.
    Malformed(Vec<Violation>),
    /// Something is larger than its limit.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, in the unit of `what`.
        limit: usize,
    },
    /// No bundle of that name or host.
    UnknownBundle,
    /// No route of the bundle matches the HTTP request.
    NoRoute,
    /// The caller is not known.
    CallerUnknown(Rejection),
    /// The caller lacks a right.
    CallerLacksRight {
        /// The right.
        right: Right,
        /// The bundle it is lacking for.
        bundle: BundleName,
    },
    /// The subject's credential was not accepted.
    Unauthenticated(Rejection),
    /// What the request says of the resource contradicts what is stored (or declared) about it.
    ResourceMismatch {
        /// The attribute or parent that differs.
        path: String,
    },
    /// The revision asked for cannot be reached.
    Stale,
    /// The decision point cannot answer now.
    Unavailable {
        /// What is missing, for the operator.
        detail: String,
    },
    /// The caller's or the server's deadline passed.
    DeadlineExceeded,
    /// Too much at once.
    Overloaded,
    /// The caller asks more often than it may, whatever else the server has to do.
    RateLimited {
        /// When it may ask again.
        retry_after: Duration,
    },
}

impl Refusal {
    /// One thing wrong with the request.
    pub fn malformed(
        field: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::Malformed(vec![Violation {
            field: field.into(),
            code,
            message: message.into(),
        }])
    }

    /// The kind of refusal, as records, cases and metrics have it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::UnknownBundle => "unknown_bundle",
            Self::NoRoute => "no_route",
            Self::CallerUnknown(_) => "caller_unknown",
            Self::CallerLacksRight { .. } => "caller_lacks_right",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::ResourceMismatch { .. } => "resource_mismatch",
            Self::Stale => "stale",
            Self::Unavailable { .. } => "unavailable",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Overloaded => "overloaded",
            Self::RateLimited { .. } => "rate_limited",
        }
    }

    /// The precise reason, as records have it: for the operator, not for the caller.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(violations) => violations.first().map_or("malformed", |v| v.code),
            Self::CallerUnknown(rejection) | Self::Unauthenticated(rejection) => {
                rejection.code.as_str()
            }
            other => other.code(),
        }
    }
}

impl From<NotCanonical> for Refusal {
    fn from(why: NotCanonical) -> Self {
        Self::malformed(format!("http.{}", why.part), "not_canonical", why.message)
    }
}

impl fmt::Display for Refusal {
    /// The operator's sentence; what a caller may read is `pep::status`' business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(violations) => {
                f.write_str("malformed request")?;
                violations
                    .iter()
                    .enumerate()
                    .try_for_each(|(n, violation)| {
                        write!(f, "{} {violation}", if n == 0 { ":" } else { ";" })
                    })
            }
            Self::TooLarge { what, limit } => write!(f, "{what} over the limit of {limit}"),
            Self::UnknownBundle => f.write_str("no such bundle"),
            Self::NoRoute => f.write_str("no route of the bundle matches"),
            Self::CallerUnknown(rejection) => write!(f, "caller refused: {rejection}"),
            Self::CallerLacksRight { right, bundle } => {
                write!(f, "caller lacks the right `{right}` for bundle `{bundle}`")
            }
            Self::Unauthenticated(rejection) => write!(f, "subject refused: {rejection}"),
            Self::ResourceMismatch { path } => {
                write!(f, "`{path}` differs from what is stored")
            }
            Self::Stale => f.write_str("the revision asked for is not here"),
            Self::Unavailable { detail } => write!(f, "cannot decide now: {detail}"),
            Self::DeadlineExceeded => f.write_str("deadline exceeded"),
            Self::Overloaded => f.write_str("overloaded"),
            Self::RateLimited { retry_after } => {
                write!(
                    f,
                    "the caller asks too often; it may again in {retry_after:?}"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the offending field, as `context.ip` or `entities[2].attributes.owner`.
    pub field: String,
    /// The kind of fault, stable for scripts.
    pub code: &'static str,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.message)
    }
}

/// What a caller may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Ask about the holder of an access token.
    Check,
    /// Ask about a subject it answers for.
    Vouch,
    /// State what a gateway knows: route context, peer principals, verified metadata.
    Gateway,
    /// State that the token's proof of possession was checked.
    PopVerified,
    /// See why a decision came out as it did.
    Explain,
    /// See the values that decided as well.
    ExplainValues,
    /// Change stored entities.
    Directory,
    /// Revoke tokens and sessions.
    Revoke,
    /// Read decision records.
    Audit,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 9] = [
        Self::Check,
        Self::Vouch,
        Self::Gateway,
        Self::PopVerified,
        Self::Explain,
        Self::ExplainValues,
        Self::Directory,
        Self::Revoke,
        Self::Audit,
    ];
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "check",
            Self::Vouch => "vouch",
            Self::Gateway => "gateway",
            Self::PopVerified => "pop_verified",
            Self::Explain => "explain",
            Self::ExplainValues => "explain_values",
            Self::Directory => "directory",
            Self::Revoke => "revoke",
            Self::Audit => "audit",
        })
    }
}

//! Generated code, and what may be printed of it.

use std::fmt;

#[expect(clippy::allow_attributes, reason = "generated code has its own")]
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("doorward.v1");
}

/// The encoded descriptors of `proto/`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/doorward.bin"));

impl fmt::Debug for v1::CheckRequest {
    /// Neither the token nor what is said of anyone is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckRequest")
            .field("bundle", &self.bundle)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::CheckBatchRequest {
    /// Neither the token nor what is asked is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckBatchRequest")
            .field("bundle", &self.bundle)
            .field("checks", &self.checks.len())
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::check_batch_request::Subject {
    /// The token is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        v1::check_request::Subject::from(self.clone()).fmt(f)
    }
}

impl From<v1::check_batch_request::Subject> for v1::check_request::Subject {
    /// The subject of a batch, as that of one of its questions.
    fn from(it: v1::check_batch_request::Subject) -> Self {
        use v1::check_batch_request::Subject as Of;
        match it {
            Of::AccessToken(token) => Self::AccessToken(token),
            Of::Entity(entity) => Self::Entity(entity),
            Of::Anonymous(nobody) => Self::Anonymous(nobody),
        }
    }
}

impl fmt::Debug for v1::check_request::Subject {
    /// The token is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessToken(_) => "AccessToken(***)",
            Self::Entity(_) => "Entity(…)",
            Self::Anonymous(_) => "Anonymous",
        })
    }
}

impl fmt::Debug for v1::HttpQuestion {
    /// Headers and query may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpQuestion")
            .field("method", &self.method)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::Seen {
    /// Values are facts about someone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::Flip {
    /// Values are facts about someone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flip")
            .field("facts", &self.facts)
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::Fact {
    /// Values are facts about someone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fact")
            .field("path", &self.path)
            .field("change", &self.change())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::AuditRecord {
    /// What it tells of people is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditRecord")
            .field("sequence", &self.sequence)
            .field("decision_id", &self.decision_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::RecordFilter {
    /// Names of people are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordFilter")
            .field("bundle", &self.bundle)
            .finish_non_exhaustive()
    }
}

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

//! The vocabulary of Doorward: plain types that every layer shares.
//!
//! **Invariant:** does no I/O, reads no clock, knows neither Cedar nor the wire.

mod answer;
mod ask;
mod bearer;
mod canonical;
mod challenge;
mod claims;
mod facts;
mod id;
mod json;
#[cfg(feature = "server")]
mod object;
mod record;
mod refusal;
mod rejection;
mod value;

pub use answer::{
    Cause, Challenge, Decision, Effect, EvaluationFault, Obligation, Outcome, Reason,
};
pub use ask::{
    AccessRequest, AccessToken, BatchRequest, CallerCredential, EntityFacts, Face, GatewayFacts,
    HttpAsk, NamedQuestion, Question, Subject,
};
#[cfg(feature = "server")]
pub(crate) use canonical::percent_decode;
pub use canonical::{CanonicalRequest, NotCanonical};
pub use challenge::bearer_error;
pub use claims::{Actor, Claims};
pub use facts::{AskedFacts, AskedQuestion, Evidence, Facts, SubjectFacts, TokenFacts};
pub use id::{BundleName, CallerName, DecisionId, Digest, IssuerName, Revision};
pub use jiff::{SignedDuration, Timestamp};
pub use json::{JsonFault, JsonLimits, parse_json};
#[cfg(feature = "server")]
pub use object::{JsonObject, MemberName, NoJsonObject};
pub use record::{Record, RecordOutcome};
pub use refusal::{Refusal, Right, Violation};
pub use rejection::{Rejection, RejectionCode};
pub use value::{EntityRef, Members, Value, members_to_json};

//! The faces: each speaks one protocol of enforcement points, and none of them decides.
//!
//! A face turns the wire into an `AccessRequest`, asks [`crate::pdp::Pdp::answer`], and sends what
//! it gets; [`status`] is the one table from refusals to answers.

pub mod admission;
pub mod authzen;
mod bearer;
mod challenge;
pub mod ext_authz;
pub mod forward_auth;
pub mod grpc;
mod guard;
mod http;
mod identity;
pub mod peer;
mod problem;
pub mod rim;
pub mod status;
mod timeout;

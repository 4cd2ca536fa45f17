//! Who asks: a credential becomes an [`Identity`] or a [`Caller`], or is rejected.
//!
//! A token passes `compact` (three strict segments) → `header` → `claims` (what the payload says) →
//! the issuer's `ring` of keys (signature) → `profile` (is it an access token at all) → the checks
//! of `verify` (audience, times). Only [`TrustedKeys::verify`] makes an [`Identity`].
//!
//! **Invariant:** verification does no I/O, reads no clock, never blocks; what a token says selects
//! nothing but one of the keys that the issuer's own ring holds.

mod bearer;
mod cache;
mod caller;
mod claims;
mod compact;
mod dev;
mod fetch;
mod header;
mod identity;
mod inspect;
mod keys;
mod profile;
mod refresh;
mod ring;
mod source;
mod suppose;
mod verify;

#[cfg(test)]
mod testing;

pub use bearer::bearer;
pub use caller::{Caller, Callers};
pub use dev::{DevFault, DevIssuer, Mint};
pub use fetch::FetchFault;
pub use identity::Identity;
pub use inspect::{Check, Inspection, Step, StepOutcome, inspect};
pub use keys::{KeyHealth, KeysFault, TokenVerifier, TrustedKeys};
pub use refresh::KeyTask;
pub use ring::{KeyRing, RingFault, SkippedKey};
pub use source::SourceFault;
pub use suppose::suppose;
pub use verify::TokenScope;

use crate::model::{Rejection, RejectionCode};

/// Longest accepted token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// Longest accepted header segment, in bytes as sent.
const MAX_HEADER: usize = 4 * 1024;

/// Shorthand for the module's only kind of failure.
fn reject<T>(code: RejectionCode, detail: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::new(code, detail))
}

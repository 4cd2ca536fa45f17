//! Who asks: a credential becomes an [`Identity`] or a [`Caller`], or is rejected.
//!
//! A token passes `compact` (three strict segments) → `header` → the issuer's `ring` of keys
//! (signature) → `profile` (is it an access token at all) → `claims` (what it says, typed) → the
//! checks of `verify` (bundle, audience, times). Only [`TrustedKeys::verify`] makes an [`Identity`];
//! `cache` spares it the signature of a token it has seen, and [`inspect`] tells of each check.
//!
//! `keys` holds what is trusted; `refresh` runs one task per issuer that reads its `source`, over
//! the network by `fetch`. A request pins one generation ([`TokenVerifier::pin`]).
//!
//! **Invariant:** verification does no I/O, reads no clock, never blocks; what a token says selects
//! nothing but one of the keys that the issuer's own ring holds.

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

pub use caller::{Caller, Callers};
pub use dev::{DevFault, DevIssuer, Mint};
pub use fetch::FetchFault;
pub use identity::Identity;
pub use inspect::{Check, Inspection, Step, StepOutcome, inspect};
pub use keys::{KeyHealth, KeysFault, TokenVerifier, TrustedKeys};
pub use refresh::KeyTask;
pub use ring::{KeyRing, RingFault, SkippedKey};
pub use source::{SourceFault, jwks_uri};
pub use suppose::{suppose, unverified};
pub use verify::{Signature, TokenScope};

use crate::model::{Rejection, RejectionCode};

/// Longest accepted token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// Longest accepted header segment, in bytes as sent.
const MAX_HEADER: usize = 4 * 1024;

/// Shorthand for the module's only kind of failure.
fn reject<T>(code: RejectionCode, detail: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection::new(code, detail))
}

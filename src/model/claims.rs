//! What a token says, once someone has vouched for it.

use super::{
    IssuerName, Timestamp,
    value::{Members, Value},
};

/// The claims of an access token, read and typed as far as the standards type them.
///
/// Holding `Claims` says nothing about trust: only `authn` makes an `Identity` of them; rehearsals
/// make them up.
#[derive(Clone, PartialEq)]
pub struct Claims {
    /// The operator's name of the issuer.
    pub issuer: IssuerName,
    /// `iss` as the token has it (RFC 7519 §4.1.1).
    pub iss: String,
    /// `sub` (RFC 7519 §4.1.2), unique per issuer only.
    pub sub: String,
    /// `client_id` (RFC 9068 §2.2), or what the provider calls it.
    pub client_id: Option<String>,
    /// `scope` split at spaces (RFC 8693 §4.2), or `scp`.
    pub scopes: Vec<String>,
    /// `acr` (RFC 9470 §6).
    pub acr: Option<String>,
    /// `amr` (RFC 8176).
    pub amr: Option<Vec<String>>,
    /// `auth_time` (RFC 9470 §6).
    pub auth_time: Option<Timestamp>,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `jti`.
    pub jti: Option<String>,
    /// The outermost actor of `act` (RFC 8693 §4.1).
    pub actor: Option<Actor>,
    /// Every claim by name, for the bundle's mapping.
    pub all: Members,
}

/// Who acts on the subject's behalf (RFC 8693 §4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    /// The actor's `sub`.
    pub subject: String,
    /// The actor's `iss`, where it differs from the token's.
    pub issuer: Option<String>,
}

impl Claims {
    /// A claim by its literal name, else, when `path` starts with `/`, by JSON pointer.
    pub fn get(&self, path: &str) -> Option<&Value> {
        match self.all.get(path) {
            Some(value) => Some(value),
            None => {
                let first = path.strip_prefix('/')?;
                let (name, rest) = match first.split_once('/') {
                    Some((name, rest)) => (name, Some(rest)),
                    None => (first, None),
                };
                let name = name.replace("~1", "/").replace("~0", "~");
                let value = self.all.get(&name)?;
                match rest {
                    None => Some(value),
                    Some(rest) => value.pointer(&format!("/{rest}")),
                }
            }
        }
        .filter(|value| **value != Value::Null)
    }
}

impl std::fmt::Debug for Claims {
    /// Claims are personal data: only the issuer's name is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

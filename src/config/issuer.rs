//! `[[issuer]]`: whom the server trusts to sign access tokens.

use std::{path::PathBuf, time::Duration};

use crate::model::IssuerName;

/// A trusted issuer of access tokens.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The operator's name of it.
    pub name: IssuerName,
    /// Its `iss`, compared byte for byte.
    pub issuer: String,
    /// The audiences by which its tokens mean this service; never empty.
    pub audiences: Vec<String>,
    /// The signature algorithms it may use; never empty.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// How its access tokens are told from its other tokens.
    pub profile: Profile,
    /// The provider's product, whose habits are known.
    pub preset: Option<Preset>,
    /// Tolerated difference of clocks.
    pub leeway: Duration,
    /// Longest accepted `exp - iat`.
    pub max_lifetime: Duration,
}

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1); asymmetric only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are RFC 7518's")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A JWKS file.
    File(PathBuf),
    /// A JWKS given in place (the development issuer's).
    Inline(String),
}

/// How an issuer marks its access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 9068: `typ` is `at+jwt`.
    AtJwt,
    /// `typ` is absent or `JWT`; a positive mark in the payload is needed.
    Jwt,
}

/// A provider whose habits are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the products'")]
pub enum Preset {
    Keycloak,
    Entra,
    Auth0,
    Okta,
    Cognito,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {}

impl RawIssuer {
    pub(super) fn read(self, _base_dir: &std::path::Path) -> Result<IssuerConfig, String> {
        Err("not read yet".to_owned())
    }
}

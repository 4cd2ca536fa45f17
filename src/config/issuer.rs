//! `[[issuer]]`: whom the server trusts to sign access tokens.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use url::Url;

use crate::model::{IssuerName, SignedDuration};

use super::{
    fetch::{FetchConfig, RawFetch},
    text::{check_name, quoted},
};

/// Most clock difference that an operator may tolerate.
const MAX_LEEWAY: SignedDuration = SignedDuration::from_secs(60);
const DEFAULT_LEEWAY: SignedDuration = SignedDuration::from_secs(30);
/// Access tokens are meant to be short-lived (RFC 9700 §2.2); a day covers every provider's default.
const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// A flood of unknown `kid`s costs one read of the keys in this time.
const DEFAULT_REFETCH: SignedDuration = SignedDuration::from_secs(30);

const NO_FIREBASE: &str = "Firebase issues ID tokens only, and an ID token says who signed in, not \
     what may be called; trust an authorization server that issues access tokens for its users";

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
    /// Tolerated difference of clocks, at most 60 seconds.
    pub leeway: Duration,
    /// Longest accepted `exp - iat`.
    pub max_lifetime: Duration,
    /// Least time between two reads of its keys that tokens ask for.
    pub key_refetch: Duration,
}

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1); asymmetric only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The algorithm a JOSE header names, compared byte for byte.
    ///
    /// `Ed25519` (RFC 9864 §2.2) is the fully specified name of the only curve that `EdDSA` means
    /// here.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "Ed25519" => Some(Self::EdDSA),
            name => Self::ALL.into_iter().find(|known| known.as_str() == name),
        }
    }

    /// The name in JOSE headers and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A JWKS file.
    File(PathBuf),
    /// A JWKS given in place (the development issuer's).
    Inline(String),
    /// A JWKS at a URL.
    Url {
        /// Where.
        url: Url,
        /// How it may be reached.
        fetch: FetchConfig,
    },
    /// A JWKS at the `jwks_uri` of the issuer's discovery document (OpenID Connect Discovery §4).
    Discovery {
        /// The issuer as a URL.
        issuer: Url,
        /// How it may be reached.
        fetch: FetchConfig,
    },
}

/// How an issuer marks its access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Profile {
    /// RFC 9068: `typ` is `at+jwt`.
    #[serde(rename = "at+jwt")]
    AtJwt,
    /// `typ` is absent or `JWT`; a positive mark in the payload is needed.
    #[serde(rename = "jwt")]
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

impl Preset {
    fn read(name: &str) -> Result<Self, String> {
        Ok(match name {
            "keycloak" => Self::Keycloak,
            "entra" => Self::Entra,
            "auth0" => Self::Auth0,
            "okta" => Self::Okta,
            "cognito" => Self::Cognito,
            "firebase" => return Err(NO_FIREBASE.to_owned()),
            other => {
                return Err(format!(
                    "`preset = {}`: expected keycloak, entra, auth0, okta or cognito",
                    quoted(other)
                ));
            }
        })
    }
}

/// `[[issuer]]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawIssuer {
    name: String,
    issuer: String,
    #[serde(default)]
    audiences: Vec<String>,
    algorithms: Option<Vec<String>>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    allow_addresses: Vec<String>,
    #[serde(default)]
    allow_origins: Vec<String>,
    #[serde(default)]
    allow_http_loopback: bool,
    profile: Option<Profile>,
    preset: Option<String>,
    leeway: Option<SignedDuration>,
    max_lifetime: Option<SignedDuration>,
    key_refetch: Option<SignedDuration>,
}

impl RawIssuer {
    /// Checks what was written; relative paths are meant from `base_dir`.
    ///
    /// # Errors
    /// What is wrong, beginning with the issuer's name.
    pub fn read(self, base_dir: &Path) -> Result<IssuerConfig, String> {
        check_name("issuer", &self.name)?;
        let name = self.name.clone();
        self.checked(base_dir)
            .map_err(|fault| format!("issuer `{name}`: {fault}"))
    }

    fn checked(self, base_dir: &Path) -> Result<IssuerConfig, String> {
        if self.issuer.is_empty() {
            return Err("`issuer` is empty; write the `iss` of its tokens".to_owned());
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(
                "`audiences` is missing or has an empty one; name the audience by which tokens \
                 mean this service, or every token of the issuer would be accepted"
                    .to_owned(),
            );
        }
        if self.issuer.starts_with("https://securetoken.google.com/") {
            return Err(NO_FIREBASE.to_owned());
        }
        let preset = self.preset.as_deref().map(Preset::read).transpose()?;
        let fetch = RawFetch {
            ca_file: self.ca_file,
            allow_addresses: self.allow_addresses,
            allow_origins: self.allow_origins,
            allow_http_loopback: self.allow_http_loopback,
        };
        let keys = match (self.jwks_file, self.jwks_url) {
            (Some(_), Some(_)) => {
                return Err("both `jwks_file` and `jwks_url` are given; keep one".to_owned());
            }
            (Some(_), None) if fetch.is_set() => {
                return Err(
                    "with `jwks_file` nothing is fetched; drop `ca_file` and the `allow_…` keys"
                        .to_owned(),
                );
            }
            (Some(file), None) => KeySource::File(base_dir.join(file)),
            (None, Some(url)) => {
                let fetch = fetch.read(base_dir)?;
                KeySource::Url {
                    url: fetch
                        .check_url(&url)
                        .map_err(|fault| format!("`jwks_url` {fault}"))?,
                    fetch,
                }
            }
            (None, None) => {
                let fetch = fetch.read(base_dir)?;
                KeySource::Discovery {
                    issuer: fetch.check_url(&self.issuer).map_err(|fault| {
                        format!(
                            "`issuer` {fault}; for discovery it must be a URL, else give \
                             `jwks_file` or `jwks_url`"
                        )
                    })?,
                    fetch,
                }
            }
        };
        Ok(IssuerConfig {
            name: IssuerName::new(self.name),
            issuer: self.issuer,
            audiences: self.audiences,
            algorithms: read_algorithms(self.algorithms)?,
            keys,
            profile: self.profile.unwrap_or(match preset {
                Some(_) => Profile::Jwt,
                None => Profile::AtJwt,
            }),
            preset,
            leeway: bounded(
                "leeway",
                self.leeway.unwrap_or(DEFAULT_LEEWAY),
                SignedDuration::ZERO,
                MAX_LEEWAY,
            )?,
            max_lifetime: bounded(
                "max_lifetime",
                self.max_lifetime.unwrap_or(DEFAULT_LIFETIME),
                SignedDuration::from_secs(1),
                SignedDuration::from_hours(366 * 24),
            )?,
            key_refetch: bounded(
                "key_refetch",
                self.key_refetch.unwrap_or(DEFAULT_REFETCH),
                SignedDuration::from_secs(1),
                SignedDuration::from_mins(10),
            )?,
        })
    }
}

fn read_algorithms(names: Option<Vec<String>>) -> Result<Vec<Algorithm>, String> {
    let Some(names) = names else {
        return Ok(vec![Algorithm::RS256, Algorithm::ES256]);
    };
    if names.is_empty() {
        return Err("`algorithms` is empty; leave it out for RS256 and ES256".to_owned());
    }
    names
        .iter()
        .map(|name| {
            Algorithm::from_name(name).ok_or_else(|| {
                let why = match name.as_str() {
                    "HS256" | "HS384" | "HS512" => {
                        "is symmetric: whoever can check such a token can forge one"
                    }
                    none if none.eq_ignore_ascii_case("none") => "means unsigned",
                    _ => "is not known",
                };
                let known = Algorithm::ALL.map(Algorithm::as_str).join(", ");
                format!("algorithm {} {why}; use one of {known}", quoted(name))
            })
        })
        .collect()
}

fn bounded(
    key: &str,
    value: SignedDuration,
    least: SignedDuration,
    most: SignedDuration,
) -> Result<Duration, String> {
    if value < least || value > most {
        return Err(format!(
            "`{key} = \"{value:#}\"` is out of bounds; use {least:#} to {most:#}"
        ));
    }
    Duration::try_from(value).map_err(|_| format!("`{key}` is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "corp"
        issuer = "https://id.example.com/"
        audiences = ["orders-api"]
        jwks_file = "keys.json"
    "#;

    fn read(text: &str) -> Result<IssuerConfig, String> {
        toml::from_str::<RawIssuer>(text)
            .map_err(|fault| fault.to_string())?
            .read(Path::new("/etc/doorward"))
    }

    #[track_caller]
    fn check_refused(extra: &str, message: &str) {
        let fault = read(&format!("{GOOD}\n{extra}")).unwrap_err();
        assert!(fault.contains(message), "{fault}");
    }

    #[test]
    fn defaults_are_strict() {
        let issuer = read(GOOD).unwrap();
        assert_eq!(issuer.profile, Profile::AtJwt);
        assert_eq!(issuer.algorithms, [Algorithm::RS256, Algorithm::ES256]);
        assert_eq!(issuer.leeway, Duration::from_secs(30));
        assert!(
            matches!(issuer.keys, KeySource::File(file) if file == Path::new("/etc/doorward/keys.json"))
        );
    }

    #[test]
    fn a_preset_implies_the_profile_its_provider_uses() {
        let issuer = read(&format!("{GOOD}\npreset = \"keycloak\"")).unwrap();
        assert_eq!(issuer.profile, Profile::Jwt);
        let issuer = read(&format!(
            "{GOOD}\npreset = \"auth0\"\nprofile = \"at+jwt\"\nleeway = \"0s\""
        ))
        .unwrap();
        assert_eq!(issuer.profile, Profile::AtJwt);
        assert_eq!(issuer.leeway, Duration::ZERO);
    }

    #[test]
    fn what_weakens_trust_is_refused_with_its_reason() {
        check_refused("algorithms = [\"HS256\"]", "is symmetric");
        check_refused("algorithms = [\"None\"]", "means unsigned");
        check_refused(
            "algorithms = [\"ES256K\"]",
            "is not known; use one of RS256",
        );
        check_refused("algorithms = []", "`algorithms` is empty");
        check_refused("leeway = \"61s\"", "`leeway = \"1m 1s\"` is out of bounds");
        check_refused("leeway = \"-1s\"", "out of bounds");
        check_refused("max_lifetime = \"0s\"", "out of bounds");
        check_refused("preset = \"firebase\"", "ID tokens only");
        let firebase = GOOD.replace("id.example.com", "securetoken.google.com/my-project");
        assert!(read(&firebase).unwrap_err().contains("ID tokens only"));
        check_refused("preset = \"other\"", "expected keycloak");
        check_refused("profile = \"id\"", "unknown variant");
        check_refused("verify = false", "unknown field");
    }

    #[test]
    fn b07_an_issuer_without_audience_is_refused() {
        for audiences in ["", "audiences = []", "audiences = [\"\"]"] {
            let text = GOOD.replace("audiences = [\"orders-api\"]", audiences);
            let fault = read(&text).unwrap_err();
            assert!(
                fault.contains("issuer `corp`: `audiences` is missing"),
                "{fault}"
            );
        }
    }

    #[test]
    fn keys_come_from_a_file_a_url_or_discovery() {
        let source = |text: &str| {
            read(&GOOD.replace("jwks_file = \"keys.json\"", text)).map(|issuer| issuer.keys)
        };
        assert!(matches!(source(""), Ok(KeySource::Discovery { .. })));
        let url = source("jwks_url = \"https://id.example.com/keys\"");
        assert!(matches!(url, Ok(KeySource::Url { .. })));
        let fault = source("jwks_url = \"http://id.example.com/keys\"").unwrap_err();
        assert!(fault.contains("`jwks_url` is not https"), "{fault}");
        check_refused("jwks_url = \"https://a.example/\"", "both `jwks_file` and");
        check_refused("ca_file = \"ca.pem\"", "nothing is fetched");
        let urn = GOOD
            .replace("https://id.example.com/", "urn:corp")
            .replace("jwks_file = \"keys.json\"", "");
        assert!(
            read(&urn)
                .unwrap_err()
                .contains("for discovery it must be a URL")
        );
    }
}

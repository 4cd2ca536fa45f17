//! `[[caller]]`: the services and gateways that may ask.

use std::{collections::BTreeSet, fmt};

use ipnet::IpNet;
use serde::Deserialize;

use crate::model::{BundleName, CallerName, Digest, IssuerName, Right};

use super::{BundleConfig, fetch::read_network, issuer::IssuerConfig, text::check_name};

/// A known caller and what it may do.
#[derive(Clone)]
pub struct CallerConfig {
    /// The operator's name of it.
    pub name: CallerName,
    /// How it proves who it is.
    pub proof: Proof,
    /// The bundles it may ask; `None`: all.
    pub bundles: Option<Vec<BundleName>>,
    /// What it may do.
    pub may: BTreeSet<Right>,
    /// What it may vouch for.
    pub vouch: VouchScope,
}

/// What a caller must present: everything that is given here, and at least one of it.
#[derive(Clone, Default)]
pub struct Proof {
    /// The SHA-256 of a bearer secret.
    pub token_sha256: Option<Digest>,
    /// A token of a trusted issuer.
    pub token: Option<TokenProof>,
    /// A subject alternative name of its client certificate, compared byte for byte.
    pub mtls_san: Option<String>,
    /// The user it runs as, on a Unix socket.
    pub unix_uid: Option<u32>,
    /// The network it asks from.
    pub cidr: Option<IpNet>,
}

/// The access token by which a caller proves who it is.
#[derive(Clone, Debug)]
pub struct TokenProof {
    /// Whose token.
    pub issuer: IssuerName,
    /// The audience of tokens for callers; never one of those for subjects.
    pub audience: String,
    /// The scope it must have.
    pub scope: String,
    /// Its `sub`; `None`: any.
    pub subject: Option<String>,
}

impl fmt::Debug for CallerConfig {
    /// What a caller must present is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerConfig")
            .field("name", &self.name)
            .field("bundles", &self.bundles)
            .field("may", &self.may)
            .field("vouch", &self.vouch)
            .finish_non_exhaustive()
    }
}

/// What a caller with the right `vouch` may assert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VouchScope {
    /// The entity types of subjects it may name; empty: every type.
    #[serde(default)]
    pub types: Vec<String>,
    /// Whether it may state their parents.
    #[serde(default)]
    pub parents: bool,
}

/// `[[caller]]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCaller {
    name: String,
    token_sha256: Option<String>,
    mtls_san: Option<String>,
    unix_uid: Option<u32>,
    cidr: Option<String>,
    issuer: Option<String>,
    caller_audience: Option<String>,
    scope: Option<String>,
    subject: Option<String>,
    bundles: Option<Vec<String>>,
    may: Option<BTreeSet<Right>>,
    vouch: Option<VouchScope>,
}

impl RawCaller {
    /// Checks what was written.
    ///
    /// # Errors
    /// What is wrong, beginning with the caller's name.
    pub fn read(self) -> Result<CallerConfig, String> {
        check_name("caller", &self.name)?;
        let name = self.name.clone();
        self.checked()
            .map_err(|fault| format!("caller `{name}`: {fault}"))
    }

    fn checked(self) -> Result<CallerConfig, String> {
        if self.name == "anonymous" {
            return Err("the name `anonymous` is taken by callers without a credential".to_owned());
        }
        let proof = Proof {
            token_sha256: self.token_sha256.as_deref().map(read_sha256).transpose()?,
            token: match (self.issuer, self.caller_audience, self.scope, self.subject) {
                (None, None, None, None) => None,
                (Some(issuer), Some(audience), Some(scope), subject)
                    if !audience.is_empty() && !scope.is_empty() =>
                {
                    Some(TokenProof {
                        issuer: IssuerName::new(issuer),
                        audience,
                        scope,
                        subject,
                    })
                }
                _ => {
                    return Err(
                        "a token needs `issuer`, `caller_audience` and `scope`, all three"
                            .to_owned(),
                    );
                }
            },
            mtls_san: self.mtls_san.filter(|san| !san.is_empty()),
            unix_uid: self.unix_uid,
            cidr: self
                .cidr
                .map(|text| read_network("cidr", &text))
                .transpose()?,
        };
        proof.check()?;
        let bundles = match self.bundles {
            Some(names) if names.is_empty() => {
                return Err("`bundles` is empty; leave it out to mean every bundle".to_owned());
            }
            Some(names) => {
                for name in &names {
                    check_name("bundle", name)?;
                }
                Some(names.into_iter().map(BundleName::new).collect())
            }
            None => None,
        };
        let may = self.may.unwrap_or_else(|| BTreeSet::from([Right::Check]));
        if may.is_empty() {
            return Err("`may` is empty; leave it out to mean `check`".to_owned());
        }
        if self.vouch.is_some() && !may.contains(&Right::Vouch) {
            return Err("`vouch` is given, but `may` lacks \"vouch\"".to_owned());
        }
        Ok(CallerConfig {
            name: CallerName::new(self.name),
            proof,
            bundles,
            may,
            vouch: self.vouch.unwrap_or_default(),
        })
    }
}

impl Proof {
    fn check(&self) -> Result<(), String> {
        if self.token_sha256.is_some() && self.token.is_some() {
            return Err(
                "one bearer cannot be both a secret and a token; keep `token_sha256` or `issuer`"
                    .to_owned(),
            );
        }
        if self.unix_uid.is_some() && (self.cidr.is_some() || self.mtls_san.is_some()) {
            return Err(
                "a Unix socket has no network and no TLS; drop `unix_uid` or the others".to_owned(),
            );
        }
        let nothing = self.token_sha256.is_none()
            && self.token.is_none()
            && self.mtls_san.is_none()
            && self.unix_uid.is_none()
            && self.cidr.is_none();
        if nothing {
            return Err(
                "nothing says how it proves who it is; give `token_sha256`, `mtls_san`, \
                 `unix_uid`, `cidr`, or `issuer` with `caller_audience` and `scope`"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Checks what callers and issuers say of each other.
///
/// # Errors
/// A caller whose tokens a subject could present, or of an issuer that is not trusted.
pub(super) fn check_caller_tokens(
    callers: &[CallerConfig],
    issuers: &[IssuerConfig],
    bundles: &[BundleConfig],
) -> Result<(), String> {
    let of_subjects: BTreeSet<&String> = issuers
        .iter()
        .flat_map(|issuer| &issuer.audiences)
        .chain(
            bundles
                .iter()
                .flat_map(|bundle| bundle.audiences.iter().flatten()),
        )
        .collect();
    for caller in callers {
        let Some(token) = &caller.proof.token else {
            continue;
        };
        let name = &caller.name;
        if !issuers.iter().any(|issuer| issuer.name == token.issuer) {
            return Err(format!(
                "caller `{name}`: `issuer`: no issuer `{}`",
                token.issuer
            ));
        }
        if of_subjects.contains(&token.audience) {
            return Err(format!(
                "caller `{name}`: `caller_audience` is also an audience of subjects' tokens, so \
                 any of them could ask as this caller; give callers an audience of their own"
            ));
        }
    }
    Ok(())
}

/// Reads 64 hexadecimal digits.
fn read_sha256(text: &str) -> Result<Digest, String> {
    let wrong = || {
        format!(
            "`token_sha256` has {} characters or is not hexadecimal; write the 64 digits that \
             `printf %s \"$SECRET\" | sha256sum` prints",
            text.chars().count()
        )
    };
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(Digest::new(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn read(text: &str) -> Result<CallerConfig, String> {
        toml::from_str::<RawCaller>(text)
            .map_err(|fault| fault.to_string())?
            .read()
    }

    #[track_caller]
    fn check_refused(text: &str, message: &str) {
        let fault = read(text).unwrap_err();
        assert!(fault.contains(message), "{fault}");
        assert!(!fault.contains(SHA), "{fault}");
    }

    #[test]
    fn a_caller_may_check_unless_more_is_said() {
        let caller = read(&format!("name = \"api\"\ntoken_sha256 = \"{SHA}\"")).unwrap();
        assert_eq!(caller.may, BTreeSet::from([Right::Check]));
        assert_eq!(caller.proof.token_sha256.unwrap().to_string(), SHA);
        assert_eq!(caller.bundles, None);
    }

    #[test]
    fn rights_and_scopes_are_read() {
        let caller = read(&format!(
            "name = \"api\"\ntoken_sha256 = \"{SHA}\"\nbundles = [\"orders\"]\n\
             may = [\"check\", \"vouch\"]\nvouch = {{ types = [\"User\"], parents = true }}"
        ))
        .unwrap();
        assert_eq!(caller.bundles, Some(vec![BundleName::new("orders")]));
        assert!(caller.may.contains(&Right::Vouch));
        assert_eq!(caller.vouch.types, ["User"]);
        assert!(caller.vouch.parents);
    }

    #[test]
    fn callers_that_cannot_prove_themselves_or_say_nonsense_are_refused() {
        check_refused("name = \"api\"", "nothing says how it proves who it is");
        check_refused("name = \"A b\"", "caller name `A b` must be");
        let good = format!("name = \"api\"\ntoken_sha256 = \"{SHA}\"\n");
        check_refused(&good.replace("api", "anonymous"), "is taken");
        check_refused(&good.replace("2bb", "2b"), "has 63 characters");
        check_refused(&good.replace("2bb", "2bx"), "not hexadecimal");
        check_refused(&format!("{good}bundles = []"), "`bundles` is empty");
        check_refused(&format!("{good}may = []"), "`may` is empty");
        check_refused(&format!("{good}may = [\"all\"]"), "unknown variant");
        check_refused(&format!("{good}vouch = {{}}"), "`may` lacks \"vouch\"");
        check_refused(&format!("{good}admin = true"), "unknown field");
        check_refused(&format!("{good}cidr = \"10.0.0.1/8\""), "write 10.0.0.0/8");
        check_refused(&format!("{good}issuer = \"corp\""), "all three");
        let token = "issuer = \"corp\"\ncaller_audience = \"pdp\"\nscope = \"ask\"\n";
        check_refused(&format!("{good}{token}"), "both a secret and a token");
        check_refused(
            &format!("name = \"api\"\n{}", token.replace("ask", "")),
            "all three",
        );
        check_refused(
            "name = \"api\"\nunix_uid = 7\ncidr = \"10.0.0.0/8\"",
            "has no network",
        );
        check_refused("name = \"api\"\nmtls_san = \"\"", "nothing says");
    }

    #[test]
    fn proofs_are_read() {
        let caller = read(
            "name = \"gw\"\nissuer = \"corp\"\ncaller_audience = \"pdp\"\nscope = \"ask\"\n\
             subject = \"svc\"\nmtls_san = \"spiffe://corp/gw\"\ncidr = \"10.0.0.0/8\"",
        )
        .unwrap();
        let token = caller.proof.token.as_ref().unwrap();
        assert_eq!(
            (token.audience.as_str(), token.scope.as_str()),
            ("pdp", "ask")
        );
        assert_eq!(token.subject.as_deref(), Some("svc"));
        assert_eq!(caller.proof.mtls_san.as_deref(), Some("spiffe://corp/gw"));
        assert!(!format!("{caller:?}").contains("spiffe"));
        assert_eq!(
            read("name = \"a\"\nunix_uid = 0").unwrap().proof.unix_uid,
            Some(0)
        );
    }
}

//! `[[caller]]`: the services and gateways that may ask.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::model::{BundleName, CallerName, Digest, Right};

use super::text::check_name;

/// A known caller and what it may do.
#[derive(Clone, Debug)]
pub struct CallerConfig {
    /// The operator's name of it.
    pub name: CallerName,
    /// The SHA-256 of its bearer secret.
    pub token_sha256: Option<Digest>,
    /// The bundles it may ask; `None`: all.
    pub bundles: Option<Vec<BundleName>>,
    /// What it may do.
    pub may: BTreeSet<Right>,
    /// What it may vouch for.
    pub vouch: VouchScope,
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
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCaller {
    name: String,
    token_sha256: Option<String>,
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
        let token_sha256 = self.token_sha256.as_deref().map(read_sha256).transpose()?;
        if token_sha256.is_none() {
            return Err("nothing says how it proves who it is; give `token_sha256`".to_owned());
        }
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
            token_sha256,
            bundles,
            may,
            vouch: self.vouch.unwrap_or_default(),
        })
    }
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
        assert_eq!(caller.token_sha256.unwrap().to_string(), SHA);
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
    }
}

//! `[identity_headers]`: what the service behind a gateway is told of who was let in.

use std::collections::BTreeSet;

use serde::Deserialize;

/// A fact of an allowed request that a header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFact {
    /// The principal's id.
    Subject,
    /// The principal's type.
    Type,
    /// The operator's name of the token's issuer.
    Issuer,
    /// The token's client.
    Client,
    /// The token's scopes, separated by spaces.
    Scopes,
    /// The obligations of the decision, separated by `;`.
    Obligations,
    /// The decision's id.
    DecisionId,
}

/// The header of every fact; empty for one that is not told. A client's own headers of these names
/// never pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders([(IdentityFact, String); 7]);

/// `[identity_headers]` as written: a header's name, or `""` to keep the fact to ourselves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawIdentityHeaders {
    subject: Option<String>,
    r#type: Option<String>,
    issuer: Option<String>,
    client: Option<String>,
    scopes: Option<String>,
    obligations: Option<String>,
    decision_id: Option<String>,
}

/// Headers that mean something to HTTP or to a gateway.
const TAKEN: [&str; 20] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

impl IdentityHeaders {
    /// The facts that are told, with the names of their headers.
    pub fn iter(&self) -> impl Iterator<Item = (IdentityFact, &str)> {
        let all = self.0.iter().map(|(fact, name)| (*fact, name.as_str()));
        all.filter(|(_, name)| !name.is_empty())
    }

    /// The names by their keys, as the file has them.
    pub(super) fn by_key(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0
            .iter()
            .map(|(fact, name)| (fact.key(), name.as_str()))
    }

    /// Whether a header of this name, in any case and with `_` for `-`, could pass for one of them.
    pub fn imitated_by(&self, name: &str) -> bool {
        let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b) || (a == b'_' && b == b'-');
        self.iter().any(|(_, own)| {
            own.len() == name.len() && name.bytes().zip(own.bytes()).all(|(a, b)| same(a, b))
        })
    }
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self(RawIdentityHeaders::default().named())
    }
}

impl IdentityFact {
    fn key(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Type => "type",
            Self::Issuer => "issuer",
            Self::Client => "client",
            Self::Scopes => "scopes",
            Self::Obligations => "obligations",
            Self::DecisionId => "decision_id",
        }
    }
}

impl RawIdentityHeaders {
    /// Every fact with its header, `x-auth-…` unless written otherwise.
    fn named(self) -> [(IdentityFact, String); 7] {
        use IdentityFact as F;
        let Self {
            subject,
            r#type,
            issuer,
            client,
            scopes,
            obligations,
            decision_id,
        } = self;
        let written = [
            (F::Subject, subject),
            (F::Type, r#type),
            (F::Issuer, issuer),
            (F::Client, client),
            (F::Scopes, scopes),
            (F::Obligations, obligations),
            (F::DecisionId, decision_id),
        ];
        written.map(|(fact, name)| {
            let default = || format!("x-auth-{}", fact.key().replace('_', "-"));
            (fact, name.unwrap_or_else(default))
        })
    }

    /// Checks what was written.
    ///
    /// # Errors
    /// A name that is no header's, means something else, or is given twice.
    pub fn read(self) -> Result<IdentityHeaders, String> {
        let headers = IdentityHeaders(self.named());
        let mut seen = BTreeSet::new();
        for (fact, name) in headers.iter() {
            let wrong =
                |why: &str| Err(format!("`identity_headers.{}`: `{name}` {why}", fact.key()));
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if name.len() > 64 || !name.bytes().all(allowed) || name.starts_with('-') {
                return wrong("must be 1 to 64 of a-z, 0-9 and `-`");
            }
            if TAKEN.contains(&name) {
                return wrong("has a meaning of its own; choose another, as `x-auth-…`");
            }
            if !seen.insert(name) {
                return wrong("is given to two facts");
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<IdentityHeaders, String> {
        toml::from_str::<RawIdentityHeaders>(text)
            .map_err(|why| why.to_string())?
            .read()
    }

    #[track_caller]
    fn refused(text: &str, says: &str) {
        let why = read(text).unwrap_err();
        assert!(why.contains(says), "{why}");
    }

    #[test]
    fn names_are_the_operators_choice_within_reason() {
        assert_eq!(read("").unwrap(), IdentityHeaders::default());
        let headers = read("subject = \"remote-user\"\nscopes = \"\"").unwrap();
        let names: Vec<_> = headers.iter().map(|(_, name)| name).collect();
        assert!(names.contains(&"remote-user") && !names.contains(&"x-auth-scopes"));
        refused("subject = \"X-User\"", "a-z, 0-9");
        refused("subject = \":path\"", "a-z, 0-9");
        refused("subject = \"authorization\"", "meaning of its own");
        refused("subject = \"x-auth-type\"", "two facts");
        refused("email = \"x-email\"", "unknown field");
    }

    #[test]
    fn imitations_are_told_in_any_case_and_with_underscores() {
        let headers = IdentityHeaders::default();
        for name in [
            "x-auth-subject",
            "X-Auth-Subject",
            "x_auth_subject",
            "X_AUTH-Type",
        ] {
            assert!(headers.imitated_by(name), "{name}");
        }
        for name in ["x-auth", "x-auth-subjects", "xauthsubject", ""] {
            assert!(!headers.imitated_by(name), "{name}");
        }
    }
}

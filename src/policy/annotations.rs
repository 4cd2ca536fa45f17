//! The annotations of a policy that Doorward understands; others are the author's own.

use std::sync::Arc;

use crate::model::Challenge;

/// What a policy's annotations say.
#[derive(Clone, Debug, Default)]
pub(super) struct Annotations {
    pub(super) reason: Option<Arc<str>>,
    pub(super) advice: Option<Arc<str>>,
    pub(super) obligation: Option<Arc<str>>,
    pub(super) challenge: Option<Challenge>,
    /// Lints that do not apply here, each with the reason.
    pub(super) allowed_lints: Vec<AllowedLint>,
}

/// A lint that does not apply somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedLint {
    /// Its code.
    pub code: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
}

impl Annotations {
    /// Reads annotations given as name and text.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be read.
    pub(super) fn read<'a>(
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let mut read = Self::default();
        for (name, text) in annotations {
            match name {
                "reason" => read.reason = Some(text.into()),
                "advice" => read.advice = Some(text.into()),
                "obligation" => read.obligation = Some(text.into()),
                "challenge_scope" => read.challenge(scope(text)?)?,
                "allow_lint" => read.allowed_lints = allowed_lints(text)?,
                "step_up" => read.challenge(step_up(text)?)?,
                _ => {}
            }
        }
        Ok(read)
    }

    fn challenge(&mut self, challenge: Challenge) -> Result<(), String> {
        match self.challenge.replace(challenge) {
            None => Ok(()),
            Some(_) => {
                Err("a policy has one of `@challenge_scope` and `@step_up`, not both".into())
            }
        }
    }
}

/// `code: reason`, several separated by `;`.
///
/// # Errors
/// When a lint has no reason.
pub fn allowed_lints(text: &str) -> Result<Vec<AllowedLint>, String> {
    let allowed = text.split(';').map(|one| match one.split_once(':') {
        Some((code, reason)) if !code.trim().is_empty() && !reason.trim().is_empty() => {
            Ok(AllowedLint {
                code: code.trim().into(),
                reason: reason.trim().into(),
            })
        }
        _ => Err("`@allow_lint` takes `CODE: REASON`, several separated by `;`".into()),
    });
    allowed.collect()
}

/// RFC 6749 §3.3: scope tokens are printable ASCII without quote and backslash.
fn scope(text: &str) -> Result<Challenge, String> {
    let is_scope_char = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let ok = !text.is_empty()
        && text
            .split(' ')
            .all(|scope| !scope.is_empty() && scope.bytes().all(is_scope_char));
    if ok {
        Ok(Challenge::Scope(text.into()))
    } else {
        Err("`@challenge_scope` takes scopes separated by single spaces".into())
    }
}

/// RFC 9470 §3: `acr=…` (repeatable) and `max_age=seconds`, separated by spaces.
fn step_up(text: &str) -> Result<Challenge, String> {
    let expected = || "`@step_up` takes `acr=VALUE` and `max_age=SECONDS`, separated by spaces";
    let mut acr_values: Vec<&str> = Vec::new();
    let mut max_age_seconds = None;
    for part in text.split_whitespace() {
        match part.split_once('=') {
            Some(("acr", acr))
                if !acr.is_empty() && acr.bytes().all(|b| b.is_ascii_graphic() && b != b'"') =>
            {
                acr_values.push(acr);
            }
            Some(("max_age", seconds)) if max_age_seconds.is_none() => {
                max_age_seconds = Some(seconds.parse().map_err(|_| expected().to_owned())?);
            }
            _ => return Err(expected().into()),
        }
    }
    if acr_values.is_empty() && max_age_seconds.is_none() {
        return Err(expected().into());
    }
    Ok(Challenge::StepUp {
        acr_values: (!acr_values.is_empty()).then(|| acr_values.join(" ").into()),
        max_age_seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, text: &str, expected: Option<Challenge>) {
        let read = Annotations::read([(name, text)].into_iter());
        assert_eq!(
            read.ok().and_then(|read| read.challenge),
            expected,
            "{name} {text}"
        );
    }

    #[test]
    fn challenges_are_read_or_refused() {
        check(
            "challenge_scope",
            "a:b c",
            Some(Challenge::Scope("a:b c".into())),
        );
        check(
            "step_up",
            "acr=urn:x max_age=300",
            Some(Challenge::StepUp {
                acr_values: Some("urn:x".into()),
                max_age_seconds: Some(300),
            }),
        );
        check(
            "step_up",
            "acr=a acr=b",
            Some(Challenge::StepUp {
                acr_values: Some("a b".into()),
                max_age_seconds: None,
            }),
        );
        for text in ["", "a  b", "a\"b", "a\nb"] {
            check("challenge_scope", text, None);
        }
        for text in [
            "",
            "acr=",
            "max_age=x",
            "max_age=-1",
            "level=2",
            "acr=\"x\"",
            "max_age=1 max_age=2",
        ] {
            check("step_up", text, None);
        }
    }

    #[test]
    fn a_lint_is_allowed_with_a_reason() {
        let read = allowed_lints("a: because; b: it: is so").unwrap();
        let read: Vec<_> = read.iter().map(|it| (&*it.code, &*it.reason)).collect();
        assert_eq!(read, [("a", "because"), ("b", "it: is so")]);
        for text in ["", "a", "a:", ": why", "a: why;"] {
            assert!(
                Annotations::read([("allow_lint", text)].into_iter()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn two_challenges_on_one_policy_are_refused() {
        let both = [("challenge_scope", "a"), ("step_up", "acr=b")];
        assert!(Annotations::read(both.into_iter()).is_err());
    }
}

//! The subject's token in an HTTP request (RFC 6750 §2.1, RFC 9110 §11.4), read alike by whoever asks
//! and by whoever is asked.

use super::{AccessToken, Rejection, RejectionCode, Subject};

impl Subject {
    /// Reads the `Authorization` values of one request, joined by commas as HTTP joins them.
    ///
    /// # Errors
    /// `token_malformed`, `multiple_credentials`, `scheme_not_supported`. What was presented and is
    /// no token never becomes anonymous.
    pub fn presented(authorization: Option<&str>) -> Result<Self, Rejection> {
        let refuse = |code, detail| Err(Rejection::new(code, detail));
        let Some(value) = authorization else {
            return Ok(Subject::Anonymous);
        };
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        let is_bearer = |scheme: &str| scheme.eq_ignore_ascii_case("bearer");
        let another = |part: &str| {
            let scheme = part.trim_start().split([' ', '\t']).next();
            scheme.is_some_and(is_bearer)
        };
        match is_bearer(scheme) {
            true if value.contains(',') => refuse(
                RejectionCode::MultipleCredentials,
                "`authorization` holds several credentials",
            ),
            false if value.split(',').skip(1).any(another) => refuse(
                RejectionCode::MultipleCredentials,
                "`authorization` holds several credentials",
            ),
            true if !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Subject::Token(AccessToken::new(token)))
            }
            true => refuse(
                RejectionCode::TokenMalformed,
                "`authorization` is not `Bearer`, one space and a token",
            ),
            false if another(value) => refuse(
                RejectionCode::TokenMalformed,
                "`authorization` has white space before or after its scheme",
            ),
            false => refuse(
                RejectionCode::SchemeNotSupported,
                "`authorization` has a scheme other than `Bearer`",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Result<&str, &str>) {
        match (Subject::presented(Some(value)), expected) {
            (Ok(Subject::Token(token)), Ok(expected)) => assert_eq!(token.expose(), expected),
            (Err(why), Err(expected)) => assert_eq!(why.code.as_str(), expected, "{value:?}"),
            (found, expected) => panic!("{value:?}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_request_carries_one_bearer_token_or_none() {
        assert!(matches!(Subject::presented(None), Ok(Subject::Anonymous)));
        for scheme in ["Bearer", "bearer", "BEARER"] {
            check(&format!("{scheme} a.b.c"), Ok("a.b.c"));
        }
        for malformed in [
            "Bearer",
            "Bearer ",
            "Bearer  a.b.c",
            "Bearer\ta.b.c",
            "Bearer a.b.c ",
            "Bearer a.b.c\t",
            "Bearer a b",
            " Bearer a.b.c",
            "Bearer a.b.\u{e9}",
        ] {
            check(malformed, Err("token_malformed"));
        }
        for several in [
            "Bearer a,Bearer b",
            "Bearer a, Bearer a",
            "Bearer a,",
            "Basic dTpw,Bearer a",
        ] {
            check(several, Err("multiple_credentials"));
        }
        for other in [
            "",
            "Basic dTpw",
            "DPoP a.b.c",
            "Token a.b.c",
            "a.b.c",
            "Digest username=\"u\", realm=\"r\"",
        ] {
            check(other, Err("scheme_not_supported"));
        }
    }
}

//! The one credential of an HTTP request: `Authorization: Bearer`, and nothing that looks like it.

use crate::model::{AccessToken, Rejection, RejectionCode};

use super::reject;

/// Reads the token from all `Authorization` fields of a request (RFC 6750 §2.1, RFC 9110 §11.4).
///
/// # Errors
/// `token_missing`, `multiple_credentials`, `scheme_not_supported`, `token_malformed`.
pub fn bearer<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Result<AccessToken, Rejection> {
    let mut fields = fields.into_iter();
    let Some(field) = fields.next() else {
        return reject(RejectionCode::TokenMissing, "no `Authorization`");
    };
    if fields.next().is_some() {
        return reject(
            RejectionCode::MultipleCredentials,
            "several `Authorization`",
        );
    }
    let text = std::str::from_utf8(field).unwrap_or_default();
    let Some((scheme, token)) = text.split_once(' ') else {
        return reject(
            RejectionCode::TokenMalformed,
            "`Authorization` is not a scheme, one space and a token",
        );
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return reject(
            RejectionCode::SchemeNotSupported,
            "the scheme of `Authorization` is not `Bearer`",
        );
    }
    if token.contains(',') {
        return reject(
            RejectionCode::MultipleCredentials,
            "several credentials in one `Authorization`",
        );
    }
    // RFC 6750 §2.1: b64token. Whether it is a JWT is for its parser to say.
    let b64token = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    };
    if token.is_empty() || !token.bytes().all(b64token) {
        return reject(
            RejectionCode::TokenMalformed,
            "the token is empty or has characters that no token has",
        );
    }
    Ok(AccessToken::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, fields: &[&str], expected: Result<&str, RejectionCode>) {
        let token = bearer(fields.iter().map(|field| field.as_bytes()));
        let token = token.as_ref().map(AccessToken::expose);
        assert_eq!(token.map_err(|rejection| rejection.code), expected, "{id}");
    }

    #[test]
    fn a_request_has_one_bearer_token_in_one_form() {
        use RejectionCode::{
            MultipleCredentials, SchemeNotSupported, TokenMalformed, TokenMissing,
        };
        check("A01", &[], Err(TokenMissing));
        for scheme in ["Bearer", "bearer", "BEARER"] {
            check("A02", &[&format!("{scheme} a.b.c")], Ok("a.b.c"));
        }
        for field in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  a.b.c",
            "Bearer\ta.b.c",
            "Bearer a.b.c ",
            "Bearer a.b.c\t",
            "Bearer a b",
            "Bearer a\u{e9}",
            "Bearer \"a\"",
            "Bearer a;b",
        ] {
            check("A02", &[field], Err(TokenMalformed));
        }
        check("A02", &[" Bearer a.b.c"], Err(SchemeNotSupported));
        check("A03", &["Bearer a", "Bearer a"], Err(MultipleCredentials));
        check("A03", &["Bearer a", ""], Err(MultipleCredentials));
        check("A03", &["Bearer a,Bearer b"], Err(MultipleCredentials));
        check("A03", &["Bearer a, Bearer b"], Err(MultipleCredentials));
        for scheme in ["Basic", "DPoP", "Token", "Bearer:", "Negotiate"] {
            check("A04", &[&format!("{scheme} abc")], Err(SchemeNotSupported));
        }
        let token = bearer([&b"Bearer a\xff"[..]]);
        assert_eq!(token.unwrap_err().code, TokenMalformed);
    }
}

//! The outer form of a token: JWS Compact Serialization (RFC 7515 §7.1), strictly.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::{Rejection, RejectionCode};

use super::{MAX_HEADER, MAX_TOKEN, reject};

/// The parts of a compact JWS: base64url checked, nothing interpreted.
pub(super) struct Compact<'a> {
    /// The decoded header.
    pub(super) header: Vec<u8>,
    /// The decoded payload.
    pub(super) payload: Vec<u8>,
    /// What was signed: header and payload as sent, with the dot between.
    pub(super) signing_input: &'a str,
    /// The signature as sent; known to be base64url.
    pub(super) signature: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// `token_too_large`, `jwe_not_supported`, `token_malformed`.
    pub(super) fn parse(token: &'a str) -> Result<Self, Rejection> {
        if token.len() > MAX_TOKEN {
            return reject(
                RejectionCode::TokenTooLarge,
                format!("longer than {MAX_TOKEN} bytes"),
            );
        }
        if is_jwe(token) {
            return reject(RejectionCode::JweNotSupported, "five segments, as in a JWE");
        }
        let segments = token
            .rsplit_once('.')
            .and_then(|(signing_input, signature)| {
                let (header, payload) = signing_input.split_once('.')?;
                Some((header, payload, signing_input, signature))
            });
        let Some((header, payload, signing_input, signature)) = segments else {
            return reject(
                RejectionCode::TokenMalformed,
                "not three segments separated by dots",
            );
        };
        if header.len() > MAX_HEADER {
            return reject(
                RejectionCode::TokenTooLarge,
                format!("header longer than {MAX_HEADER} bytes"),
            );
        }
        if header.is_empty() {
            return reject(RejectionCode::TokenMalformed, "the header is empty");
        }
        // A second dot within the payload fails here, since it is no base64url.
        let (header, payload) = (decode(header)?, decode(payload)?);
        decode(signature)?;
        Ok(Self {
            header,
            payload,
            signing_input,
            signature,
        })
    }
}

/// Whether a token has the form of JWE Compact Serialization (RFC 7516 §7.1).
fn is_jwe(token: &str) -> bool {
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    token.bytes().filter(|byte| *byte == b'.').count() == 4 && token.bytes().all(base64url)
}

/// Decodes base64url without padding, without stray bits (RFC 7515 §2, RFC 4648 §3.5).
fn decode(segment: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| {
        Rejection::new(
            RejectionCode::TokenMalformed,
            "a segment is not unpadded base64url",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, token: &str, expected: RejectionCode) {
        let code = Compact::parse(token).err().map(|rejection| rejection.code);
        assert_eq!(code, Some(expected), "{id}");
    }

    #[test]
    fn only_three_segments_of_strict_base64url_are_a_token() {
        use RejectionCode::{JweNotSupported, TokenMalformed, TokenTooLarge};
        for token in ["", ".", "..", "a.b", "e30", "e30.e30.e30.e30", ".e30.e30"] {
            check("A05", token, TokenMalformed);
        }
        check("A05", "e30.e30.e30.e30.e30", JweNotSupported);
        check("A22", "e30....", JweNotSupported);
        check("A06", &".".repeat(1024 * 1024), TokenTooLarge);
        check(
            "A07",
            &format!("e30.{}.e30", "A".repeat(16 * 1024)),
            TokenTooLarge,
        );
        check(
            "A07",
            &format!("{}.e30.e30", "A".repeat(4 * 1024 + 4)),
            TokenTooLarge,
        );
        for stray in [
            "e30=", "e3+0", "e3/0", "e3 0", "e30\n", "e3?0", "e3é0", "e31", "e", "\0e30",
        ] {
            check("A08", &format!("{stray}.e30.e30"), TokenMalformed);
            check("A08", &format!("e30.{stray}.e30"), TokenMalformed);
            check("A08", &format!("e30.e30.{stray}"), TokenMalformed);
        }
        check(
            "A09",
            r#"{"payload":"e30","signatures":[]}"#,
            TokenMalformed,
        );
        check("A09", r#"{"alg":"none"}.e30.e30"#, TokenMalformed);
        check("A02", " e30.e30.e30", TokenMalformed);
        check("A02", "e30.e30.e30\t", TokenMalformed);
        check("A03", "e30.e30.e30,Bearer e30.e30.e30", TokenMalformed);
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let header = "A".repeat(4 * 1024);
        assert!(Compact::parse(&format!("{header}.e30.e30")).is_ok());
        let payload = "A".repeat(16 * 1024 - 8);
        assert!(Compact::parse(&format!("e30.{payload}.e30")).is_ok());
        assert!(
            Compact::parse("e30.e30.").is_ok(),
            "an empty signature is refused later"
        );
    }

    #[test]
    fn what_was_signed_is_what_was_sent() {
        let compact = Compact::parse("e30.e30.AAAA").unwrap();
        assert_eq!(compact.signing_input, "e30.e30");
        assert_eq!(compact.signature, "AAAA");
        assert_eq!(compact.header, b"{}");
    }
}

//! The JOSE header (RFC 7515 §4): what may be there, and what is refused rather than ignored.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    config::Algorithm,
    model::{JsonFault, JsonLimits, Members, Rejection, RejectionCode, Value, parse_json},
};

use super::reject;

const LIMITS: JsonLimits = JsonLimits {
    depth: 32,
    values: 256,
};

/// The header parameters that verification uses. `jwk`, `jku`, `x5u` and `x5c` never reach it
/// (RFC 8725 §3.10): a token cannot bring its own key.
pub(super) struct Header {
    /// `alg`, one of the algorithms known at all.
    pub(super) algorithm: Algorithm,
    /// `kid`, only ever compared.
    pub(super) kid: Option<String>,
    /// `typ`.
    pub(super) typ: Option<String>,
    /// `x5t#S256`.
    pub(super) x5t_s256: Option<Vec<u8>>,
}

impl Header {
    /// Reads a decoded header.
    ///
    /// # Errors
    /// `header_malformed`, `duplicate_member`, `jwe_not_supported`, `crit_not_supported`,
    /// `nested_not_supported`, `alg_not_allowed`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Rejection> {
        let members = match parse_json(bytes, LIMITS) {
            Ok(Value::Record(members)) => members,
            Ok(_) => return reject(RejectionCode::HeaderMalformed, "not a JSON object"),
            Err(JsonFault::DuplicateMember) => {
                return reject(RejectionCode::DuplicateMember, "in the header");
            }
            Err(fault) => return reject(RejectionCode::HeaderMalformed, fault.to_string()),
        };
        for (name, code) in [
            ("enc", RejectionCode::JweNotSupported),
            ("zip", RejectionCode::JweNotSupported),
            ("crit", RejectionCode::CritNotSupported),
            ("b64", RejectionCode::CritNotSupported),
            ("cty", RejectionCode::NestedNotSupported),
        ] {
            if members.contains_key(name) {
                return reject(code, format!("header parameter `{name}`"));
            }
        }
        Ok(Self {
            algorithm: read_algorithm(&members)?,
            kid: read_text(&members, "kid")?.map(str::to_owned),
            typ: read_text(&members, "typ")?.map(str::to_owned),
            x5t_s256: match read_text(&members, "x5t#S256")? {
                None => None,
                Some(text) => match URL_SAFE_NO_PAD.decode(text) {
                    Ok(bytes) => Some(bytes),
                    Err(_) => {
                        return reject(
                            RejectionCode::HeaderMalformed,
                            "`x5t#S256` is not base64url",
                        );
                    }
                },
            },
        })
    }
}

/// Whatever is not exactly the name of a known asymmetric algorithm is not allowed.
fn read_algorithm(members: &Members) -> Result<Algorithm, Rejection> {
    members
        .get("alg")
        .and_then(Value::as_str)
        .and_then(Algorithm::from_name)
        .ok_or_else(|| {
            Rejection::new(
                RejectionCode::AlgNotAllowed,
                "`alg` names no asymmetric signature algorithm known here",
            )
        })
}

fn read_text<'a>(members: &'a Members, name: &str) -> Result<Option<&'a str>, Rejection> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => reject(
            RejectionCode::HeaderMalformed,
            format!("`{name}` is not a string"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, header: impl AsRef<[u8]>, expected: RejectionCode) {
        let code = Header::read(header.as_ref())
            .err()
            .map(|rejection| rejection.code);
        assert_eq!(code, Some(expected), "{id}");
    }

    #[test]
    fn a_header_is_one_json_object() {
        use RejectionCode::{DuplicateMember, HeaderMalformed};
        let deep = format!(
            r#"{{"alg":"RS256","x":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        for header in [
            "",
            "[]",
            "\"RS256\"",
            "1",
            "null",
            "{}{}",
            r#"{"alg":"RS256"}x"#,
            "\u{feff}{\"alg\":\"RS256\"}",
            r#"{"alg":"RS256",}"#,
            &deep,
        ] {
            check("A10", header, HeaderMalformed);
        }
        check("A10", b"{\"alg\":\"RS256\xff\"}", HeaderMalformed);
        check("A11", r#"{"alg":"none","alg":"RS256"}"#, DuplicateMember);
        check(
            "A11",
            r#"{"alg":"RS256","jwk":{"a":1,"a":2}}"#,
            DuplicateMember,
        );
        check("A25", r#"{"alg":"RS256","kid":1}"#, HeaderMalformed);
        check("A25", r#"{"alg":"RS256","kid":null}"#, HeaderMalformed);
        check(
            "A23",
            r#"{"alg":"RS256","typ":["at+jwt"]}"#,
            HeaderMalformed,
        );
        check("A27", r#"{"alg":"RS256","x5t#S256":"=="}"#, HeaderMalformed);
    }

    #[test]
    fn only_known_asymmetric_algorithms_pass() {
        for alg in [
            "\"none\"",
            "\"None\"",
            "\"nOnE\"",
            "\"\"",
            "123",
            "[\"RS256\"]",
            "null",
            "\"rs256\"",
            "\"RS256 \"",
            "\"HS256\"",
            "\"HS384\"",
            "\"HS512\"",
            "\"RS1\"",
            "\"ES256K\"",
            "\"ES512\"",
            "\"Ed448\"",
            "\"A128KW\"",
            "\"dir\"",
        ] {
            check(
                "A12",
                format!(r#"{{"alg":{alg}}}"#),
                RejectionCode::AlgNotAllowed,
            );
        }
        check("A12", r#"{"typ":"JWT"}"#, RejectionCode::AlgNotAllowed);
        for algorithm in Algorithm::ALL {
            let header = Header::read(format!(r#"{{"alg":"{algorithm}"}}"#).as_bytes());
            assert_eq!(header.ok().map(|header| header.algorithm), Some(algorithm));
        }
    }

    #[test]
    fn what_would_change_the_meaning_is_refused_not_ignored() {
        use RejectionCode::{CritNotSupported, JweNotSupported, NestedNotSupported};
        for crit in [
            r#"["b64"]"#,
            r#"["exp"]"#,
            "[]",
            "\"x\"",
            r#"["http://x"]"#,
            "null",
        ] {
            check(
                "A19",
                format!(r#"{{"alg":"RS256","crit":{crit}}}"#),
                CritNotSupported,
            );
        }
        for b64 in ["false", "true"] {
            check(
                "A20",
                format!(r#"{{"alg":"RS256","b64":{b64}}}"#),
                CritNotSupported,
            );
        }
        check("A21", r#"{"alg":"RS256","zip":"DEF"}"#, JweNotSupported);
        check("A22", r#"{"alg":"dir","enc":"A128GCM"}"#, JweNotSupported);
        check("A24", r#"{"alg":"RS256","cty":"JWT"}"#, NestedNotSupported);
    }
}

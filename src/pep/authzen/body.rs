//! The body of a request: one JSON object as I-JSON (RFC 7493), or a refusal with the status that
//! the specification has for it.

use axum::{body::Body, http::HeaderMap};
use futures_util::StreamExt as _;

use crate::{
    model::{JsonFault, JsonLimits, Members, Refusal, Value, parse_json},
    pep::http::single,
};

/// Largest body, in bytes.
const MAX_BODY: usize = 256 * 1024;
const LIMITS: JsonLimits = JsonLimits {
    depth: 64,
    values: 16 * 1024,
};

/// Reads the object.
///
/// # Errors
/// [`Refusal::Malformed`] for anything else than one JSON object in UTF-8, and
/// [`Refusal::TooLarge`].
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Members, Refusal> {
    check_type(headers)?;
    let too_large = Refusal::TooLarge {
        what: "bytes of body",
        limit: MAX_BODY,
    };
    let announced = single(headers, "content-length").ok().flatten();
    if announced.is_some_and(|it| it.parse::<usize>().is_ok_and(|it| it > MAX_BODY)) {
        return Err(too_large);
    }
    let mut bytes = Vec::new();
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        // No one is left to be told; the decision log is.
        let part = part.map_err(|_| Refusal::malformed("body", "incomplete", "breaks off"))?;
        if bytes.len() + part.len() > MAX_BODY {
            return Err(too_large);
        }
        bytes.extend_from_slice(&part);
    }
    match parse_json(&bytes, LIMITS) {
        Ok(Value::Record(members)) => Ok(members),
        Ok(other) => {
            let message = format!("must be a JSON object, not {}", other.kind());
            Err(Refusal::malformed("body", "wrong_type", message))
        }
        Err(JsonFault::TooMany) => Err(Refusal::TooLarge {
            what: "values",
            limit: LIMITS.values,
        }),
        Err(fault) => Err(Refusal::malformed(
            "body",
            "json",
            format!("is refused: {fault}"),
        )),
    }
}

/// `application/json`, in UTF-8 (§10.1, RFC 8259 §8.1).
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |message: &str| {
        Err(Refusal::malformed(
            "content-type",
            "content_type",
            message.to_owned(),
        ))
    };
    if headers.contains_key("content-encoding") {
        return refuse("must come without `content-encoding`");
    }
    let text = match single(headers, "content-type") {
        Ok(Some(text)) => text.to_ascii_lowercase(),
        Ok(None) => return refuse("is required: send `application/json`"),
        Err(fault) => return refuse(fault.message()),
    };
    let mut parts = text.split(';').map(str::trim);
    if parts.next() != Some("application/json") {
        return refuse("must be `application/json`");
    }
    let in_utf_8 = |part: &str| match part.strip_prefix("charset=") {
        Some(charset) => charset.trim_matches('"') == "utf-8",
        None => true,
    };
    match parts.all(in_utf_8) {
        true => Ok(()),
        false => refuse("must be in UTF-8"),
    }
}

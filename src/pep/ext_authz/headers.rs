//! The request's headers in one form, whichever of its two the proxy sends.

use std::collections::{BTreeMap, HashMap};

use envoy_types::pb::envoy::{
    config::core::v3::HeaderMap, service::auth::v3::attribute_context::HttpRequest,
};

use crate::{
    config::IdentityHeaders,
    model::{Refusal, Violation},
};

/// The most headers of one request, pseudo-headers among them.
const MAX_HEADERS: usize = 256;

/// Headers that nobody but us, or the proxy itself, may have written.
const OURS: [&str; 2] = ["x-envoy-auth-failure-mode-allowed", "x-doorward-caller"];

/// What a client sent that must not reach the service behind the proxy, and what the proxy left out.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Names of headers that imitate ours.
    pub(super) imitations: Vec<String>,
    /// Whether the proxy sent only the beginning of the body.
    pub(super) body_truncated: bool,
}

/// Takes the headers out of a request: by lower-case name, equal names joined by commas in their
/// order, bytes that are no UTF-8 replaced by `!`. That is how the proxy joins them in `headers`;
/// done with `header_map` as well, both forms decide alike.
///
/// # Errors
/// [`Refusal::TooLarge`], and [`Refusal::Malformed`] for both forms at once, and for values with
/// control characters.
pub(super) fn take(http: &mut HttpRequest) -> Result<BTreeMap<String, String>, Refusal> {
    let merged = std::mem::take(&mut http.headers);
    let raw = http.header_map.take().unwrap_or_default();
    if merged.len().max(raw.headers.len()) > MAX_HEADERS {
        return Err(Refusal::TooLarge {
            what: "headers",
            limit: MAX_HEADERS,
        });
    }
    let headers = match (merged.is_empty(), raw.headers.is_empty()) {
        (_, true) => from_merged(merged)?,
        (true, false) => from_raw(raw),
        (false, false) => {
            let message = "are sent in both forms, `headers` and `header_map`";
            return Err(Refusal::malformed("http.headers", "duplicate", message));
        }
    };
    // A tab is a space's equal (RFC 9110 §5.5).
    let control = |c: char| c.is_control() && c != '\t';
    match headers.iter().find(|(_, value)| value.contains(control)) {
        None => Ok(headers),
        Some((name, _)) => Err(Refusal::malformed(
            format!("http.headers.{}", name.escape_debug()),
            "not_printable",
            "has control characters",
        )),
    }
}

fn from_merged(merged: HashMap<String, String>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut headers = BTreeMap::new();
    for (name, value) in merged {
        let name = name.to_ascii_lowercase();
        if headers.insert(name.clone(), value).is_some() {
            let message = "is sent twice, in names that differ in case";
            let field = format!("http.headers.{}", name.escape_debug());
            return Err(Refusal::malformed(field, "duplicate", message));
        }
    }
    Ok(headers)
}

fn from_raw(raw: HeaderMap) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::<String, String>::new();
    for header in raw.headers {
        let value = match header.raw_value.is_empty() {
            true => header.value,
            false => text(&header.raw_value),
        };
        headers
            .entry(header.key.to_ascii_lowercase())
            .and_modify(|before| {
                before.push(',');
                before.push_str(&value);
            })
            .or_insert(value);
    }
    headers
}

/// As the proxy does it: each byte that is not part of a character becomes `!`.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '!'));
    }
    text
}

/// Refuses a request whose pseudo-headers, or `host`, say other than the fields that are decided by.
///
/// # Errors
/// [`Refusal::Malformed`] with every difference.
pub(super) fn check_agreement(
    http: &HttpRequest,
    headers: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let pairs = [
        (":method", "method", &http.method),
        (":path", "path", &http.path),
        (":authority", "host", &http.host),
        ("host", "host", &http.host),
        (":scheme", "scheme", &http.scheme),
    ];
    let differ = pairs.into_iter().filter_map(|(name, field, typed)| {
        let header = headers.get(name)?;
        (header != typed).then(|| Violation {
            field: format!("http.{field}"),
            code: "disagreement",
            message: format!("differs from the header `{name}`"),
        })
    });
    let mut differ: Vec<_> = differ.collect();
    let (_, query) = http.path.split_once('?').unwrap_or(("", ""));
    if !(http.query.is_empty() || http.query == query) || !http.fragment.is_empty() {
        differ.push(Violation {
            field: "http.path".to_owned(),
            code: "disagreement",
            message: "differs from `http.query` or `http.fragment`".to_owned(),
        });
    }
    match differ.is_empty() {
        true => Ok(()),
        false => Err(Refusal::Malformed(differ)),
    }
}

/// Which of the client's headers could pass for ours.
///
/// # Errors
/// [`Refusal::Malformed`] when `connection` would have the proxy drop a header of ours.
pub(super) fn imitations(
    headers: &BTreeMap<String, String>,
    identity: &IdentityHeaders,
) -> Result<Vec<String>, Refusal> {
    let hop_by_hop = headers.get("connection").map_or("", String::as_str);
    if hop_by_hop
        .split(',')
        .any(|name| identity.imitated_by(name.trim()))
    {
        return Err(Refusal::malformed(
            "http.headers.connection",
            "identity_header",
            "names a header by which the service behind is told who asks",
        ));
    }
    let imitates = |name: &&String| identity.imitated_by(name) || OURS.contains(&name.as_str());
    Ok(headers.keys().filter(imitates).cloned().collect())
}

/// Whether the proxy sent only the beginning of a body.
pub(super) fn body_truncated(http: &HttpRequest, headers: &BTreeMap<String, String>) -> bool {
    let sent = http.body.len().max(http.raw_body.len());
    let said = headers.get("x-envoy-auth-partial-body");
    let shorter = |size: i64| usize::try_from(size).is_ok_and(|size| sent < size);
    said.is_some_and(|it| it == "true") || (sent > 0 && shorter(http.size))
}

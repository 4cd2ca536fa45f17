//! What the HTTP faces share: who asks, headers that occur once, answers that no cache keeps.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
        request::Parts,
    },
};

use super::{peer::Peer, status::DECISION_ID};
use crate::model::{CallerCredential, DecisionId};

/// The asker's own id of a request, and of its answer.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// The longest such id, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// Who asks, as far as the connection and `secret` tell.
pub(super) fn credential(parts: &Parts, secret: Option<String>) -> CallerCredential {
    let peer = parts.extensions.get::<Peer>().cloned();
    peer.unwrap_or_default().credential(secret)
}

/// All values of a header, joined by commas as HTTP joins them (RFC 9110 §5.3); what is not text
/// becomes U+FFFD.
pub(super) fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let texts = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let texts: Vec<_> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Why a header that may occur once cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// It occurs again.
    Repeated,
    /// It is not printable ASCII.
    Unreadable,
}

impl HeaderFault {
    /// The fault in words.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::Repeated => "is there more than once",
            Self::Unreadable => "is not printable ASCII",
        }
    }
}

/// The one value of a header.
pub(super) fn single<'h>(
    headers: &'h HeaderMap,
    name: &str,
) -> Result<Option<&'h str>, HeaderFault> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(HeaderFault::Repeated),
        (Some(value), None) => match value.to_str() {
            Ok(text) if text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') => Ok(Some(text)),
            _ => Err(HeaderFault::Unreadable),
        },
    }
}

/// The asker's id of its request: short and visible, since it comes back in a header and stands in
/// the decision log.
pub(super) fn request_id(headers: &HeaderMap) -> Result<Option<&str>, HeaderFault> {
    match single(headers, REQUEST_ID)? {
        Some(id) if id.len() > MAX_REQUEST_ID || !id.bytes().all(|b| b.is_ascii_graphic()) => {
            Err(HeaderFault::Unreadable)
        }
        id => Ok(id),
    }
}

/// An answer in the making.
pub(super) struct Reply {
    response: Response<Body>,
}

impl Reply {
    /// An answer without a body.
    pub(super) fn new(status: u16) -> Self {
        let mut response = Response::new(Body::empty());
        // Only a status that is none falls back, and that must be neither success nor a 5xx, which
        // a gateway may take for leave.
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self { response }
    }

    /// The same with a body.
    pub(super) fn with_body(mut self, media_type: &'static str, body: String) -> Self {
        let headers = self.response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        *self.response.body_mut() = Body::from(body);
        self
    }

    /// The same with the id of the decision.
    pub(super) fn with_decision(self, id: DecisionId) -> Self {
        self.with_header(DECISION_ID, Some(&id.to_string()))
    }

    /// The same with a header, if there is one; what no header can have is left out.
    pub(super) fn with_header(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.set(name, value);
        }
        self
    }

    /// Sets a header; `false`, and nothing is set, when no header can have this name or value.
    pub(super) fn set(&mut self, name: &str, value: &str) -> bool {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(value);
        match (name, value) {
            (Ok(name), Ok(value)) => {
                self.response.headers_mut().insert(name, value);
                true
            }
            _ => false,
        }
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response<Body> {
        self.response
    }
}

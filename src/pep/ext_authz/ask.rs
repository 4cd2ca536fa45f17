//! From Envoy's `CheckRequest` to an `AccessRequest`.

use std::collections::BTreeMap;

use envoy_types::{
    ext_authz::v3::pb::CheckRequest, pb::envoy::service::auth::v3::attribute_context::HttpRequest,
};
use tonic::{Request, metadata::MetadataMap};

use super::{
    claims,
    headers::{self, Seen},
};
use crate::{
    config::IdentityHeaders,
    model::{
        AccessRequest, BundleName, CanonicalRequest, Face, GatewayFacts, HttpAsk, Members,
        Question, Refusal, Rejection, RejectionCode,
    },
    pep::{bearer, peer},
};

/// The key of a route's `context_extensions` that names its bundle.
const BUNDLE: &str = "bundle";
/// Where the proxy's own secret is, so that `authorization` stays the end user's.
const CALLER: &str = "x-doorward-caller";
/// The longest id of a request that is kept, in bytes.
const MAX_REQUEST_ID: usize = 256;

/// Reads one call; what must be kept from the service behind is told by `seen`.
///
/// # Errors
/// [`Refusal::Malformed`] for what can be read in two ways, [`Refusal::TooLarge`],
/// [`Refusal::CallerUnknown`] and [`Refusal::Unauthenticated`] for credentials that are none.
pub(super) fn to_access_request(
    request: Request<CheckRequest>,
    identity: &IdentityHeaders,
    seen: &mut Seen,
) -> Result<AccessRequest, Refusal> {
    let credential = peer::of(&request).credential(secret(request.metadata())?);
    let request_id = request_id(request.get_ref()).map(str::to_owned);
    let attributes = request.into_inner().attributes.unwrap_or_default();
    let Some(mut http) = attributes.request.and_then(|it| it.http) else {
        return Err(Refusal::malformed(
            "attributes.request.http",
            "missing",
            "is required: only HTTP requests can be decided",
        ));
    };
    let headers = headers::take(&mut http)?;
    headers::check_agreement(&http, &headers)?;
    seen.body_truncated = headers::body_truncated(&http, &headers);
    seen.imitations = headers::imitations(&headers, identity)?;
    let mut extensions = attributes.context_extensions;
    Ok(AccessRequest {
        face: Face::ExtAuthz,
        credential,
        bundle: None,
        subject: bearer::subject(headers.get("authorization").map(String::as_str))?,
        request_id,
        question: question(&http, headers, seen)?,
        entities: Vec::new(),
        context: Members::new(),
        at_least_revision: None,
        gateway: GatewayFacts {
            bundle: extensions.remove(BUNDLE).map(BundleName::new),
            peer: attributes
                .source
                .map(|it| it.principal)
                .filter(|it| !it.is_empty()),
            claims: claims::read(attributes.metadata_context)?,
        },
    })
}

/// The proxy's secret, sent by its own configuration as call metadata.
fn secret(metadata: &MetadataMap) -> Result<Option<String>, Refusal> {
    let refuse = |code, detail| Err(Refusal::CallerUnknown(Rejection::new(code, detail)));
    let mut values = metadata.get_all(CALLER).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => refuse(
            RejectionCode::MultipleCredentials,
            "the call has several `x-doorward-caller` values",
        ),
        (Some(value), None) => match value.to_str() {
            Ok(secret) if !secret.is_empty() => Ok(Some(secret.to_owned())),
            _ => refuse(
                RejectionCode::CallerUnknown,
                "the call's `x-doorward-caller` is empty or not ASCII",
            ),
        },
    }
}

fn question(
    http: &HttpRequest,
    mut headers: BTreeMap<String, String>,
    seen: &Seen,
) -> Result<Question, Refusal> {
    let request = CanonicalRequest::parse(&http.method, &http.host, &http.path)?;
    let is_ours = |name: &str| seen.imitations.iter().any(|it| it == name);
    headers.retain(|name, _| !name.starts_with(':') && name != "authorization" && !is_ours(name));
    Ok(Question::Http(HttpAsk { request, headers }))
}

/// The proxy's id of the request; one that no log could hold is left out, for the client may have
/// chosen it.
pub(super) fn request_id(request: &CheckRequest) -> Option<&str> {
    let http = request
        .attributes
        .as_ref()?
        .request
        .as_ref()?
        .http
        .as_ref()?;
    let visible = |b: u8| b.is_ascii_graphic() || b == b' ';
    let fits = (1..=MAX_REQUEST_ID).contains(&http.id.len()) && http.id.bytes().all(visible);
    fits.then_some(http.id.as_str())
}

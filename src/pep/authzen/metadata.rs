//! `/.well-known/authzen-configuration` (§9), from the configuration alone: whoever writes the
//! `Host` header must not choose where callers send their questions.

use axum::{
    body::Body,
    extract::{Path, State},
    http::Response,
};
use serde_json::json;

use super::{AuthzenFace, InPath, JSON};
use crate::pep::http::Reply;

/// Tells where the endpoints are; 404 when it is not configured or there is no such bundle.
pub(super) async fn serve(State(face): State<AuthzenFace>, bundle: InPath) -> Response<Body> {
    let inner = &*face.inner;
    let base = match (&inner.url, bundle) {
        (Some(url), None) => Some(url.clone()),
        (Some(url), Some(Path(name))) => {
            let known = inner.bundles.iter().any(|known| known.as_str() == name);
            known.then(|| format!("{url}/b/{name}"))
        }
        (None, _) => None,
    };
    let reply = match base {
        None => Reply::new(404),
        Some(base) => {
            let body = json!({
                "policy_decision_point": base,
                "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
                "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
            });
            Reply::new(200).with_body(JSON, body.to_string())
        }
    };
    reply.into_response()
}

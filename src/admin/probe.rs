//! `/livez`, `/readyz` and `/metrics`: nothing here tells who asked what, so nothing is guarded.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;

use crate::{
    metrics::Metrics,
    model::{BundleName, Digest},
    policy::Fault,
};

/// The media type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The state of the rules.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    /// Every configured bundle.
    pub bundles: Vec<BundleState>,
    /// What is not as it should be, though answers may be given.
    pub degraded: Vec<Degraded>,
    /// Whether what is stored cannot be read, so that every question is refused.
    #[serde(skip)]
    pub unreadable: bool,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Degraded {
    /// The bundle concerned, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleName>,
    /// `refused` (new content), `restored` (the last published is served), `not_kept` (for a restart),
    /// `poll_only` (no events of changed files), `keys` (of an issuer), `certificates`, `decision_log`,
    /// or a part of the store: `ledger`, `records`, `checkpoint`, `compaction`.
    pub what: &'static str,
    /// In words.
    pub detail: String,
    /// The first faults of refused content.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// The rules of one bundle.
#[derive(Clone, Debug, Serialize)]
pub struct BundleState {
    /// The bundle.
    pub name: BundleName,
    /// What it serves; `None` before its first good content.
    pub digest: Option<Digest>,
}

impl Readiness {
    /// Whether every bundle answers. A refused push changes nothing here, so it drains no fleet.
    pub fn is_ready(&self) -> bool {
        !self.unreadable
            && !self.bundles.is_empty()
            && self.bundles.iter().all(|bundle| bundle.digest.is_some())
    }
}

/// Tells the state of the rules whenever it is asked.
pub type ReadinessSource = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// Sets what is looked up rather than counted: the depth of queues, the age of keys.
pub type Sampler = Arc<dyn Fn(&Metrics) + Send + Sync>;

/// The routes of the probe listener; `sample` runs before each page of metrics.
pub fn router(readiness: ReadinessSource, metrics: Arc<Metrics>, sample: Sampler) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(render).with_state((metrics, sample)))
}

async fn readyz(State(readiness): State<ReadinessSource>) -> impl IntoResponse {
    #[derive(Serialize)]
    struct Body {
        ready: bool,
        #[serde(flatten)]
        state: Readiness,
    }
    let state = readiness();
    let ready = state.is_ready();
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    match serde_json::to_string(&Body { ready, state }) {
        Ok(body) => (status, json, body),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, json, "{}".to_owned()),
    }
}

async fn render(State((metrics, sample)): State<(Arc<Metrics>, Sampler)>) -> impl IntoResponse {
    sample(&metrics);
    ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.render())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    #[track_caller]
    fn check(digest: Option<Digest>, degraded: &[&str], path: &str, status: u16, body: &str) {
        let degraded: Vec<_> = degraded
            .iter()
            .map(|detail| Degraded {
                bundle: Some(BundleName::new("orders")),
                what: "refused",
                detail: (*detail).to_owned(),
                faults: vec![Fault::in_file("parse", "a.cedar", "no")],
            })
            .collect();
        let source: ReadinessSource = Arc::new(move || Readiness {
            bundles: vec![BundleState {
                name: BundleName::new("orders"),
                digest,
            }],
            degraded: degraded.clone(),
            unreadable: false,
        });
        let app = router(source, Arc::new(Metrics::new()), Arc::new(|_| {}));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (found, text) = runtime.block_on(async {
            let response = app.oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20)
                .await
                .unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        });
        assert_eq!(found, status, "{text}");
        assert!(text.contains(body), "{text}");
    }

    #[test]
    fn readiness_is_about_rules_that_answer() {
        let digest = Some(Digest::new([0xab; 32]));
        check(
            None,
            &[],
            "/readyz",
            503,
            r#"{"ready":false,"bundles":[{"name":"orders","digest":null}],"degraded":[]}"#,
        );
        check(
            digest,
            &[],
            "/readyz",
            200,
            r#"{"ready":true,"bundles":[{"name":"orders","digest":"abab"#,
        );
        check(
            digest,
            &["1 faults"],
            "/readyz",
            200,
            r#""degraded":[{"bundle":"orders","what":"refused","detail":"1 faults","faults":[{"rule":"parse","place":{"file":"a.cedar","line":1,"column":1},"message":"no"}]}]"#,
        );
    }

    #[test]
    fn liveness_asks_nothing_and_metrics_are_open_metrics() {
        check(None, &[], "/livez", 200, "ok");
        check(None, &[], "/metrics", 200, "# EOF");
        check(None, &[], "/", 404, "");
    }
}

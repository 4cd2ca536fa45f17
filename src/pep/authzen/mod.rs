//! OpenID AuthZEN Authorization API 1.0: evaluation, evaluations, metadata.
//!
//! The subject is asserted by the caller, so a question needs the right `vouch`; the caller's own
//! credential is in `Authorization`. A policy's "no" is 200 with `false`; so is a question about
//! what the schema does not know, with `context.error`.

mod answer;
mod ask;
mod batch;
mod body;
mod metadata;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{Response, request::Parts},
    routing::{get, post},
};

use self::ask::Asker;
use super::{
    admission::{Admission, Arrival, Class},
    guard::Call,
    http::{self, REQUEST_ID, Reply},
};
use crate::{
    audit::Recorder,
    model::{BundleName, Face, Refusal, Timestamp},
    pdp::Pdp,
};

/// The media type of answers.
const JSON: &str = "application/json";
/// Where the metadata is (§9, RFC 8615).
const METADATA: &str = "/.well-known/authzen-configuration";

/// Serves the decision point to AuthZEN callers.
#[derive(Clone, Debug)]
pub struct AuthzenFace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pdp: Arc<Pdp>,
    recorder: Recorder,
    clock: fn() -> Timestamp,
    url: Option<String>,
    bundles: Vec<BundleName>,
    admission: Admission,
}

type InPath = Option<Path<String>>;

impl AuthzenFace {
    /// A face of `pdp`; `recorder` takes what never reaches it. Callers know it by `url`, without
    /// which it serves no metadata, and may name one of `bundles` in the path.
    pub fn new(
        pdp: Arc<Pdp>,
        recorder: Recorder,
        clock: fn() -> Timestamp,
        url: Option<String>,
        bundles: Vec<BundleName>,
        admission: Admission,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                pdp,
                recorder,
                clock,
                url,
                bundles,
                admission,
            }),
        }
    }

    /// The routes, of the default bundle and under `/b/{bundle}`.
    pub fn router(self) -> Router {
        let mut router = Router::new();
        for prefix in ["", "/b/{bundle}"] {
            router = router
                .route(&format!("{prefix}/access/v1/evaluation"), post(evaluation))
                .route(
                    &format!("{prefix}/access/v1/evaluations"),
                    post(evaluations),
                )
                .route(&format!("{prefix}{METADATA}"), get(metadata::serve));
        }
        // Where RFC 8615 puts the metadata of `https://host/b/{bundle}`.
        router
            .route(&format!("{METADATA}/b/{{bundle}}"), get(metadata::serve))
            .with_state(self)
    }

    /// Answers `request`, which holds one question or, where `many` are allowed, a list; its
    /// `X-Request-ID` comes back (§10.1.3).
    async fn serve(&self, bundle: InPath, request: Request, many: bool) -> Response<Body> {
        let now = (self.inner.clock)();
        let (parts, body) = request.into_parts();
        let reply = match http::request_id(&parts.headers) {
            Ok(id) => self
                .answer(bundle, &parts, body, now, many)
                .await
                .with_header(REQUEST_ID, id),
            Err(fault) => {
                let refusal = Refusal::malformed(REQUEST_ID, "not_printable", fault.message());
                let mut call = Call::new(&self.inner.recorder, Face::Authzen, now);
                answer::refused(&call.refuse(refusal), false)
            }
        };
        reply.into_response()
    }

    async fn answer(
        &self,
        bundle: InPath,
        parts: &Parts,
        body: Body,
        now: Timestamp,
        many: bool,
    ) -> Reply {
        let Inner {
            pdp,
            recorder,
            admission,
            ..
        } = &*self.inner;
        let request_id = http::request_id(&parts.headers).ok().flatten();
        let call = || {
            Call::new(recorder, Face::Authzen, now).with_request_id(request_id.unwrap_or_default())
        };
        let bundle = bundle.map(|Path(name)| BundleName::new(name));
        let asker = match Asker::read(parts, bundle, request_id) {
            Ok(asker) => asker,
            Err(refusal) => return answer::refused(&call().refuse(refusal), true),
        };
        let class = match many {
            true => Class::Batch,
            false => Class::Check,
        };
        let arrival = parts.extensions.get::<Arrival>();
        // Whoever is slow to send holds no place.
        let request = match arrival {
            Some(arrival) if arrival.overloaded => Err(call().refuse(Refusal::Overloaded)),
            _ => {
                let read = async { body::read(&parts.headers, body).await.map(Ok) };
                let patience = admission.time_left(None, arrival);
                call().within(patience).answer(read).await
            }
        };
        let request = match request {
            Ok(request) => request,
            Err(refused) => return answer::refused(&refused, asker.has_credential()),
        };
        let whole = call().admitted(admission, class, arrival, None);
        let work = async {
            let batch = batch::read(request, many, admission.bounds().evaluations)?;
            let mut view = pdp.view();
            let mut answers = Vec::with_capacity(batch.items.len());
            for item in &batch.items {
                let work = async {
                    let ask = asker.ask(&batch.defaults, item)?;
                    Ok(pdp.answer_within(&mut view, ask, now).await)
                };
                let answered = call().answer(work).await;
                let ends = batch
                    .semantic
                    .is_some_and(|semantic| semantic.ends_with(&answered));
                answers.push(answered);
                if ends {
                    break;
                }
                // Others have their turn on the thread.
                tokio::task::yield_now().await;
            }
            Ok(Ok((batch.semantic, answers)))
        };
        match whole.answer(work).await {
            Ok((None, answers)) => answer::one(&answers, asker.has_credential()),
            Ok((Some(_), answers)) => answer::many(&answers, asker.has_credential()),
            Err(refused) => answer::refused(&refused, asker.has_credential()),
        }
    }
}

/// `POST /access/v1/evaluation` (§6).
async fn evaluation(
    State(face): State<AuthzenFace>,
    bundle: InPath,
    request: Request,
) -> Response<Body> {
    face.serve(bundle, request, false).await
}

/// `POST /access/v1/evaluations` (§7).
async fn evaluations(
    State(face): State<AuthzenFace>,
    bundle: InPath,
    request: Request,
) -> Response<Body> {
    face.serve(bundle, request, true).await
}

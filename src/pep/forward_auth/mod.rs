//! The subrequests by which nginx, Caddy and Traefik ask whether a request may pass.
//!
//! The client's request is told in headers, and clients can send headers too. So each endpoint reads
//! exactly one family of them, which its gateway overwrites, and refuses whatever else could be taken
//! for one; only callers with the right `gateway` are answered. A gateway may let through what gets a
//! 5xx, so none is ever sent.

mod answer;
mod ask;
mod family;
mod token;

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::Response,
    routing::any,
};

use self::family::Gateway;
use super::{
    admission::{Admission, Arrival, Class},
    guard::{Call, caught},
    http::{self, Reply},
};
use crate::{
    audit::Recorder,
    config::IdentityHeaders,
    model::{BundleName, Face, Timestamp},
    pdp::Pdp,
};

/// Serves the decision point to gateways that forward the head of a request.
#[derive(Clone, Debug)]
pub struct ForwardAuthFace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pdp: Arc<Pdp>,
    recorder: Recorder,
    clock: fn() -> Timestamp,
    identity: IdentityHeaders,
    cookie: Option<String>,
    admission: Admission,
}

type InPath = Option<Path<HashMap<String, String>>>;

impl ForwardAuthFace {
    /// A face of `pdp` that tells upstreams what `identity` names, and reads tokens from `cookie`
    /// too, and works on no more than `admission` lets in; `recorder` takes what never reaches the
    /// decision point.
    pub fn new(
        pdp: Arc<Pdp>,
        recorder: Recorder,
        clock: fn() -> Timestamp,
        identity: IdentityHeaders,
        cookie: Option<String>,
        admission: Admission,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                pdp,
                recorder,
                clock,
                identity,
                cookie,
                admission,
            }),
        }
    }

    /// The routes, of the bundle that host or default choose and under `/b/{bundle}`.
    pub fn router(self) -> Router {
        let mut router = Router::new();
        for gateway in Gateway::ALL {
            for prefix in ["", "/b/{bundle}"] {
                let serve = move |State(face): State<Self>, bundle: InPath, request: Request| async move {
                    face.serve(gateway, bundle, request).await
                };
                let path = format!("{prefix}/forward-auth/{}", gateway.as_str());
                router = match gateway {
                    Gateway::Envoy => router
                        .route(&format!("{path}/"), any(serve))
                        .route(&format!("{path}/{{*target}}"), any(serve)),
                    Gateway::Nginx | Gateway::Caddy | Gateway::Traefik => {
                        router.route(&path, any(serve))
                    }
                };
            }
        }
        router.with_state(self)
    }

    async fn serve(&self, gateway: Gateway, bundle: InPath, request: Request) -> Response<Body> {
        let Inner {
            pdp,
            recorder,
            clock,
            identity,
            cookie,
            admission,
        } = &*self.inner;
        let now = clock();
        let (parts, _unread) = request.into_parts();
        let bundle = bundle.and_then(|Path(mut it)| it.remove("bundle").map(BundleName::new));
        // The client may have chosen the id, so one that no log could hold is left out.
        let request_id = http::request_id(&parts.headers).ok().flatten();
        let call = Call::new(recorder, Face::ForwardAuth, now)
            .with_request_id(request_id.unwrap_or_default())
            .admitted(
                admission,
                Class::Check,
                parts.extensions.get::<Arrival>(),
                None,
            );
        let work = async {
            let mut ask = ask::to_access_request(&parts, gateway, identity, cookie.as_deref())?;
            ask.bundle = bundle;
            ask.request_id = request_id.map(str::to_owned);
            Ok(pdp.answer(ask, now).await)
        };
        let answered = call.answer(work).await;
        let reply = caught(async {
            match &answered {
                Ok(answer) => answer::to_reply(answer, identity),
                Err(refused) => answer::to_refusal(refused, identity, gateway),
            }
        });
        let reply = reply.await.unwrap_or_else(|_| Reply::new(403));
        reply.into_response()
    }
}

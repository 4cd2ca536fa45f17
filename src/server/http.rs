//! The HTTP listener: AuthZEN and forward-auth.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use tokio::net::TcpListener;

use super::clock;
use crate::{
    audit::Recorder,
    config::{HttpConfig, IdentityHeaders},
    model::BundleName,
    pdp::Pdp,
    pep::{authzen::AuthzenFace, forward_auth::ForwardAuthFace},
};

/// What the faces of this listener need.
pub(super) struct Faces {
    pub(super) http: HttpConfig,
    pub(super) identity: IdentityHeaders,
    pub(super) bundles: Vec<BundleName>,
}

impl Faces {
    /// Every route of the listener.
    pub(super) fn router(self, pdp: &Arc<Pdp>, recorder: &Recorder) -> Router {
        let Self {
            http,
            identity,
            bundles,
        } = self;
        let HttpConfig {
            authzen_url,
            cookie,
        } = http;
        let (pdp, recorder) = (|| Arc::clone(pdp), || recorder.clone());
        let authzen = AuthzenFace::new(pdp(), recorder(), clock::now, authzen_url, bundles);
        let forward_auth = ForwardAuthFace::new(pdp(), recorder(), clock::now, identity, cookie);
        authzen.router().merge(forward_auth.router())
    }
}

/// Serves until `stop` resolves, then finishes what is in flight.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(stop)
        .await
        .map_err(|why| why.to_string())
}

//! What the HTTP listener serves: AuthZEN and forward-auth.

use std::sync::Arc;

use axum::Router;

use crate::{
    audit::Recorder,
    config::{HttpConfig, IdentityHeaders},
    model::{BundleName, Timestamp},
    pdp::Pdp,
    pep::{admission::Admission, authzen::AuthzenFace, forward_auth::ForwardAuthFace},
};

/// What the faces of this listener need.
pub(super) struct Faces {
    pub(super) http: HttpConfig,
    pub(super) identity: IdentityHeaders,
    pub(super) bundles: Vec<BundleName>,
}

impl Faces {
    /// Every route of the listener.
    pub(super) fn router(
        self,
        pdp: &Arc<Pdp>,
        recorder: &Recorder,
        admission: &Admission,
        clock: fn() -> Timestamp,
    ) -> Router {
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
        let admission = || admission.clone();
        let authzen = AuthzenFace::new(pdp(), recorder(), clock, authzen_url, bundles, admission());
        let forward_auth =
            ForwardAuthFace::new(pdp(), recorder(), clock, identity, cookie, admission());
        authzen.router().merge(forward_auth.router())
    }
}

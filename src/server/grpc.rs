//! The gRPC listener: what it serves and what it withstands.

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::{server::NamedService as _, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};

use super::accept;
use crate::{
    admin::probe::ReadinessSource,
    pep::{ext_authz::ExtAuthzFace, grpc::DecisionFace},
    proto::{self, v1::decision_service_server::DecisionServiceServer},
};

const SERVICE: &str = DecisionServiceServer::<DecisionFace>::NAME;

/// Serves until `stop` resolves, then finishes what is in flight.
pub(super) async fn serve(
    listener: TcpListener,
    face: DecisionFace,
    ext_authz: ExtAuthzFace,
    health: HealthReporter,
    stop: impl Future<Output = ()>,
) -> Result<(), String> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|why| why.to_string())?;
    guarded(Server::builder())
        .add_service(face.into_service())
        .add_service(ext_authz.into_service())
        .add_service(tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(health),
        ))
        .add_service(reflection)
        .serve_with_incoming_shutdown(accept::connections(listener), stop)
        .await
        .map_err(|why| why.to_string())
}

/// Bounds what one peer can make us hold or do. hyper leaves most of these without a limit.
fn guarded(server: Server) -> Server {
    server
        .max_concurrent_streams(128)
        // Malformed frames that make us reset streams (CVE-2025-8671) end the connection here.
        .http2_max_local_error_reset_streams(Some(1024))
        .http2_max_pending_accept_reset_streams(Some(20))
        .http2_max_header_list_size(32 * 1024)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_connection_age(Duration::from_secs(30 * 60))
        .max_connection_age_grace(Duration::from_secs(10))
        // A message that is announced and never sent; handlers have a tighter deadline of their own.
        .timeout(Duration::from_secs(5))
}

/// Health as gRPC tells it: serving once every bundle has rules, and never taken back by a refused
/// push.
pub(super) async fn announce(health: HealthReporter, readiness: ReadinessSource) {
    set(&health, ServingStatus::NotServing).await;
    while !readiness().is_ready() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    set(&health, ServingStatus::Serving).await;
}

/// Tells watchers that the end is near.
pub(super) async fn withdraw(health: &HealthReporter) {
    set(health, ServingStatus::NotServing).await;
}

async fn set(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status("", status).await;
    health.set_service_status(SERVICE, status).await;
}

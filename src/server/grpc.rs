//! What the gRPC listener serves.

use std::time::Duration;

use axum::Router;
use tonic::{server::NamedService as _, service::Routes};
use tonic_health::{ServingStatus, pb::health_server::HealthServer, server::HealthReporter};

use crate::{
    admin::{
        Desk, audit::AuditFace, directory::DirectoryFace, probe::ReadinessSource,
        revocation::RevocationFace,
    },
    config::LimitsConfig,
    pep::{ext_authz::ExtAuthzFace, grpc::DecisionFace},
    proto::{self, v1::decision_service_server::DecisionServiceServer},
};

/// Largest message of services whose messages are names, in bytes.
const SMALL: usize = 4096;
/// How often it is looked whether questions can still be answered.
const LOOK: Duration = Duration::from_secs(1);
const SERVICE: &str = DecisionServiceServer::<DecisionFace>::NAME;

/// Every service of the listener.
///
/// # Errors
/// When our own descriptors cannot be read.
pub(super) fn router(
    face: DecisionFace,
    ext_authz: ExtAuthzFace,
    health: HealthReporter,
    limits: &LimitsConfig,
) -> Result<Router, String> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|why| why.to_string())?;
    let health = tonic_health::server::HealthService::from_health_reporter(health);
    Ok(Routes::new(face.into_service(limits.message))
        .add_service(ext_authz.into_service(limits.ext_authz_message))
        .add_service(HealthServer::new(health).max_decoding_message_size(SMALL))
        .add_service(reflection)
        .prepare()
        .into_axum_router())
}

/// Every service of the listener for operators.
pub(super) fn admin_router(desk: Desk, audit: AuditFace) -> Router {
    let directory = DirectoryFace::new(desk.clone()).into_service();
    Routes::new(directory)
        .add_service(RevocationFace::new(desk).into_service())
        .add_service(audit.into_service())
        .prepare()
        .into_axum_router()
}

/// Health as gRPC tells it: serving once every bundle has rules, and never taken back by a refused
/// push, but where every question is refused until a restart.
pub(super) async fn announce(health: HealthReporter, readiness: ReadinessSource) {
    set(&health, ServingStatus::NotServing).await;
    while !readiness().is_ready() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    set(&health, ServingStatus::Serving).await;
    while !readiness().unreadable {
        tokio::time::sleep(LOOK).await;
    }
    set(&health, ServingStatus::NotServing).await;
}

/// Tells watchers that the end is near.
pub(super) async fn withdraw(health: &HealthReporter) {
    set(health, ServingStatus::NotServing).await;
}

async fn set(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status("", status).await;
    health.set_service_status(SERVICE, status).await;
}

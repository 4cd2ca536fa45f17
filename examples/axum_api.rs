//! An orders API that asks Doorward about every request.
//!
//! ```text
//! doorward serve --dev
//! cargo run --example axum_api
//! TOKEN=$(doorward token --sub alice --scope orders:read --claim tenant='"acme"' --claim roles='["clerk"]')
//! curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/tenants/acme/orders/o-1
//! curl -i http://127.0.0.1:8000/tenants/acme/orders/o-1
//! ```
//!
//! `DOORWARD_URL`, `DOORWARD_SECRET` and `LISTEN` say it otherwise.

use std::{env, error::Error, time::Duration};

use axum::{Extension, Json, Router, extract::Path, routing::get};
use doorward::client::{Authorize, Client, ClientOptions, Verdict};
use serde_json::{Value, json};

/// Handlers see allowed requests only, and by which decision.
async fn read_order(
    Path((tenant, order)): Path<(String, String)>,
    Extension(verdict): Extension<Verdict>,
) -> Json<Value> {
    let decision = verdict.decision();
    let obligations: Vec<_> = decision.obligations.iter().map(|it| &it.text).collect();
    Json(json!({
        "tenant": tenant,
        "order": order,
        "decision_id": decision.decision_id,
        "obligations": obligations,
    }))
}

/// The whole API behind Doorward: routes of the bundle say what a method and a path mean. With
/// `Authorize::named`, this service would say it itself.
fn api(doorward: Client) -> Router {
    Router::new()
        .route("/tenants/{tenant}/orders/{order}", get(read_order))
        .layer(Authorize::http(doorward, &[]))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let var = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let options = ClientOptions {
        deadline: Duration::from_secs(1),
        cache: 10_000,
        ..ClientOptions::default()
    };
    let mut doorward = Client::lazy(&var("DOORWARD_URL", "http://127.0.0.1:9191"), options)?;
    if let Ok(secret) = env::var("DOORWARD_SECRET") {
        doorward = doorward.with_secret(&secret)?;
    }
    let listener = tokio::net::TcpListener::bind(var("LISTEN", "127.0.0.1:8000")).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, api(doorward)).await?;
    Ok(())
}

//! A service behind `client::Authorize` sees only what was allowed, whatever Doorward does.

mod asking;
mod layer;

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Ready, pending, ready},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{self, HeaderMap, Request, StatusCode};
use doorward::{
    client::{Authorize, Client, ClientError, ClientOptions, Verdict},
    model::EntityRef,
    proto::v1::{
        Challenge, CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse,
        CheckStreamRequest, CheckStreamResponse, Decision, ExplainRequest, ExplainResponse,
        NamedQuestion, Obligation, Outcome, Reason, StepUp, challenge,
        check_request::{Question, Subject},
        decision_service_server::{DecisionService, DecisionServiceServer},
    },
};
use futures_util::Stream;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tonic::{
    Code, Status, Streaming,
    transport::server::{Server, TcpIncoming},
};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer as _, Service, ServiceExt as _};

type Script = Arc<dyn Fn(usize, &CheckRequest) -> Behaviour + Send + Sync>;

/// What the scripted Doorward does with a question.
enum Behaviour {
    Answer(Box<Decision>),
    Refuse(Code, &'static str),
    /// As a broken transport ends a call: without details.
    Break,
    Hang,
}

struct Scripted {
    script: Script,
    asked: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl DecisionService for Scripted {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, Status> {
        let nth = self.asked.fetch_add(1, Ordering::SeqCst);
        let behaviour = (self.script)(nth, request.get_ref());
        match behaviour {
            Behaviour::Answer(decision) => Ok(tonic::Response::new(CheckResponse {
                decision: Some(*decision),
            })),
            Behaviour::Refuse(code, reason) => {
                let about = HashMap::from([("decision_id".to_owned(), "d-2".to_owned())]);
                let details = ErrorDetails::with_error_info(reason, "doorward", about);
                Err(Status::with_error_details(code, "as told", details))
            }
            Behaviour::Break => Err(Status::unavailable("gone")),
            Behaviour::Hang => pending().await,
        }
    }

    async fn check_batch(
        &self,
        _: tonic::Request<CheckBatchRequest>,
    ) -> Result<tonic::Response<CheckBatchResponse>, Status> {
        Err(Status::unimplemented("one at a time"))
    }

    async fn explain(
        &self,
        _: tonic::Request<ExplainRequest>,
    ) -> Result<tonic::Response<ExplainResponse>, Status> {
        Err(Status::unimplemented("decisions only"))
    }

    type CheckStreamStream =
        Pin<Box<dyn Stream<Item = Result<CheckStreamResponse, Status>> + Send>>;

    async fn check_stream(
        &self,
        _: tonic::Request<Streaming<CheckStreamRequest>>,
    ) -> Result<tonic::Response<Self::CheckStreamStream>, Status> {
        Err(Status::unimplemented("one at a time"))
    }
}

fn decided(outcome: Outcome) -> Decision {
    Decision {
        outcome: outcome.into(),
        decision_id: "d-1".to_owned(),
        ..Decision::default()
    }
}

fn allow() -> Behaviour {
    Behaviour::Answer(Box::new(decided(Outcome::Allow)))
}

/// A scripted Doorward and a client of it.
struct World {
    client: Client,
    asked: Arc<AtomicUsize>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server under test is a task of the test"
)]
async fn world(
    options: ClientOptions,
    script: impl Fn(usize, &CheckRequest) -> Behaviour + Send + Sync + 'static,
) -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let service = Scripted {
        script: Arc::new(script),
        asked: Arc::clone(&asked),
    };
    tokio::spawn(
        Server::builder()
            .add_service(DecisionServiceServer::new(service))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    World {
        client: Client::lazy(&format!("http://{address}"), options).unwrap(),
        asked,
    }
}

/// A service that counts who reaches it.
#[derive(Clone, Default)]
struct Counting {
    reached: Arc<AtomicUsize>,
}

impl Service<Request<()>> for Counting {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        self.reached.fetch_add(1, Ordering::SeqCst);
        let verdict = request.extensions().get::<Verdict>();
        let id = verdict.map_or("", |it| &it.decision().decision_id);
        ready(Ok(http::Response::new(id.to_owned())))
    }
}

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    reached: usize,
}

impl Answered {
    fn code(&self) -> String {
        let body: Json = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status.as_u16());
        body["code"].as_str().unwrap().to_owned()
    }
}

async fn through(layer: &Authorize<String>, request: Request<()>) -> Answered {
    let service = Counting::default();
    let response = layer.layer(service.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answered {
        status: parts.status,
        headers: parts.headers,
        body,
        reached: service.reached.load(Ordering::SeqCst),
    }
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn read() -> Request<()> {
    let headers = [("host", "shop.example"), ("authorization", "Bearer t")];
    request("GET", "/orders/o-1?x=1", &headers)
}

fn impatient() -> ClientOptions {
    ClientOptions {
        deadline: Duration::from_millis(200),
        ..ClientOptions::default()
    }
}

#[track_caller]
fn refused(answer: &Answered, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
    assert_eq!(answer.reached, 0);
    assert_eq!(answer.code(), code);
}

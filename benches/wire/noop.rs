//! The server that decides nothing: the same messages and limits, and an answer of the same size.

use std::{env, pin::Pin};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward::proto::v1::{
    CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse, CheckResult,
    CheckStreamRequest, CheckStreamResponse, ExplainRequest, ExplainResponse, check_result,
    check_stream_response,
    decision_service_server::{DecisionService, DecisionServiceServer},
};
use futures_util::{Stream, StreamExt as _};
use prost::Message as _;
use tokio::{net::TcpListener, runtime::Builder};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Says that this process is to be that server.
pub(crate) const ROLE: &str = "--no-op";
/// Where it is told what to answer.
pub(crate) const ANSWER: &str = "WIRE_ANSWER";

/// When set, it runs on one thread alone: what that would gain anyone.
const ONE_THREAD: &str = "WIRE_ONE_THREAD";

struct NoOp {
    answer: CheckResponse,
}

#[tonic::async_trait]
impl DecisionService for NoOp {
    type CheckStreamStream =
        Pin<Box<dyn Stream<Item = Result<CheckStreamResponse, Status>> + Send>>;

    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(self.answer.clone()))
    }

    async fn explain(
        &self,
        _: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn check_batch(
        &self,
        request: Request<CheckBatchRequest>,
    ) -> Result<Response<CheckBatchResponse>, Status> {
        let result = || CheckResult {
            result: self
                .answer
                .decision
                .clone()
                .map(check_result::Result::Decision),
        };
        let results = request.get_ref().checks.iter().map(|_| result()).collect();
        Ok(Response::new(CheckBatchResponse { results }))
    }

    async fn check_stream(
        &self,
        request: Request<Streaming<CheckStreamRequest>>,
    ) -> Result<Response<Self::CheckStreamStream>, Status> {
        let answer = self.answer.clone();
        let answers = request.into_inner().map(move |question| {
            Ok(CheckStreamResponse {
                id: question?.id,
                result: answer
                    .decision
                    .clone()
                    .map(check_stream_response::Result::Decision),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Serves until it is killed, and says where on its first line.
pub(crate) fn serve() {
    let answer = STANDARD.decode(env::var(ANSWER).unwrap()).unwrap();
    let answer = CheckResponse::decode(&answer[..]).unwrap();
    let mut runtime = match env::var_os(ONE_THREAD) {
        None => Builder::new_multi_thread(),
        Some(_) => Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        eprintln!("gRPC {}\n", listener.local_addr().unwrap());
        let incoming = TcpListenerStream::new(listener).map(|stream| {
            let stream = stream?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(stream)
        });
        Server::builder()
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .max_concurrent_streams(256)
            .add_service(
                DecisionServiceServer::new(NoOp { answer }).max_decoding_message_size(256 * 1024),
            )
            .serve_with_incoming(incoming)
            .await
            .unwrap();
    });
}

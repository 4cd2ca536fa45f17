//! A client of HTTP/2 that does as it likes.

use std::net::SocketAddr;

use doorward::proto::v1::{CheckRequest, CheckResponse, Outcome};
use h2::client::SendRequest;
use prost::Message as _;
use prost::bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

pub(crate) const CHECK: &str = "/doorward.v1.DecisionService/Check";

/// A connection, driven by a task of its own.
pub(crate) struct Raw {
    pub(crate) sender: SendRequest<Bytes>,
}

/// What came back for one request.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) grpc_status: Option<i32>,
    pub(crate) message: Vec<u8>,
}

impl Reply {
    /// `allow`, `deny`, or the number of the status.
    pub(crate) fn word(&self) -> String {
        match (self.grpc_status, self.message.get(5..)) {
            (Some(0), Some(bytes)) => {
                let decision = CheckResponse::decode(bytes).unwrap().decision.unwrap();
                match decision.outcome() {
                    Outcome::Allow => "allow".to_owned(),
                    Outcome::Deny => "deny".to_owned(),
                    Outcome::Unspecified => panic!("neither"),
                }
            }
            (status, _) => status.map_or("none".to_owned(), |it| it.to_string()),
        }
    }
}

/// A message as gRPC frames it.
pub(crate) fn framed(request: &CheckRequest) -> Vec<u8> {
    let message = request.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    bytes
}

pub(crate) async fn connect(address: SocketAddr) -> Result<Raw, h2::Error> {
    over(TcpStream::connect(address).await.unwrap()).await
}

pub(crate) async fn over<T>(io: T) -> Result<Raw, h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = h2::client::handshake(io).await?;
    // Its end is seen by the calls over it.
    drop(tokio::spawn(connection));
    Ok(Raw { sender })
}

impl Raw {
    /// Begins a call with these headers; the body is up to the caller.
    pub(crate) async fn begin(
        &mut self,
        headers: &[(&str, &str)],
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let mut request = http::Request::post(format!("http://doorward{CHECK}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut ready = self.sender.clone().ready().await?;
        ready.send_request(request.body(()).unwrap(), false)
    }

    /// Sends these bytes as the body of a call.
    pub(crate) async fn post(
        &mut self,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Reply, h2::Error> {
        let (response, mut stream) = self.begin(headers).await?;
        stream.send_data(body.into(), true)?;
        read(response).await
    }
}

/// Reads a response to its end.
pub(crate) async fn read(response: h2::client::ResponseFuture) -> Result<Reply, h2::Error> {
    let response = response.await?;
    let status = |headers: &http::HeaderMap| {
        let value = headers.get("grpc-status")?;
        value.to_str().ok()?.parse().ok()
    };
    let mut reply = Reply {
        grpc_status: status(response.headers()),
        ..Reply::default()
    };
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        reply.message.extend(&data);
    }
    if let Some(trailers) = body.trailers().await? {
        reply.grpc_status = reply.grpc_status.or(status(&trailers));
    }
    Ok(reply)
}

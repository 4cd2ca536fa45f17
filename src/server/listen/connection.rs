//! One connection: every guard that HTTP has, set explicitly, and an end in order.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, Response, header},
};
use futures_util::FutureExt as _;
use hyper::{body::Incoming, server::conn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{io::AsyncRead, io::AsyncWrite, sync::watch};
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::{Protocol, Shared, arrival::Waiter, preface::Guarded};
use crate::{
    pep::{peer::Peer, rim::Rim},
    server::traces::request_span,
};

/// Largest header list, in bytes.
const HEADERS: u32 = 32 * 1024;
/// Most headers of an HTTP/1.1 request.
const HEADER_COUNT: usize = 100;
/// Unread bytes of a stream and of a connection: what a peer can make us hold by sending.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a stream that wait to be sent: what a peer can make us hold by not reading.
const SEND_BUFFER: usize = 64 * 1024;
/// A peer that is silent is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the streams of a connection that is too old may take to end.
const AGE_GRACE: Duration = Duration::from_secs(10);

/// What a connection is served with.
pub(super) struct Serving {
    pub(super) shared: Arc<Shared>,
    pub(super) router: Router,
    pub(super) closing: watch::Receiver<bool>,
}

impl Serving {
    /// Serves `io` until it ends, is too old, or the server ends.
    pub(super) async fn run(self, io: super::Io, peer: Peer) {
        let Self {
            shared,
            router,
            closing,
        } = self;
        let limits = shared.limits;
        let protocol = shared.protocol;
        let service = hyper::service::service_fn(move |request| {
            // Now, and not when a thread has time for it.
            let waiter = shared.waiting.enter();
            answer(
                Arc::clone(&shared),
                router.clone(),
                peer.clone(),
                waiter,
                request,
            )
        });
        match protocol {
            Protocol::Grpc => {
                let io = Guarded::new(io, limits.handshake);
                let mut builder = conn::http2::Builder::new(TokioExecutor::new());
                builder
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(limits.streams_per_connection)
                    // Malformed frames that make us reset streams (CVE-2025-8671), and clients that
                    // open and reset (CVE-2023-44487), end the connection here.
                    .max_local_error_reset_streams(1024)
                    .max_pending_accept_reset_streams(20)
                    .max_header_list_size(HEADERS)
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .max_send_buf_size(SEND_BUFFER)
                    .keep_alive_interval(KEEPALIVE)
                    .keep_alive_timeout(KEEPALIVE_TIMEOUT);
                let connection = builder.serve_connection(TokioIo::new(io), service);
                drive(connection, closing, limits.connection_age).await;
            }
            Protocol::Http => {
                let mut builder = conn::http1::Builder::new();
                builder
                    .timer(TokioTimer::new())
                    .header_read_timeout(limits.handshake)
                    .max_headers(HEADER_COUNT)
                    .max_buf_size(64 * 1024)
                    .half_close(false);
                let connection = builder.serve_connection(TokioIo::new(io), service);
                drive(connection, closing, limits.connection_age).await;
            }
        }
    }
}

/// A connection that can be asked to end.
trait Ends: Future {
    fn end(self: std::pin::Pin<&mut Self>);
}

impl<I, S> Ends for conn::http2::Connection<TokioIo<I>, S, TokioExecutor>
where
    Self: Future,
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn end(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Ends for conn::http1::Connection<TokioIo<I>, S>
where
    Self: Future,
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn end(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Runs a connection to its end. When the server ends, so does it once its streams have; when it is
/// too old, they have a moment.
async fn drive(connection: impl Ends, mut closing: watch::Receiver<bool>, age: Duration) {
    let mut connection = pin!(connection);
    let too_old = tokio::select! {
        // What has come already is read before anything ends.
        biased;
        _ended = connection.as_mut() => return,
        // An error means that the listener is gone already.
        _closing = closing.wait_for(|closing| *closing) => false,
        () = tokio::time::sleep(age) => true,
    };
    connection.as_mut().end();
    match too_old {
        true => drop(tokio::time::timeout(AGE_GRACE, connection).await),
        false => drop(connection.await),
    }
}

/// Answers one request, unless it does not arrive in time.
async fn answer(
    shared: Arc<Shared>,
    router: Router,
    peer: Peer,
    waiter: Waiter,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let limit = shared.limits.request;
    let span = request_span(&request);
    let rim = Rim::of(&request, shared.protocol == Protocol::Grpc);
    let served = async {
        let mut request = request.map(Body::new);
        if rim.is_of_one_host() && !is_expected(&shared.hosts, &request) {
            return Ok(rim.misdirected());
        }
        let extensions = request.extensions_mut();
        extensions.insert(peer);
        extensions.insert(waiter.begin());
        router.oneshot(request).await
    };
    // Handlers catch their own panics, and tell them as their protocol demands; this is for what is
    // around them. A request shares nothing with others that a panic could leave half done.
    let served = AssertUnwindSafe(served.instrument(span)).catch_unwind();
    match tokio::time::timeout(limit, served).await {
        Ok(Ok(Ok(response))) => Ok(rim.settle(response)),
        Ok(Err(_)) => Ok(rim.broken()),
        Err(_) => Ok(rim.late()),
    }
}

/// Whether a request names a host that is ours: a page in some browser may have been given our
/// address under a name of its own.
fn is_expected<B>(hosts: &[String], request: &Request<B>) -> bool {
    if hosts.is_empty() {
        return true;
    }
    let named = match request.uri().host() {
        Some(host) => Some(host),
        None => the_host(request.headers()),
    };
    named.is_some_and(|host| hosts.iter().any(|it| it.eq_ignore_ascii_case(host)))
}

/// The one `Host`, without its port.
fn the_host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return None;
    };
    let host = host.to_str().ok()?;
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => Some(name),
        _ => Some(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listed: &[&str], named: &[&str], expected: bool) {
        let mut request = Request::get("/readyz");
        for host in named {
            request = request.header(header::HOST, *host);
        }
        let listed: Vec<_> = listed.iter().map(|it| (*it).to_owned()).collect();
        let found = is_expected(&listed, &request.body(()).unwrap());
        assert_eq!(found, expected, "{named:?} in {listed:?}");
    }

    #[test]
    fn only_listed_hosts_are_answered() {
        check(&[], &["evil.example"], true);
        check(&[], &[], true);
        let ours = ["pdp.example", "127.0.0.1", "[::1]"];
        check(&ours, &["pdp.example"], true);
        check(&ours, &["PDP.example:8181"], true);
        check(&ours, &["127.0.0.1:8282"], true);
        check(&ours, &["[::1]:8282"], true);
        check(&ours, &["[::1]"], true);
        check(&ours, &["evil.example"], false);
        check(&ours, &["pdp.example.evil"], false);
        check(&ours, &["evil.example", "pdp.example"], false);
        check(&ours, &["pdp.example:x"], false);
        check(&ours, &[""], false);
        check(&ours, &[], false);
    }
}

//! Which connections get as far as HTTP/2.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::{Connected, TcpIncoming};

/// Connections at once; each costs some 10 KiB while idle.
const MAX_CONNECTIONS: usize = 10_000;
/// Bytes by which a client of HTTP/2 introduces itself (RFC 9113 §3.4). Once they are here,
/// keepalive watches over the connection.
const PREFACE: usize = 24;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failed accept: out of file descriptors, the next would fail at once.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections of `listener`, bounded in number and in patience.
pub(super) fn connections(
    listener: TcpListener,
) -> impl Stream<Item = io::Result<Guarded<TcpStream>>> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .then(move |accepted| admit(accepted, Arc::clone(&places)))
        .filter_map(|admitted| admitted)
}

async fn admit(
    accepted: io::Result<TcpStream>,
    places: Arc<Semaphore>,
) -> Option<io::Result<Guarded<TcpStream>>> {
    match accepted {
        Ok(io) => match places.try_acquire_owned() {
            Ok(place) => Some(Ok(Guarded::new(io, Some(place), PATIENCE))),
            Err(_) => {
                tracing::debug!(limit = MAX_CONNECTIONS, "connection closed: too many");
                None
            }
        },
        Err(why) => {
            tracing::warn!(error = %why, "connection not accepted");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

/// A connection that holds its place, and is given up when no client introduces itself.
pub(super) struct Guarded<T> {
    io: T,
    _place: Option<OwnedSemaphorePermit>,
    /// Bytes still missing of the introduction, and its end; `None` afterwards.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<T> Guarded<T> {
    fn new(io: T, place: Option<OwnedSemaphorePermit>, patience: Duration) -> Self {
        Self {
            io,
            _place: place,
            awaited: Some((PREFACE, Box::pin(tokio::time::sleep(patience)))),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if let Some((missing, end)) = &mut this.awaited {
            *missing = missing.saturating_sub(buf.filled().len() - before);
            if *missing == 0 {
                this.awaited = None;
            } else if read.is_pending() && end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<T: Connected> Connected for Guarded<T> {
    type ConnectInfo = T::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn a_client_that_does_not_introduce_itself_is_given_up() {
        for said in [0, PREFACE - 1] {
            let (mut client, server) = duplex(64);
            let mut guarded = Guarded::new(server, None, SHORT);
            client.write_all(&vec![b'x'; said]).await.unwrap();
            let end = guarded.read_to_end(&mut Vec::new()).await;
            assert_eq!(
                end.unwrap_err().kind(),
                io::ErrorKind::TimedOut,
                "{said} bytes"
            );
        }
    }

    #[tokio::test]
    async fn one_that_did_may_be_silent_for_longer() {
        let (mut client, server) = duplex(64);
        let mut guarded = Guarded::new(server, None, SHORT);
        client.write_all(&[b'x'; PREFACE]).await.unwrap();
        guarded.read_exact(&mut [0; PREFACE]).await.unwrap();
        let silence = tokio::time::timeout(4 * SHORT, guarded.read_u8()).await;
        assert!(silence.is_err(), "{silence:?}");
    }

    #[tokio::test]
    async fn beyond_the_bound_connections_are_closed_until_a_place_is_free() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let places = Arc::new(Semaphore::new(1));
        let accept = async || {
            let _client = TcpStream::connect(address).await.unwrap();
            let accepted = listener.accept().await.map(|(io, _)| io);
            admit(accepted, Arc::clone(&places)).await
        };
        let first = accept().await;
        assert!(first.is_some());
        assert!(accept().await.is_none());
        drop(first);
        assert!(accept().await.is_some());
    }
}

//! Clients that connect and do not say what they came for.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// Bytes by which a client of HTTP/2 introduces itself (RFC 9113 §3.4). Once they are here,
/// keepalive watches over the connection.
const PREFACE: usize = 24;
/// A connection that is given up when no client introduces itself.
pub(super) struct Guarded<T> {
    io: T,
    /// Bytes still missing of the introduction, and its end; `None` afterwards.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<T> Guarded<T> {
    /// Waits so long for the introduction.
    pub(super) fn new(io: T, patience: Duration) -> Self {
        Self {
            io,
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn a_client_that_does_not_introduce_itself_is_given_up() {
        for said in [0, PREFACE - 1] {
            let (mut client, server) = duplex(64);
            let mut guarded = Guarded::new(server, SHORT);
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
        let mut guarded = Guarded::new(server, SHORT);
        client.write_all(&[b'x'; PREFACE]).await.unwrap();
        guarded.read_exact(&mut [0; PREFACE]).await.unwrap();
        let silence = tokio::time::timeout(4 * SHORT, guarded.read_u8()).await;
        assert!(silence.is_err(), "{silence:?}");
    }
}

//! Sockets to listen on, and the connections they yield.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use tokio_rustls::server::TlsStream;

use crate::{config::ListenAddress, pep::peer::Peer};

/// Whom the file of a Unix socket lets in: the server's user and group.
const SOCKET_MODE: u32 = 0o660;

/// A socket that is listened on.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, Unlinked),
}

/// The file of a Unix socket, removed with it.
#[derive(Debug)]
pub(super) struct Unlinked(PathBuf);

impl Drop for Unlinked {
    fn drop(&mut self) {
        // Gone already is as good.
        let _gone = fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Listens on `address`.
    ///
    /// # Errors
    /// When it is taken, or not ours to take.
    pub(super) async fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            ListenAddress::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                let file = Unlinked(path.clone());
                fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// The address, with the port that the system chose.
    pub(super) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Self::Unix(_, Unlinked(path)) => Ok(ListenAddress::Unix(path.clone())),
        }
    }

    /// The next connection; it may be dropped while it waits.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are small and complete: waiting to fill a packet only delays them.
                stream.set_nodelay(true)?;
                let peer = Peer {
                    address: Some(address),
                    ..Peer::default()
                };
                Ok((Stream::Tcp(stream), peer))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer {
                    uid: Some(stream.peer_cred()?.uid()),
                    ..Peer::default()
                };
                Ok((Stream::Unix(stream), peer))
            }
        }
    }
}

/// Removes the socket of a server that is gone; one that answers, or another kind of file, stays.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type().is_socket(),
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    if is_socket
        && let Err(why) = UnixStream::connect(path).await
        && why.kind() == io::ErrorKind::ConnectionRefused
    {
        return fs::remove_file(path);
    }
    Ok(())
}

/// A connection in the clear.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection as requests come over it.
pub(super) enum Io {
    Plain(Stream),
    Tls(Box<TlsStream<Stream>>),
}

type Reader<'a> = Pin<&'a mut (dyn AsyncRead + Send)>;
type Writer<'a> = Pin<&'a mut (dyn AsyncWrite + Send)>;

impl Stream {
    fn reader(&mut self) -> Reader<'_> {
        match self {
            Self::Tcp(stream) => Pin::<&mut TcpStream>::new(stream),
            Self::Unix(stream) => Pin::<&mut UnixStream>::new(stream),
        }
    }

    fn writer(&mut self) -> Writer<'_> {
        match self {
            Self::Tcp(stream) => Pin::<&mut TcpStream>::new(stream),
            Self::Unix(stream) => Pin::<&mut UnixStream>::new(stream),
        }
    }
}

impl Io {
    fn reader(&mut self) -> Reader<'_> {
        match self {
            Self::Plain(stream) => stream.reader(),
            Self::Tls(stream) => Pin::<&mut TlsStream<Stream>>::new(stream),
        }
    }

    fn writer(&mut self) -> Writer<'_> {
        match self {
            Self::Plain(stream) => stream.writer(),
            Self::Tls(stream) => Pin::<&mut TlsStream<Stream>>::new(stream),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().reader().poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().writer().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().writer().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer().poll_shutdown(cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().reader().poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().writer().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().writer().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer().poll_shutdown(cx)
    }
}

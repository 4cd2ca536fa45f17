use std::os::unix::fs::MetadataExt as _;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::oneshot,
    task::JoinHandle,
};

use super::*;

struct Open {
    address: ListenAddress,
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), String>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the listener under test is a task of the test"
)]
async fn open(address: &ListenAddress, limits: LimitsConfig) -> io::Result<Open> {
    let metrics = Arc::new(Metrics::new());
    let setup = Setup {
        name: "http",
        protocol: Protocol::Http,
        tls: None,
        hosts: Vec::new(),
        limits,
        metrics: Arc::clone(&metrics),
        waiting: Waiting::new(64),
    };
    let listener = Listener::bind(address, setup).await?;
    let address = listener.address()?;
    let (stop, stopped) = oneshot::channel();
    let answer = |request: axum::extract::Request| async move {
        let peer = request.extensions().get::<Peer>().unwrap().clone();
        let body = axum::body::to_bytes(request.into_body(), 1024).await;
        format!("{:?} {}", peer.uid, body.unwrap().len())
    };
    let router = Router::new().fallback(answer);
    let ended = tokio::spawn(async move {
        let stopped = async {
            let _dropped = stopped.await;
        };
        listener.serve(router, stopped).await
    });
    Ok(Open {
        address,
        metrics,
        stop,
        ended,
    })
}

fn tcp() -> ListenAddress {
    "127.0.0.1:0".parse().unwrap()
}

async fn connect(address: &ListenAddress) -> Box<dyn Both> {
    match address {
        ListenAddress::Tcp(address) => {
            Box::new(tokio::net::TcpStream::connect(address).await.unwrap())
        }
        ListenAddress::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
    }
}

trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Both for T {}

/// All that comes back for `sent`, until the server closes.
async fn say(address: &ListenAddress, sent: &str) -> String {
    let mut stream = connect(address).await;
    // It may be cut off while it still speaks.
    let _cut_off = stream.write_all(sent.as_bytes()).await;
    let mut text = String::new();
    let _cut_off = stream.read_to_string(&mut text).await;
    text
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_unix_socket_names_its_user_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let address = ListenAddress::Unix(path.clone());
    let server = open(&address, LimitsConfig::default()).await.unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o660);
    let answer = say(&address, GET).await;
    assert!(
        answer.ends_with(&format!("Some({}) 0", metadata.uid())),
        "{answer}"
    );

    let taken = open(&address, LimitsConfig::default()).await;
    assert!(taken.is_err(), "a live socket is not taken over");
    assert!(say(&address, GET).await.contains(" 200 "));

    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    assert!(!path.exists());

    // One that a crash left behind is no hindrance; what is no socket is not touched.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(open(&address, LimitsConfig::default()).await.is_ok());
    let file = dir.path().join("precious");
    std::fs::write(&file, "data").unwrap();
    let address = ListenAddress::Unix(file.clone());
    assert!(open(&address, LimitsConfig::default()).await.is_err());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "data");
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_counted_until_a_place_is_free() {
    let limits = LimitsConfig {
        connections: 1,
        ..LimitsConfig::default()
    };
    let server = open(&tcp(), limits).await.unwrap();
    let mut first = connect(&server.address).await;
    first
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b'H');
    assert_eq!(say(&server.address, GET).await, "");
    let line = "doorward_connections_refused_total{listener=\"http\",reason=\"too_many\"} 1";
    assert!(server.metrics.render().contains(line));
    drop(first);
    while say(&server.address, GET).await.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[track_caller]
fn ends(answer: &str, status: &str) {
    assert!(answer.is_empty() || answer.contains(status), "{answer}");
}

#[tokio::test]
async fn headers_and_bodies_that_do_not_come_are_not_waited_for() {
    let limits = LimitsConfig {
        handshake: Duration::from_millis(50),
        request: Duration::from_millis(50),
        ..LimitsConfig::default()
    };
    let server = open(&tcp(), limits).await.unwrap();
    ends(&say(&server.address, "").await, " 408 ");
    ends(
        &say(&server.address, "GET / HTTP/1.1\r\nhost: a\r\nslow").await,
        " 408 ",
    );
    let missing = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc";
    assert!(say(&server.address, missing).await.contains(" 408 "));
    ends(
        &say(&server.address, "\x16\x03\x01 garbage\r\n\r\n").await,
        " 400 ",
    );
    assert!(say(&server.address, GET).await.contains(" 200 "));
}

#[tokio::test]
async fn a_connection_gets_no_older_than_its_age() {
    let limits = LimitsConfig {
        connection_age: Duration::from_millis(50),
        ..LimitsConfig::default()
    };
    let server = open(&tcp(), limits).await.unwrap();
    let mut stream = connect(&server.address).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.contains(" 200 "), "{text}");
}

#[tokio::test]
async fn whoever_came_before_the_end_is_answered() {
    let server = open(&tcp(), LimitsConfig::default()).await.unwrap();
    let mut idle = connect(&server.address).await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(idle.read_u8().await.unwrap(), b'H');
    let mut slow = connect(&server.address).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut early = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&server.address).await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        early.push(stream);
    }
    server.stop.send(()).unwrap();
    let mut text = String::new();
    idle.read_to_string(&mut text).await.unwrap();
    slow.write_all(b"abc").await.unwrap();
    let mut text = String::new();
    slow.read_to_string(&mut text).await.unwrap();
    assert!(text.contains(" 200 "), "{text}");
    for mut stream in early {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains(" 200 "), "{text}");
    }
    server.ended.await.unwrap().unwrap();
}

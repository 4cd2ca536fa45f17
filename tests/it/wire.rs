//! HTTP over a real connection: a router being served, and a client that sends exactly what it is
//! told.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use doorward::{
    audit::Recorder,
    config::{CallerConfig, IdentityHeaders, RawCaller},
    pdp::Pdp,
    pep::{admission::Admission, authzen::AuthzenFace, forward_auth::ForwardAuthFace, peer::Peer},
};
use serde_json::Value as Json;

use crate::kit::now;

/// The secret of the caller that [`caller`] makes.
pub(crate) const SECRET: &str = "s3cret";
/// Its SHA-256.
const SHA: &str = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0";

/// Both HTTP faces of a decision point, served until the end of the test.
pub(crate) struct Wire {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.unwrap_or_else(|| panic!("no `{name}` in {self:?}"))
    }
}

impl Wire {
    /// Serves `pdp`, whose callers know it by `url`.
    pub(crate) fn serve(pdp: Pdp, url: Option<&str>, cookie: Option<&str>) -> Self {
        let pdp = Arc::new(pdp);
        let bundles = vec![doorward::model::BundleName::new("known")];
        let authzen = AuthzenFace::new(
            Arc::clone(&pdp),
            Recorder::off(),
            now,
            url.map(str::to_owned),
            bundles,
            Admission::default(),
        );
        let forward_auth = ForwardAuthFace::new(
            pdp,
            Recorder::off(),
            now,
            IdentityHeaders::default(),
            cookie.map(str::to_owned),
            Admission::default(),
        );
        Self::of(authzen.router().merge(forward_auth.router()))
    }

    fn of(router: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_stack_size(16 << 20)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let peer = Peer {
            address: Some(address),
            ..Peer::default()
        };
        let router = router.layer(axum::Extension(peer));
        let _served = runtime.spawn(axum::serve(listener, router).into_future());
        Self {
            address,
            _runtime: runtime,
        }
    }

    /// Sends a request of these header lines and this body.
    pub(crate) fn send(&self, method: &str, path: &str, lines: &[&str], body: &[u8]) -> Reply {
        send(self.address, method, "evil.example", path, lines, body)
    }

    /// Sends a request to `host`, without a body.
    pub(crate) fn send_to(&self, host: &str, method: &str, path: &str, lines: &[&str]) -> Reply {
        send(self.address, method, host, path, lines, b"")
    }
}

/// Sends a request to `host`, of these header lines and this body.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    host: &str,
    path: &str,
    lines: &[&str],
    body: &[u8],
) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for line in lines {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    // A server that has seen enough may close before it has read all.
    let _refused = stream.write_all(body);
    let mut response = Vec::new();
    let _reset = stream.read_to_end(&mut response);
    read(&String::from_utf8(response).unwrap())
}

fn read(response: &str) -> Reply {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    Reply {
        status: status.parse().unwrap(),
        headers: headers.collect(),
        body: body.to_owned(),
    }
}

/// A caller that knows [`SECRET`] and may do this.
pub(crate) fn caller(may: &[&str]) -> CallerConfig {
    let toml = format!("name = \"pep\"\ntoken_sha256 = \"{SHA}\"\nmay = {may:?}");
    toml::from_str::<RawCaller>(&toml).unwrap().read().unwrap()
}

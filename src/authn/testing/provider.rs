//! An identity provider on loopback, for this module's tests.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

use super::{corp, jwks};
use crate::{
    authn::TokenVerifier,
    config::{FetchConfig, IssuerConfig, KeySource},
};

/// An identity provider that says whatever a test wants, and counts how often it was asked.
pub(in crate::authn) struct Provider {
    pub(in crate::authn) listener: TcpListener,
    /// Where it is, with a slash at the end.
    pub(in crate::authn) url: String,
    asked: AtomicUsize,
    /// By path; the whole HTTP response.
    answers: Mutex<Vec<(&'static str, Vec<u8>)>>,
}

impl Provider {
    pub(in crate::authn) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        Self {
            listener,
            url,
            asked: AtomicUsize::new(0),
            answers: Mutex::default(),
        }
    }

    pub(in crate::authn) fn says(&self, path: &'static str, response: impl Into<Vec<u8>>) {
        let mut answers = self.answers.lock().unwrap();
        answers.retain(|(known, _)| *known != path);
        answers.push((path, response.into()));
    }

    /// Publishes these keys at `/keys`.
    pub(in crate::authn) fn publishes(&self, keys: &[Json]) {
        self.says("/keys", ok("", &jwks(keys)));
    }

    pub(in crate::authn) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Serves while `test` runs.
    pub(in crate::authn) async fn during<T>(&self, test: impl Future<Output = T>) -> T {
        tokio::select! {
            out = test => out,
            () = self.serve() => unreachable!("serves for ever"),
        }
    }

    async fn serve(&self) {
        loop {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => break,
                }
            }
            self.asked.fetch_add(1, Ordering::SeqCst);
            let request = String::from_utf8(request).unwrap();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let answer = self
                .answers
                .lock()
                .unwrap()
                .iter()
                .find(|(known, _)| *known == path)
                .map_or_else(|| status("404 Not Found", ""), |(_, answer)| answer.clone());
            match answer.strip_prefix(b"drip") {
                None => drop(stream.write_all(&answer).await),
                Some(head) => {
                    drop(stream.write_all(head).await);
                    while stream.write_all(b" ").await.is_ok() {
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        }
    }

    /// Trust in this provider's keys at `/keys`.
    pub(in crate::authn) fn trusted(&self) -> Arc<TokenVerifier> {
        self.trusted_as(&IssuerConfig {
            keys: KeySource::Url {
                url: format!("{}keys", self.url).parse().unwrap(),
                fetch: loopback(),
            },
            ..corp()
        })
    }

    pub(in crate::authn) fn trusted_as(&self, config: &IssuerConfig) -> Arc<TokenVerifier> {
        Arc::new(TokenVerifier::new(std::slice::from_ref(config)).unwrap())
    }
}

pub(in crate::authn) fn loopback() -> FetchConfig {
    FetchConfig {
        allow_http_loopback: true,
        ..FetchConfig::default()
    }
}

pub(in crate::authn) fn status(status: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n").into()
}

pub(in crate::authn) fn ok(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n");
    format!("{head}{headers}\r\n{body}").into()
}

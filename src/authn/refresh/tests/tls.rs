//! Keys over TLS: only a server whose certificate the issuer's authorities vouch for is believed.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use super::*;
use crate::config::FetchConfig;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server's side of TLS, with a certificate of `name` by `authority`.
fn acceptor(authority: &Authority, name: &str) -> TlsAcceptor {
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&pair, authority).unwrap();
    let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Answers one request with the key `rsa`, if the other side gets that far.
async fn serve_once(listener: &TcpListener, acceptor: &TlsAcceptor) {
    let (stream, _) = listener.accept().await.unwrap();
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return std::future::pending().await;
    };
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let answer = ok("", &jwks(&[RSA.jwk("rsa")]));
    stream.write_all(&answer).await.unwrap();
    stream.shutdown().await.unwrap();
    std::future::pending().await
}

/// What a read of keys ends with, from a server with this certificate; no text: it worked.
async fn outcome(ca_file: &Path, acceptor: &TlsAcceptor) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = IssuerConfig {
        keys: KeySource::Url {
            url: format!("https://localhost:{port}/keys").parse().unwrap(),
            fetch: FetchConfig {
                ca_file: Some(ca_file.to_owned()),
                allow_addresses: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
                ..FetchConfig::default()
            },
        },
        ..corp()
    };
    let verifier = Arc::new(TokenVerifier::new(&[config]).unwrap());
    tokio::select! {
        _ = read(&verifier) => {}
        () = serve_once(&listener, acceptor) => unreachable!("serves for ever"),
    }
    verifier.pin().health(now()).pop().unwrap().fault
}

#[tokio::test]
async fn the_certificate_must_be_by_the_issuers_authority_and_of_its_name() {
    let (ours, other) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, ours.pem()).unwrap();
    assert_eq!(outcome(&ca_file, &acceptor(&ours, "localhost")).await, None);
    for acceptor in [
        acceptor(&other, "localhost"),
        acceptor(&ours, "id.example.com"),
    ] {
        let fault = outcome(&ca_file, &acceptor).await.unwrap();
        assert!(fault.contains("certificate"), "{fault}");
    }
}

#[test]
fn a_bad_file_of_authorities_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let config = IssuerConfig {
        keys: KeySource::Url {
            url: "https://id.example.com/keys".parse().unwrap(),
            fetch: FetchConfig {
                ca_file: Some(ca_file.clone()),
                ..FetchConfig::default()
            },
        },
        ..corp()
    };
    let refused = || {
        let fault = TokenVerifier::new(std::slice::from_ref(&config)).unwrap_err();
        assert!(
            fault.to_string().contains("issuer `corp`: `ca_file`"),
            "{fault}"
        );
    };
    refused();
    for text in [
        "",
        "not a certificate",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&ca_file, text).unwrap();
        refused();
    }
}

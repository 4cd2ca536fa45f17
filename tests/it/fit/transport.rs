//! TLS, client certificates and Unix sockets, from outside.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    },
};

use super::{
    kit::{Running, ask},
    raw::{Raw, framed, over},
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A client's certificate whose name is a URI.
fn client(authority: &Authority, uri: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    let certificate = params.signed_by(&pair, authority).unwrap();
    let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    (certificate.der().clone(), key)
}

fn write_server(root: &Path, authority: &Authority) {
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&pair, authority).unwrap();
    fs::write(root.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(root.join("key.pem"), pair.serialize_pem()).unwrap();
    fs::write(root.join("ca.pem"), authority.pem()).unwrap();
}

/// A connection that trusts `authority` and shows `own`.
async fn connect(
    server: &Running,
    authority: &Authority,
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> Option<Raw> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match own {
        Some((certificate, key)) => config
            .with_client_auth_cert(vec![certificate], key)
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server.grpc).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    over(stream.ok()?).await.ok()
}

async fn word(raw: Option<Raw>, token: &str) -> String {
    let Some(mut raw) = raw else {
        return "no session".to_owned();
    };
    match raw.post(&[], framed(&ask(token))).await {
        Ok(reply) => reply.word(),
        Err(_) => "no session".to_owned(),
    }
}

const TLS: &str = "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\nclient_ca = \"ca.pem\"\n";

#[tokio::test]
async fn a_caller_is_known_by_the_certificate_that_tls_verified() {
    let (ours, theirs) = (authority(), authority());
    let root = tempfile::tempdir().unwrap();
    write_server(root.path(), &ours);
    let extra = format!("{TLS}[[caller]]\nname = \"gw\"\nmtls_san = \"spiffe://corp/gw\"\n");
    let server = Running::start_in(root, false, &extra).await;
    let alice = server.token("alice");
    for (own, expected) in [
        (Some(client(&ours, "spiffe://corp/gw")), "allow"),
        // Known to the authority, and no caller of ours: UNAUTHENTICATED.
        (Some(client(&ours, "spiffe://corp/other")), "16"),
        (Some(client(&theirs, "spiffe://corp/gw")), "no session"),
        (None, "no session"),
    ] {
        let raw = connect(&server, &ours, own).await;
        assert_eq!(word(raw, &alice).await, expected);
    }
    let plain = super::raw::connect(server.grpc).await.ok();
    assert_eq!(word(plain, &alice).await, "no session");
    let metrics = server.metrics().await;
    assert!(
        metrics.contains(
            "doorward_connections_refused_total{listener=\"grpc\",reason=\"handshake\"} 3"
        ),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_caller_is_known_by_its_user_on_a_unix_socket() {
    for (uid, expected) in [(own_uid(), "allow"), (own_uid() + 1, "16")] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        let extra = format!(
            "[listen]\ngrpc = \"unix:{}\"\nhttp = \"127.0.0.1:0\"\nprobe = \"127.0.0.1:0\"\n\
             [[caller]]\nname = \"gw\"\nunix_uid = {uid}\n",
            path.display()
        );
        let server = Running::start_in(root, false, &extra).await;
        let raw = over(UnixStream::connect(&path).await.unwrap()).await.ok();
        assert_eq!(word(raw, &server.token("alice")).await, expected);
    }
}

/// F12: who connects and does not finish its handshake is given up, and hinders nobody.
#[tokio::test]
async fn handshakes_that_are_not_finished_end_in_time() {
    let authority = authority();
    let root = tempfile::tempdir().unwrap();
    write_server(root.path(), &authority);
    let extra = "[limits]\nhandshake_ms = 300\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
    let server = Running::start_in(root, true, extra).await;
    // A record that announces a greeting of 512 bytes, and its beginning.
    let half = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 64]].concat();
    let mut open = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(server.grpc).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(&half).await.unwrap();
        }
        open.push(stream);
    }
    let alice = server.token("alice");
    let raw = connect(&server, &authority, None).await;
    assert_eq!(word(raw, &alice).await, "allow");
    for mut stream in open {
        let mut rest = Vec::new();
        let given_up = stream.read_to_end(&mut rest);
        let given_up = tokio::time::timeout(Duration::from_secs(20), given_up).await;
        // The server may have reset it.
        let _reset = given_up.unwrap();
    }
    let raw = connect(&server, &authority, None).await;
    assert_eq!(word(raw, &alice).await, "allow");
    let metrics = server.metrics().await;
    let line =
        "doorward_connections_refused_total{listener=\"grpc\",reason=\"handshake_timeout\"} 200";
    assert!(metrics.contains(line), "{metrics}");
}

fn own_uid() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid()
}

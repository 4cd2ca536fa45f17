//! The certificates of the listeners, taken up anew when their files change.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::listen::Protocol;
use crate::{config::TlsConfig, metrics::Metrics};

/// How often the files are looked at; what they say decides, never their times.
const POLL: Duration = Duration::from_secs(5);
/// Largest file, in bytes: a chain, or all the authorities there are.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Certificates that can be swapped while connections are made.
pub(super) struct Certificates {
    config: TlsConfig,
    current: ArcSwap<Loaded>,
    fault: ArcSwap<Option<String>>,
}

/// One generation.
struct Loaded {
    files: Files,
    grpc: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
}

/// The files as they were read.
#[derive(PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what it should be, with its name.
    pub(super) fn load(config: TlsConfig) -> Result<Self, String> {
        let files = Files::read(&config)?;
        Ok(Self {
            current: ArcSwap::from_pointee(Loaded::new(files, &config)?),
            fault: ArcSwap::from_pointee(None),
            config,
        })
    }

    /// Accepts connections with the newest good certificates.
    pub(super) fn acceptor(&self, protocol: Protocol) -> TlsAcceptor {
        let loaded = self.current.load();
        TlsAcceptor::from(Arc::clone(match protocol {
            Protocol::Grpc => &loaded.grpc,
            Protocol::Http => &loaded.http,
        }))
    }

    /// Why the newest files are not used, if they are not.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.load().as_ref().clone()
    }

    /// Looks at the files again and again, for ever. Bad ones change nothing.
    pub(super) async fn watch(self: Arc<Self>, metrics: Arc<Metrics>) -> Result<(), String> {
        loop {
            tokio::time::sleep(POLL).await;
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.look()).await;
            let outcome = match looked.map_err(|why| why.to_string())? {
                Ok(false) => continue,
                Ok(true) => {
                    tracing::info!("certificates taken up");
                    "published"
                }
                Err(why) => {
                    tracing::error!(error = why, "certificates refused; the old ones stay");
                    "refused"
                }
            };
            metrics.certificate("tls", outcome);
        }
    }

    /// Takes up the files if they are new and good; whether it did.
    ///
    /// # Errors
    /// Why not, once for each fault.
    fn look(&self) -> Result<bool, String> {
        let read = Files::read(&self.config).and_then(|files| {
            if files == self.current.load().files {
                return Ok(None);
            }
            Loaded::new(files, &self.config).map(Some)
        });
        match read {
            Ok(loaded) => {
                self.fault.store(Arc::new(None));
                let is_new = loaded.is_some();
                if let Some(loaded) = loaded {
                    self.current.store(Arc::new(loaded));
                }
                Ok(is_new)
            }
            Err(why) => {
                let known = self.fault().as_ref() == Some(&why);
                self.fault.store(Arc::new(Some(why.clone())));
                if known { Ok(false) } else { Err(why) }
            }
        }
    }
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, String> {
        Ok(Self {
            cert: read(&config.cert)?,
            key: read(&config.key)?,
            client_ca: config.client_ca.as_deref().map(read).transpose()?,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let content = || {
        if fs::metadata(path)?.len() > MAX_FILE {
            return Err(io::Error::other("it is larger than 4 MiB"));
        }
        fs::read(path)
    };
    content().map_err(|why| format!("cannot read `{}`: {why}", path.display()))
}

impl Loaded {
    fn new(files: Files, config: &TlsConfig) -> Result<Self, String> {
        let of = |path: &Path, why: &dyn std::fmt::Display| format!("`{}`: {why}", path.display());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&files.cert)
            .collect::<Result<_, _>>()
            .map_err(|why| of(&config.cert, &why))?;
        if chain.is_empty() {
            return Err(of(&config.cert, &"has no certificate in PEM"));
        }
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            // The parser's own words might quote the file.
            .map_err(|_| of(&config.key, &"has no private key in PEM"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|why| why.to_string())?;
        let builder = match (&files.client_ca, &config.client_ca) {
            (Some(content), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for root in CertificateDer::pem_slice_iter(content) {
                    let root = root.map_err(|why| of(path, &why))?;
                    roots.add(root).map_err(|why| of(path, &why))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let verifier = match config.client_cert_required {
                    true => verifier,
                    false => verifier.allow_unauthenticated(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|why| of(path, &why))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let base = builder
            .with_single_cert(chain, key)
            .map_err(|why| format!("`{}` and its key: {why}", config.cert.display()))?;
        let speaking = |protocol: &[u8]| {
            let mut config = base.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            // A resumed session would keep a client certificate whose authority is gone.
            config.session_storage =
                Arc::new(tokio_rustls::rustls::server::NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            Arc::new(config)
        };
        Ok(Self {
            grpc: speaking(b"h2"),
            http: speaking(b"http/1.1"),
            files,
        })
    }
}

/// The subject alternative names of a verified client certificate: DNS names, URIs and mail
/// addresses, as written.
pub(super) fn sans(chain: Option<&[CertificateDer<'_>]>) -> Arc<[String]> {
    let leaf = chain.and_then(<[_]>::first);
    let Some(Ok((_, leaf))) = leaf.map(|leaf| parse_x509_certificate(leaf)) else {
        return Arc::default();
    };
    let Ok(Some(names)) = leaf.subject_alternative_name() else {
        return Arc::default();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) => {
            Some((*text).to_owned())
        }
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tokio_rustls::{
        TlsConnector,
        rustls::{ClientConfig, pki_types::ServerName},
    };

    use super::*;

    /// Writes a new certificate that vouches for itself, and returns it.
    fn renew(config: &TlsConfig) -> CertificateDer<'static> {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&pair).unwrap();
        fs::write(&config.cert, certificate.pem()).unwrap();
        fs::write(&config.key, pair.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    /// Whether a client that trusts `expected` alone gets a session.
    async fn shows(certificates: &Certificates, expected: &CertificateDer<'static>) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(expected.clone()).unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (client, server) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let (client, _) = tokio::join!(
            connector.connect(name, client),
            certificates.acceptor(Protocol::Http).accept(server)
        );
        client.is_ok()
    }

    #[tokio::test]
    async fn new_certificates_are_taken_up_and_bad_ones_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = TlsConfig {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
            client_ca: None,
            client_cert_required: true,
            probe: false,
        };
        assert!(Certificates::load(config.clone()).is_err_and(|why| why.contains("cert.pem")));
        let first = renew(&config);
        let certificates = Certificates::load(config.clone()).unwrap();
        assert!(shows(&certificates, &first).await);
        assert_eq!(certificates.look(), Ok(false));

        let second = renew(&config);
        assert_eq!(certificates.look(), Ok(true));
        assert!(shows(&certificates, &second).await && !shows(&certificates, &first).await);

        let foreign = KeyPair::generate().unwrap().serialize_pem();
        let good = fs::read_to_string(&config.key).unwrap();
        for bad in [foreign.as_str(), "sekret"] {
            fs::write(&config.key, bad).unwrap();
            let why = certificates.look().unwrap_err();
            assert!(!why.contains("sekret"), "{why}");
            assert_eq!(certificates.look(), Ok(false), "told once");
            assert_eq!(certificates.fault(), Some(why));
            assert!(shows(&certificates, &second).await);
        }
        fs::write(&config.key, good).unwrap();
        assert_eq!(certificates.look(), Ok(false));
        assert_eq!(certificates.fault(), None);
    }
}

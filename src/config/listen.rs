//! `[listen]` and `[tls]`: where the server listens, and how it shows who it is.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Deserialize;

use super::raw::from_text;

/// Where the server listens.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// Native gRPC, health and reflection.
    pub grpc: ListenAddress,
    /// AuthZEN and forward-auth.
    pub http: ListenAddress,
    /// `/livez`, `/readyz`, `/metrics`.
    pub probe: ListenAddress,
    /// What operators do: directory, revocation.
    pub admin: ListenAddress,
    /// The hosts that HTTP requests may name; empty: any.
    pub hosts: Vec<String>,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix socket (`unix:/path`).
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if Path::new(path).is_absolute() => Ok(Self::Unix(PathBuf::from(path))),
            Some(path) => Err(format!(
                "expected an absolute path after `unix:`, not `{path}`"
            )),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!(
                    "expected an address with a port such as `127.0.0.1:9191`, or \
                     `unix:/run/doorward.sock`, not `{text}`"
                )
            }),
        }
    }
}

/// Certificates by which listeners prove who they are, and by which clients do.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The chain, leaf first (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// The authorities of client certificates (PEM); `None`: clients need none.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must have a certificate, or may.
    pub client_cert_required: bool,
    /// Whether probes are answered over TLS as well.
    pub probe: bool,
}

/// `[listen]` as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawListen {
    #[serde(deserialize_with = "from_text")]
    pub(super) grpc: Option<ListenAddress>,
    #[serde(deserialize_with = "from_text")]
    pub(super) http: Option<ListenAddress>,
    #[serde(deserialize_with = "from_text")]
    pub(super) probe: Option<ListenAddress>,
    #[serde(deserialize_with = "from_text")]
    pub(super) admin: Option<ListenAddress>,
    pub(super) hosts: Vec<String>,
    /// Listeners that may do without TLS and callers where other machines reach them.
    pub(super) insecure: Vec<String>,
}

/// `[tls]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    client_cert: Option<ClientCert>,
    #[serde(default)]
    probe: bool,
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClientCert {
    Required,
    Optional,
}

impl RawTls {
    pub(super) fn read(self) -> Result<TlsConfig, String> {
        if self.client_ca.is_none() && self.client_cert.is_some() {
            return Err(
                "`tls.client_cert` says that clients have certificates, and nothing says whose: \
                 give `tls.client_ca`"
                    .to_owned(),
            );
        }
        Ok(TlsConfig {
            cert: self.cert,
            key: self.key,
            client_ca: self.client_ca,
            client_cert_required: self.client_cert != Some(ClientCert::Optional),
            probe: self.probe,
        })
    }

    /// Makes relative paths relative to `dir`.
    pub(super) fn rebase(&mut self, dir: &Path) {
        let paths = [&mut self.cert, &mut self.key].into_iter();
        for path in paths.chain(&mut self.client_ca) {
            *path = dir.join(&path);
        }
    }
}

/// What protects a listener that other machines reach.
pub(super) struct Protection {
    pub(super) tls: bool,
    pub(super) callers: bool,
    pub(super) dev: bool,
}

impl RawListen {
    /// # Errors
    /// An address that is open to other machines and must not be, or taken twice.
    pub(super) fn read(self, by: &Protection) -> Result<ListenConfig, String> {
        let or_port = |given: Option<ListenAddress>, port| {
            given.unwrap_or(ListenAddress::Tcp((Ipv4Addr::LOCALHOST, port).into()))
        };
        let free = |it: &Option<ListenAddress>| matches!(it, Some(ListenAddress::Tcp(at)) if at.port() == 0);
        // Where the others take any free port, several servers run on this machine.
        let admin_port = match [&self.grpc, &self.http, &self.probe].into_iter().any(free) {
            true => 0,
            false => 8283,
        };
        let listen = ListenConfig {
            admin: or_port(self.admin, admin_port),
            grpc: or_port(self.grpc, 9191),
            http: or_port(self.http, 8181),
            probe: or_port(self.probe, 8282),
            hosts: self.hosts,
        };
        let decides = [
            ("grpc", &listen.grpc),
            ("http", &listen.http),
            ("admin", &listen.admin),
        ];
        for name in &self.insecure {
            if !decides.iter().any(|(known, _)| known == name) {
                return Err(format!(
                    "`listen.insecure` names `{name}`, which is no listener that decides"
                ));
            }
        }
        for (name, address) in decides {
            if !self.insecure.iter().any(|it| it == name) {
                check_exposed(name, address, by)?;
            }
        }
        let all = [
            ("admin", &listen.admin),
            ("grpc", &listen.grpc),
            ("http", &listen.http),
            ("probe", &listen.probe),
        ];
        for (name, address) in all {
            if by.dev && !address.is_local() {
                return Err(format!(
                    "`--dev` listens on this machine only, and `listen.{name}` is `{address}`"
                ));
            }
            let free = matches!(address, ListenAddress::Tcp(it) if it.port() == 0);
            let taken = all
                .iter()
                .find(|(other, at)| *other < name && *at == address);
            if let (false, Some((other, _))) = (free, taken) {
                return Err(format!(
                    "`listen.{other}` and `listen.{name}` are both `{address}`: give each its own"
                ));
            }
        }
        Ok(listen)
    }
}

/// Whether other machines may reach a listener that decides.
fn check_exposed(name: &str, address: &ListenAddress, by: &Protection) -> Result<(), String> {
    if address.is_local() || by.dev {
        return Ok(());
    }
    let lacks = match (by.tls, by.callers) {
        (true, true) => return Ok(()),
        (false, _) => "access tokens would travel in the clear: configure `[tls]`",
        (true, false) => "anyone could ask: configure a `[[caller]]`",
    };
    Err(format!(
        "`listen.{name}` is `{address}`, which other machines reach, and {lacks}; or listen on \
         127.0.0.1 behind a proxy; or, if something else protects it, say so with \
         `--insecure-listen {name}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str, tls: bool, callers: bool) -> Result<ListenConfig, String> {
        let dev = false;
        let by = Protection { tls, callers, dev };
        toml::from_str::<RawListen>(toml).unwrap().read(&by)
    }

    #[track_caller]
    fn refused(toml: &str, tls: bool, callers: bool, says: &str) {
        let why = read(toml, tls, callers).unwrap_err();
        assert!(why.contains(says), "{why}");
    }

    #[test]
    fn off_loopback_a_listener_that_decides_needs_tls_and_a_caller_or_a_word() {
        let open = "grpc = \"0.0.0.0:9191\"";
        refused(open, false, false, "configure `[tls]`");
        refused(open, false, true, "configure `[tls]`");
        refused(open, true, false, "configure a `[[caller]]`");
        refused(open, false, false, "`--insecure-listen grpc`");
        assert!(read(open, true, true).is_ok());
        let said = format!("{open}\ninsecure = [\"grpc\"]");
        assert!(read(&said, false, false).is_ok());
        refused(
            "insecure = [\"probe\"]",
            true,
            true,
            "no listener that decides",
        );
        for local in [
            "grpc = \"127.0.0.1:1\"",
            "grpc = \"[::1]:1\"",
            "grpc = \"unix:/run/d.sock\"",
            "probe = \"0.0.0.0:8282\"",
        ] {
            assert!(read(local, false, false).is_ok(), "{local}");
        }
    }

    #[test]
    fn each_listener_has_its_own_address() {
        let same = "\"unix:/run/d.sock\"";
        let both = format!("grpc = {same}\nprobe = {same}");
        refused(&both, false, false, "both `unix:/run/d.sock`");
        let relative = toml::from_str::<RawListen>("grpc = \"unix:d.sock\"");
        assert!(relative.is_err_and(|why| why.to_string().contains("absolute path")));
    }

    #[test]
    fn client_certificates_need_an_authority() {
        let read = |toml: &str| toml::from_str::<RawTls>(toml).unwrap().read();
        let files = "cert = \"c\"\nkey = \"k\"\n";
        assert!(read(files).is_ok());
        let asked = format!("{files}client_cert = \"optional\"");
        assert!(read(&asked).is_err_and(|why| why.contains("`tls.client_ca`")));
        let mutual = read(&format!("{files}client_ca = \"a\"")).unwrap();
        assert!(mutual.client_cert_required);
        let asked = read(&format!("{asked}\nclient_ca = \"a\"")).unwrap();
        assert!(!asked.client_cert_required);
    }
}

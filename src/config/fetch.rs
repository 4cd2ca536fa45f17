//! How the documents of an issuer may be fetched: which URLs, which addresses, whose certificates.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use url::{Host, Origin, Url};

use super::text::quoted;

/// What an issuer's documents may be fetched from; nothing but public addresses over TLS unless
/// more is said.
#[derive(Clone, Debug, Default)]
pub struct FetchConfig {
    /// The certificate authorities trusted instead of the system's, in PEM.
    pub ca_file: Option<PathBuf>,
    /// Addresses that may be connected to although they are not public.
    pub allow_addresses: Vec<IpNet>,
    /// Origins besides the issuer's own that its discovery document may send to.
    pub allow_origins: Vec<Origin>,
    /// Whether plain HTTP to this machine is fine.
    pub allow_http_loopback: bool,
}

impl FetchConfig {
    /// Reads a URL that may be fetched: https, or http on loopback where that is allowed; no
    /// credentials, no fragment.
    ///
    /// # Errors
    /// What is wrong, to be put after the name of the key.
    pub fn check_url(&self, text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|_| format!("is not a URL: {}", quoted(text)))?;
        let local = match url.host() {
            None => return Err(format!("has no host: {}", quoted(text))),
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::from(address).to_canonical().is_loopback(),
        };
        match url.scheme() {
            "https" => {}
            "http" if local && self.allow_http_loopback => {}
            "http" if local => {
                return Err(format!(
                    "is not https: {}; for development set `allow_http_loopback`",
                    quoted(text)
                ));
            }
            _ => return Err(format!("is not https: {}", quoted(text))),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("has credentials or a fragment".to_owned());
        }
        Ok(url)
    }

    /// Whether an address may be connected to.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || (self.allow_http_loopback && address.is_loopback())
            || self
                .allow_addresses
                .iter()
                .any(|network| network.contains(&address))
    }

    /// Whether the discovery document of an issuer at `own` may send to `other`.
    pub fn allows_origin(&self, own: &Url, other: &Url) -> bool {
        other.origin() == own.origin() || self.allow_origins.contains(&other.origin())
    }
}

/// Whether an address is one of the public internet: not this machine, not a private or special
/// network (RFC 6890), not a way around the check through an IPv6 translation (RFC 6052, 3056, 4380).
fn is_public(address: IpAddr) -> bool {
    const SPECIAL: [&str; 24] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "::/16",
        "64:ff9b::/32",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "fc00::/7",
        "fe80::/9",
        "ff00::/8",
    ];
    !SPECIAL.iter().any(|network| {
        network
            .parse::<IpNet>()
            .is_ok_and(|network| network.contains(&address))
    })
}

/// The keys of an `[[issuer]]` that say how to fetch, as written.
pub(super) struct RawFetch {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) allow_addresses: Vec<String>,
    pub(super) allow_origins: Vec<String>,
    pub(super) allow_http_loopback: bool,
}

impl RawFetch {
    pub(super) fn is_set(&self) -> bool {
        self.ca_file.is_some()
            || !self.allow_addresses.is_empty()
            || !self.allow_origins.is_empty()
            || self.allow_http_loopback
    }

    pub(super) fn read(self, base_dir: &Path) -> Result<FetchConfig, String> {
        Ok(FetchConfig {
            ca_file: self.ca_file.map(|file| base_dir.join(file)),
            allow_addresses: self
                .allow_addresses
                .iter()
                .map(|text| read_network("allow_addresses", text))
                .collect::<Result<_, _>>()?,
            allow_origins: self
                .allow_origins
                .iter()
                .map(|text| read_origin(text))
                .collect::<Result<_, _>>()?,
            allow_http_loopback: self.allow_http_loopback,
        })
    }
}

/// Reads `10.0.0.0/8`, or one address.
pub(super) fn read_network(key: &str, text: &str) -> Result<IpNet, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            format!(
                "`{key}`: {} is no address or network such as 10.0.0.0/8",
                quoted(text)
            )
        })?,
    };
    if network.addr() != network.network() {
        return Err(format!(
            "`{key}`: {} has bits beyond its prefix; write {}",
            quoted(text),
            network.trunc()
        ));
    }
    Ok(network)
}

fn read_origin(text: &str) -> Result<Origin, String> {
    let origin = Url::parse(text)
        .ok()
        .filter(|url| url.scheme() == "https" && url.path() == "/" && url.query().is_none());
    match origin {
        Some(url) => Ok(url.origin()),
        None => Err(format!(
            "`allow_origins`: {} is no origin such as https://keys.example.com",
            quoted(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c01_only_https_is_fetched() {
        let strict = FetchConfig::default();
        let lenient = FetchConfig {
            allow_http_loopback: true,
            ..FetchConfig::default()
        };
        for url in [
            "https://id.example.com/keys",
            "https://10.0.0.1:8443/keys?a=b",
        ] {
            assert!(strict.check_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://localhost:1/",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://2130706433/",
        ] {
            let fault = strict.check_url(url).unwrap_err();
            assert!(fault.contains("allow_http_loopback"), "{fault}");
            assert!(lenient.check_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://id.example.com/",
            "http://localhost.example.com/",
            "http://192.168.0.1/",
            "file:///etc/passwd",
            "data:,x",
            "ftp://id.example.com/",
            "//id.example.com/",
            "",
            "https://",
            "https://user@id.example.com/",
            "https://id.example.com/#x",
            "javascript:alert(1)",
        ] {
            assert!(strict.check_url(url).is_err(), "{url}");
            assert!(lenient.check_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn c02_only_public_addresses_are_connected_to_unless_listed() {
        let strict = FetchConfig::default();
        let listed = FetchConfig {
            allow_addresses: vec![read_network("k", "10.1.0.0/16").unwrap()],
            ..FetchConfig::default()
        };
        let allows =
            |config: &FetchConfig, address: &str| config.allows_address(address.parse().unwrap());
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "223.255.255.254",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(allows(&strict, public), "{public}");
        }
        for special in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::1",
            "::",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!allows(&strict, special), "{special}");
        }
        assert!(allows(&listed, "10.1.2.3"));
        assert!(allows(&listed, "::ffff:10.1.2.3"));
        assert!(!allows(&listed, "10.2.2.3"));
        assert!(!allows(&listed, "127.0.0.1"));
        let loopback = FetchConfig {
            allow_http_loopback: true,
            ..FetchConfig::default()
        };
        assert!(allows(&loopback, "::1"));
        assert!(!allows(&loopback, "10.1.2.3"));
    }

    #[test]
    fn networks_and_origins_are_written_exactly() {
        assert!(read_network("k", "127.0.0.1").is_ok());
        assert!(read_network("k", "fd00::/8").is_ok());
        let fault = read_network("k", "10.1.2.3/8").unwrap_err();
        assert!(fault.contains("write 10.0.0.0/8"), "{fault}");
        assert!(read_network("k", "corp").is_err());
        for origin in ["https://keys.example.com", "https://keys.example.com:8443/"] {
            assert!(read_origin(origin).is_ok(), "{origin}");
        }
        for origin in [
            "keys.example.com",
            "http://keys.example.com",
            "https://a.example/b",
        ] {
            assert!(read_origin(origin).is_err(), "{origin}");
        }
    }
}

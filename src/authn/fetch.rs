//! One careful GET: no redirects, no proxy, no address that the operator did not mean, no more than
//! 1 MiB, no longer than 5 seconds.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use reqwest::{
    Certificate, Client, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CACHE_CONTROL,
    redirect,
};
use url::{Host, Url};

use crate::config::FetchConfig;

use super::ring::MAX_SET;

/// The longest that a fetch takes, from connecting to the last byte.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// Fetches the documents of one issuer.
pub(super) struct Fetcher {
    client: Client,
    rule: Arc<FetchConfig>,
}

/// A document and how long its server says it may be kept.
pub(super) struct Fetched {
    pub(super) bytes: Vec<u8>,
    pub(super) max_age: Option<Duration>,
}

/// Why a document could not be fetched; never quotes what was received.
#[derive(Debug, thiserror::Error)]
pub enum FetchFault {
    /// The file of certificate authorities is not usable.
    #[error("`ca_file` `{}`: {why}", path.display())]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No TLS.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// The host is at addresses that may not be connected to.
    #[error("`{0}` is not at a public address; if that is meant, list it in `allow_addresses`")]
    Address(String),
    /// No answer in time, no connection, or no trust in the server's certificate.
    #[error("{0}")]
    Transport(String),
    /// Anything but 200.
    #[error("answered {0} where 200 was expected; redirects are not followed")]
    Status(StatusCode),
    /// Over 1 MiB.
    #[error("the answer is over {MAX_SET} bytes")]
    TooLarge,
}

impl Fetcher {
    /// Prepares to fetch by these rules.
    ///
    /// # Errors
    /// [`FetchFault::Authorities`] or [`FetchFault::Tls`].
    pub(super) fn new(rule: &FetchConfig) -> Result<Self, FetchFault> {
        let rule = Arc::new(rule.clone());
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(1)
            .https_only(!rule.allow_http_loopback)
            .referer(false)
            .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Guard(Arc::clone(&rule)));
        if let Some(path) = &rule.ca_file {
            let fault = |why: String| FetchFault::Authorities {
                path: path.clone(),
                why,
            };
            let pem = std::fs::read(path).map_err(|why| fault(why.to_string()))?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|authorities| !authorities.is_empty())
                .ok_or_else(|| fault("has no certificate in PEM".to_owned()))?;
            builder = builder.tls_certs_only(authorities);
        }
        let client = builder
            .build()
            .map_err(|fault| FetchFault::Tls(text(fault)))?;
        Ok(Self { client, rule })
    }

    /// The rules it fetches by.
    pub(super) fn rule(&self) -> &FetchConfig {
        &self.rule
    }

    /// Fetches one document.
    ///
    /// # Errors
    /// [`FetchFault`].
    pub(super) async fn get(&self, url: &Url) -> Result<Fetched, FetchFault> {
        // The resolver guards names; addresses written in the URL never reach it.
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            _ => None,
        };
        if literal.is_some_and(|address| !self.rule.allows_address(address)) {
            return Err(FetchFault::Address(url.host_str().unwrap_or("").to_owned()));
        }
        let request = self.client.get(url.clone());
        let mut response = request.send().await.map_err(transport)?;
        if response.status() != StatusCode::OK {
            return Err(FetchFault::Status(response.status()));
        }
        let max_age = response
            .headers()
            .get_all(CACHE_CONTROL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .filter_map(max_age)
            .min();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if bytes.len() + chunk.len() > MAX_SET {
                return Err(FetchFault::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Fetched { bytes, max_age })
    }
}

/// The life that one `Cache-Control` gives (RFC 9111 §5.2.2); none when it says nothing of it.
fn max_age(header: &str) -> Option<Duration> {
    header
        .split(',')
        .filter_map(|directive| {
            let directive = directive.trim().to_ascii_lowercase();
            if matches!(directive.as_str(), "no-store" | "no-cache") {
                return Some(Duration::ZERO);
            }
            let seconds = directive.strip_prefix("max-age=")?.trim_matches('"');
            seconds.parse().ok().map(Duration::from_secs)
        })
        .min()
}

/// Resolves names to allowed addresses only. What it returns is what is connected to, so a name
/// cannot change its address between check and connection.
struct Guard(Arc<FetchConfig>);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| rule.allows_address(address.ip()))
                .collect();
            if allowed.is_empty() {
                let fault = FetchFault::Address(name.as_str().to_owned());
                return Err(io::Error::other(fault).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn transport(fault: reqwest::Error) -> FetchFault {
    FetchFault::Transport(text(fault))
}

/// An error with its causes, on one line, without the URL that its caller names anyway.
fn text(fault: reqwest::Error) -> String {
    let fault = fault.without_url();
    let mut text = fault.to_string();
    let mut cause = std::error::Error::source(&fault);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: Option<u64>) {
        assert_eq!(
            max_age(header),
            expected.map(Duration::from_secs),
            "{header}"
        );
    }

    #[test]
    fn c16_cache_control_is_read_leniently_and_never_to_the_longer() {
        check("max-age=300", Some(300));
        check("public, Max-Age=300, must-revalidate", Some(300));
        check("max-age=\"60\"", Some(60));
        check("max-age=300, max-age=20", Some(20));
        check("no-store, max-age=300", Some(0));
        check("no-cache", Some(0));
        for silent in [
            "",
            "public",
            "max-age=",
            "max-age=-1",
            "max-age=1h",
            "s-maxage=9",
        ] {
            check(silent, None);
        }
    }
}

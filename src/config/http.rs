//! What the HTTP faces need to know: how AuthZEN callers reach us, where gateways find tokens.

use serde::Deserialize;

use super::text::quoted;

/// Longest name of a cookie, in bytes.
const MAX_NAME: usize = 64;

/// What the HTTP faces need to know.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// The address by which AuthZEN callers know this server; `None`: no metadata is served.
    pub authzen_url: Option<String>,
    /// The cookie that may carry the subject's token on forward-auth; `None`: none is read.
    pub cookie: Option<String>,
}

/// `[authzen]`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAuthzen {
    pub(super) url: Option<String>,
}

/// `[forward_auth]`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawForwardAuth {
    pub(super) cookie: Option<String>,
}

/// Checks what was written.
///
/// # Errors
/// What is wrong, with its key.
pub(super) fn read(
    authzen: RawAuthzen,
    forward_auth: RawForwardAuth,
) -> Result<HttpConfig, String> {
    if let Some(url) = &authzen.url {
        check_url(url)?;
    }
    if let Some(cookie) = &forward_auth.cookie {
        check_cookie(cookie)?;
    }
    Ok(HttpConfig {
        authzen_url: authzen.url,
        cookie: forward_auth.cookie,
    })
}

/// `policy_decision_point` of the AuthZEN metadata: `https`, no query, no fragment, and without a
/// last slash, since endpoints are appended to it.
fn check_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("https://").unwrap_or_default();
    let host = rest.split('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_graphic() && !"?#\"\\<>@".contains(c);
    match !host.is_empty() && rest.chars().all(plain) && !rest.ends_with('/') {
        true => Ok(()),
        false => Err(format!(
            "`authzen.url` is {}: write the address by which callers reach this server, as \
             `https://pdp.example` (no query, no last slash)",
            quoted(url)
        )),
    }
}

fn check_cookie(name: &str) -> Result<(), String> {
    let of_host = name.strip_prefix("__Host-");
    let ok = |rest: &str| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    match name.len() <= MAX_NAME && of_host.is_some_and(ok) {
        true => Ok(()),
        false => Err(format!(
            "`forward_auth.cookie` is {}: only a name that begins with `__Host-` keeps other \
             hosts of the domain from setting it",
            quoted(name)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(url: &str) -> Result<(), String> {
        check_url(url)
    }

    #[test]
    fn the_address_of_the_metadata_is_https_and_nothing_more() {
        for ok in ["https://pdp.example", "https://pdp.example:8443/authz"] {
            assert_eq!(url(ok), Ok(()));
        }
        for bad in [
            "http://pdp.example",
            "pdp.example",
            "https://",
            "https:///x",
            "https://pdp.example/",
            "https://pdp.example?x",
            "https://pdp.example#x",
            "https://user@pdp.example",
            "https://pdp example",
        ] {
            assert!(
                url(bad).is_err_and(|why| why.contains("authzen.url")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_cookie_belongs_to_one_host() {
        assert_eq!(check_cookie("__Host-token"), Ok(()));
        for bad in [
            "token",
            "__Secure-token",
            "__host-token",
            "__Host-",
            "__Host-a=b",
            "__Host-a b",
        ] {
            assert!(check_cookie(bad).is_err(), "{bad}");
        }
    }
}

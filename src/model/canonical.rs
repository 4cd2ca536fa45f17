//! One canonical form of an HTTP request, or a refusal.
//!
//! The raw request target is never matched against a route. Whatever two programs could read in two
//! ways (dot segments, doubled or encoded slashes, path parameters, fragments) is refused rather
//! than repaired, since a gateway may forward the request as the client wrote it.

use std::fmt;

/// Longest accepted request target, in bytes.
const MAX_TARGET: usize = 8 * 1024;
/// Longest accepted host (RFC 1035 §2.3.4), in bytes.
const MAX_HOST: usize = 253;

/// An HTTP request in its one canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalRequest {
    method: String,
    host: String,
    path: String,
    query: Option<String>,
}

/// Why a request has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCanonical {
    /// The part at fault: `method`, `host` or `path`.
    pub part: &'static str,
    /// What is wrong with it.
    pub message: &'static str,
}

impl fmt::Display for NotCanonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part, self.message)
    }
}

impl CanonicalRequest {
    /// Canonicalises a method, a host and a request target in origin form (RFC 9112 §3.2.1).
    ///
    /// # Errors
    /// [`NotCanonical`] for whatever could be read in more than one way.
    pub fn parse(method: &str, host: &str, target: &str) -> Result<Self, NotCanonical> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if target.len() > MAX_TARGET {
            return Err(wrong("path", "is longer than 8 KiB"));
        }
        if query.is_some_and(|query| !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#')) {
            return Err(wrong(
                "path",
                "has a query with characters that are not allowed there",
            ));
        }
        Ok(Self {
            method: canonical_method(method)?,
            host: canonical_host(host)?,
            path: canonical_path(path)?,
            query: query.map(str::to_owned),
        })
    }

    /// The method, as sent: methods are case-sensitive (RFC 9110 §9.1).
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The host in lower case, without default port or trailing dot; empty when unknown.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path; percent-encoded only where it must be.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query, as sent.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

/// Undoes percent-encoding, once.
///
/// # Errors
/// [`NotCanonical`] when the result is not UTF-8 or has control characters.
pub(crate) fn percent_decode(text: &str) -> Result<String, NotCanonical> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => bytes.push(encoded_byte(rest.next(), rest.next())?),
            other => bytes.push(other),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text),
        _ => Err(wrong(
            "path",
            "decodes to text with control characters or invalid UTF-8",
        )),
    }
}

fn wrong(part: &'static str, message: &'static str) -> NotCanonical {
    NotCanonical { part, message }
}

fn canonical_method(method: &str) -> Result<String, NotCanonical> {
    let is_token = |b: u8| b.is_ascii_uppercase() || b == b'-';
    if method.is_empty() || method.len() > 32 || !method.bytes().all(is_token) {
        return Err(wrong("method", "is not an upper-case HTTP method"));
    }
    Ok(method.to_owned())
}

fn canonical_host(host: &str) -> Result<String, NotCanonical> {
    let host = host.to_ascii_lowercase();
    let (name, port) = match host.rsplit_once(':') {
        // An IPv6 literal is bracketed, so a colon before the last bracket is part of it.
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host.as_str(), None),
    };
    let port_ok = |port: &str| {
        port.parse::<u16>()
            .is_ok_and(|n| n != 0 && n.to_string() == port)
    };
    if port.is_some_and(|port| !port_ok(port)) {
        return Err(wrong("host", "has a malformed port"));
    }
    let is_v6 = name.starts_with('[') && name.ends_with(']');
    let name = name.strip_suffix('.').unwrap_or(name);
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name_ok = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(address) if is_v6 => address.parse::<std::net::Ipv6Addr>().is_ok(),
        _ => name.len() <= MAX_HOST && name.split('.').all(label_ok),
    };
    // An empty host is one nobody sent: it matches only routes without a host.
    if !name_ok && !host.is_empty() {
        return Err(wrong("host", "is not a host name"));
    }
    Ok(match port {
        None | Some("80" | "443") => name.to_owned(),
        Some(port) => format!("{name}:{port}"),
    })
}

fn canonical_path(path: &str) -> Result<String, NotCanonical> {
    if !path.starts_with('/') {
        return Err(wrong("path", "does not start with `/`"));
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let decoded = encoded_byte(rest.next(), rest.next())?;
                match decoded {
                    b'/' | b'\\' | b'%' | b';' | 0..=0x1f | 0x7f => {
                        return Err(wrong(
                            "path",
                            "encodes a slash, backslash, percent sign, semicolon or control character",
                        ));
                    }
                    b if is_unreserved(b) => out.push(char::from(b)),
                    b => out.push_str(&format!("%{b:02X}")),
                }
            }
            b'#' => return Err(wrong("path", "has a fragment")),
            b';' => return Err(wrong("path", "has path parameters (`;`)")),
            b'\\' => return Err(wrong("path", "has a backslash")),
            b if is_unreserved(b) || b"/!$&'()*+,=:@".contains(&b) => out.push(char::from(b)),
            _ => {
                return Err(wrong(
                    "path",
                    "has a character that must be percent-encoded",
                ));
            }
        }
    }
    for segment in out.split('/').skip(1) {
        if matches!(segment, "." | "..") {
            return Err(wrong("path", "has a dot segment"));
        }
    }
    if out.contains("//") {
        return Err(wrong("path", "has an empty segment (`//`)"));
    }
    percent_decode(&out)?;
    Ok(out)
}

/// RFC 3986 §2.3: encoding these or not makes no difference.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn encoded_byte(high: Option<u8>, low: Option<u8>) -> Result<u8, NotCanonical> {
    let digit = |byte: Option<u8>| {
        char::from(byte?)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(wrong("path", "has a malformed percent-encoding")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn path(raw: &str, expected: Option<&str>) {
        let canonical = CanonicalRequest::parse("GET", "", raw).ok();
        assert_eq!(
            canonical.as_ref().map(CanonicalRequest::path),
            expected,
            "{raw}"
        );
        if let Some(once) = canonical {
            let twice = CanonicalRequest::parse("GET", "", once.path()).unwrap();
            assert_eq!(twice.path(), once.path(), "idempotent");
        }
    }

    #[test]
    fn a_path_has_one_form() {
        path("/", Some("/"));
        path("/a/b", Some("/a/b"));
        path("/%61dmin", Some("/admin"));
        path("/caf%c3%a9/x%20y", Some("/caf%C3%A9/x%20y"));
        path("/a/", Some("/a/"));
        path("/Admin", Some("/Admin"));
        path("/admin%3fx", Some("/admin%3Fx"));
        path("/admin?x=/public", Some("/admin"));
        path("/a:b@c", Some("/a:b@c"));
    }

    #[test]
    fn a_path_of_two_readings_is_refused() {
        for raw in [
            "",
            "admin",
            "*",
            "http://x/",
            "//admin/x",
            "/a//b",
            "/public/../admin",
            "/./admin",
            "/admin/.",
            "/public/%2e%2e/admin",
            "/public/..%2fadmin",
            "/a%2Fb",
            "/a%5Cb",
            "/a\\b",
            "/a%252Fb",
            "/%00",
            "/%",
            "/%z",
            "/%zz",
            "/%c0%af",
            "/%ff",
            "/admin;x=1",
            "/..;/admin",
            "/a%3bx",
            "/admin#frag",
            "/a b",
            "/é",
            "/a\n",
            "/a\"b",
            "/a?b#c",
            "/a?b c",
        ] {
            path(raw, None);
        }
    }

    #[track_caller]
    fn host(raw: &str, expected: Option<&str>) {
        let canonical = CanonicalRequest::parse("GET", raw, "/").ok();
        assert_eq!(
            canonical.as_ref().map(CanonicalRequest::host),
            expected,
            "{raw}"
        );
    }

    #[test]
    fn a_host_has_one_form() {
        host("A.Example.COM", Some("a.example.com"));
        host("a.example.com.", Some("a.example.com"));
        host("a.example.com:443", Some("a.example.com"));
        host("a.example.com:8443", Some("a.example.com:8443"));
        host("[::1]:8080", Some("[::1]:8080"));
        host("", Some(""));
        for raw in [
            "user@host",
            "a b",
            "a,b",
            "a.example.com:x",
            "a:0",
            "a:080",
            ":80",
            "a..b",
            "é.example",
            "[zz]",
            ".",
        ] {
            host(raw, None);
        }
    }

    #[test]
    fn a_method_is_upper_case_or_refused() {
        for (method, ok) in [
            ("GET", true),
            ("PROPFIND", true),
            ("get", false),
            ("GET ", false),
            ("", false),
            ("G\u{c9}T", false),
        ] {
            assert_eq!(
                CanonicalRequest::parse(method, "", "/").is_ok(),
                ok,
                "{method}"
            );
        }
    }
}

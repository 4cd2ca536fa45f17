//! What states the client's request: a family of headers, or for Envoy the subrequest itself.

use axum::http::request::Parts;

use crate::{
    model::{CanonicalRequest, Refusal},
    pep::http::single,
};

/// A gateway that asks by subrequests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    Nginx,
    Caddy,
    Traefik,
    /// `ext_authz` over HTTP: the client's own method, host and target, behind a prefix.
    Envoy,
}

/// Headers that state one request together.
struct Family {
    method: &'static str,
    host: &'static str,
    uri: &'static str,
}

const ORIGINAL: Family = Family {
    method: "x-original-method",
    host: "x-original-host",
    uri: "x-original-uri",
};
const FORWARDED: Family = Family {
    method: "x-forwarded-method",
    host: "x-forwarded-host",
    uri: "x-forwarded-uri",
};
/// Other names for the URI, which no endpoint reads.
const STRAY: [&str; 2] = ["x-original-url", "x-rewrite-url"];
/// Where the gateway's own secret is, so that `authorization` stays the end user's.
pub(super) const CALLER: &str = "x-doorward-caller";

impl Gateway {
    pub(super) const ALL: [Self; 4] = [Self::Nginx, Self::Caddy, Self::Traefik, Self::Envoy];

    /// Its name in the endpoint's path.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }

    /// Whether it passes a 429 on to the client; nginx makes 500 of all but 401 and 403.
    pub(super) fn passes_429(self) -> bool {
        match self {
            Self::Nginx => false,
            Self::Caddy | Self::Traefik | Self::Envoy => true,
        }
    }

    /// The family that it overwrites.
    fn family(self) -> Option<Family> {
        match self {
            Self::Nginx => Some(ORIGINAL),
            Self::Caddy | Self::Traefik => Some(FORWARDED),
            Self::Envoy => None,
        }
    }
}

impl Family {
    fn names(&self) -> [&'static str; 3] {
        [self.method, self.host, self.uri]
    }
}

/// Whether a header of this name states a request, or could be taken for one that does.
pub(super) fn is_member(name: &str) -> bool {
    let dashed = name.replace('_', "-");
    let members = [ORIGINAL.names(), FORWARDED.names()];
    let own = members.as_flattened().iter().chain(&STRAY);
    own.chain(&[CALLER]).any(|member| *member == dashed)
}

/// The client's target, behind the endpoint's own path and as it came.
fn behind_prefix(parts: &Parts) -> Result<&str, Refusal> {
    let target = parts.uri.path_and_query().map_or("", |it| it.as_str());
    match target.split_once("/forward-auth/envoy") {
        Some((_, behind)) => Ok(behind),
        None => Err(Refusal::malformed("http.path", "missing", "is required")),
    }
}

/// The client's request, as `gateway` states it.
///
/// # Errors
/// [`Refusal::Malformed`] for a member of the family that is missing, repeated or unreadable, for any
/// member of another, and for what has no canonical form.
pub(super) fn request(gateway: Gateway, parts: &Parts) -> Result<CanonicalRequest, Refusal> {
    let headers = &parts.headers;
    let own = gateway.family();
    let refusal = |name: &str, code, message: &str| Refusal::malformed(name, code, message);
    for name in headers.keys() {
        let name = name.as_str();
        if name.contains('_') && is_member(name) {
            // Servers that turn headers into variables read both as one.
            return Err(refusal(name, "underscore", "has underscores in its name"));
        }
        let is_own = own.as_ref().is_some_and(|own| own.names().contains(&name));
        if is_member(name) && name != CALLER && !is_own {
            let message = "is not for this endpoint: the gateway must remove it";
            return Err(refusal(name, "other_family", message));
        }
    }
    let member = |name| match single(headers, name) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(refusal(name, "missing", "is required")),
        Err(fault) => Err(refusal(name, "header", fault.message())),
    };
    let (method, host, uri) = match &own {
        Some(own) => (member(own.method)?, member(own.host)?, member(own.uri)?),
        None if parts.uri.authority().is_some() => {
            let message = "comes with a host of its own: send the path alone";
            return Err(refusal("http.path", "absolute", message));
        }
        None => (
            parts.method.as_str(),
            member("host")?,
            behind_prefix(parts)?,
        ),
    };
    if host.is_empty() {
        return Err(refusal("host", "missing", "is empty"));
    }
    CanonicalRequest::parse(method, host, uri).map_err(Refusal::from)
}

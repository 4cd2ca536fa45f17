//! What a listener answers when no handler did: each protocol has words for that which no gateway
//! takes for leave to let its client through.
//!
//! Handlers catch their own panics, deadlines and hang-ups. What remains is around them: requests
//! that do not arrive, messages that cannot be decoded, panics while a refusal is recorded.

use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use tonic::{Code, Status};

use super::{ext_authz, status::to_rim_code};

/// Which protocol a request is of, as far as its path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rim {
    /// gRPC other than Envoy's.
    Grpc,
    /// Envoy's `ext_authz`: an error would obey `failure_mode_allow`, so none leaves.
    ExtAuthz,
    /// A gateway's subrequest: a 5xx could obey the like of it, so none leaves.
    ForwardAuth,
    /// Other HTTP.
    Http,
}

impl Rim {
    /// The protocol of `request`, on a listener of gRPC or one of HTTP.
    pub fn of<B>(request: &Request<B>, grpc: bool) -> Self {
        let path = request.uri().path();
        match grpc {
            true if path == ext_authz::CHECK => Self::ExtAuthz,
            true => Self::Grpc,
            false if path.contains("/forward-auth/") => Self::ForwardAuth,
            false => Self::Http,
        }
    }

    /// Whether its requests are for us by our own name; gateways pass their client's on.
    pub fn is_of_one_host(self) -> bool {
        self != Self::ForwardAuth
    }

    /// The answer of a handler, unless its library answered in its place with what this protocol
    /// must not say.
    pub fn settle(self, response: Response<Body>) -> Response<Body> {
        match (self, Status::from_header_map(response.headers())) {
            (Self::ExtAuthz, Some(status)) if status.code() != Code::Ok => {
                ext_authz::undelivered(to_rim_code(status.code()))
            }
            _ => response,
        }
    }

    /// The handler broke.
    pub fn broken(self) -> Response<Body> {
        match self {
            Self::Grpc => Status::unavailable("no decision can be made now").into_http(),
            Self::ExtAuthz => ext_authz::undelivered(Code::Unavailable),
            Self::ForwardAuth => plain(StatusCode::FORBIDDEN),
            Self::Http => plain(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// The request did not arrive in time.
    pub fn late(self) -> Response<Body> {
        match self {
            Self::Grpc => {
                Status::deadline_exceeded("the request did not arrive in time").into_http()
            }
            Self::ExtAuthz => ext_authz::undelivered(Code::DeadlineExceeded),
            Self::ForwardAuth => plain(StatusCode::FORBIDDEN),
            Self::Http => plain(StatusCode::REQUEST_TIMEOUT),
        }
    }

    /// The request names a host that is not ours.
    pub fn misdirected(self) -> Response<Body> {
        plain(StatusCode::MISDIRECTED_REQUEST)
    }
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVOY: &str = "/envoy.service.auth.v3.Authorization/Check";

    #[track_caller]
    fn check(path: &str, grpc: bool, expected: Rim, broken: u16, late: u16) {
        let request = Request::post(path).body(()).unwrap();
        let rim = Rim::of(&request, grpc);
        assert_eq!(rim, expected, "{path}");
        assert_eq!(rim.broken().status(), broken, "{path}");
        assert_eq!(rim.late().status(), late, "{path}");
    }

    #[test]
    fn no_gateway_is_answered_with_an_error() {
        check(ENVOY, true, Rim::ExtAuthz, 200, 200);
        check(
            "/doorward.v1.DecisionService/Check",
            true,
            Rim::Grpc,
            200,
            200,
        );
        for gateway in ["nginx", "caddy", "traefik", "envoy/a/b"] {
            check(
                &format!("/forward-auth/{gateway}"),
                false,
                Rim::ForwardAuth,
                403,
                403,
            );
            check(
                &format!("/b/x/forward-auth/{gateway}"),
                false,
                Rim::ForwardAuth,
                403,
                403,
            );
        }
        check("/access/v1/evaluation", false, Rim::Http, 503, 408);
        check(ENVOY, false, Rim::Http, 503, 408);
    }

    #[test]
    fn errors_of_the_grpc_library_become_denied_responses_for_envoy_alone() {
        let error = || Status::internal("not protobuf").into_http::<Body>();
        let is_error = |response: Response<Body>| response.headers().contains_key("grpc-status");
        assert!(is_error(Rim::Grpc.settle(error())));
        assert!(!is_error(Rim::ExtAuthz.settle(error())));
        assert!(!is_error(Rim::ExtAuthz.broken()));
        assert!(!is_error(Rim::ExtAuthz.late()));
        let answer = Rim::ExtAuthz.settle(Response::new(Body::from("kept")));
        assert!(answer.headers().is_empty());
    }
}

//! What is asked, as every face hands it to the decision point.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use super::{
    BundleName,
    canonical::CanonicalRequest,
    value::{EntityRef, Members},
};

/// One question with everything its asker sent.
#[derive(Debug)]
pub struct AccessRequest {
    /// The face it came through.
    pub face: Face,
    /// How the asker proves who it is.
    pub credential: CallerCredential,
    /// The bundle it names, if any.
    pub bundle: Option<BundleName>,
    /// Whom the question is about.
    pub subject: Subject,
    /// What is asked.
    pub question: Question,
    /// Facts the asker states about entities.
    pub entities: Vec<EntityFacts>,
    /// Context members the asker states.
    pub context: Members,
    /// The least revision the answer must reflect.
    pub at_least_revision: Option<String>,
    /// The asker's own id of the request.
    pub request_id: Option<String>,
    /// What a gateway knows beside the request.
    pub gateway: GatewayFacts,
}

/// What a gateway knows beside the request it asks about. It counts only from callers with the right
/// `gateway`.
#[derive(Default)]
pub struct GatewayFacts {
    /// The bundle that its configuration names for the route.
    pub bundle: Option<BundleName>,
    /// Whom the client's certificate names, as the gateway verified it.
    pub peer: Option<String>,
    /// The claims of an access token that the gateway verified.
    pub claims: Option<Members>,
}

impl fmt::Debug for GatewayFacts {
    /// Neither the peer nor the claims are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayFacts")
            .field("bundle", &self.bundle)
            .finish_non_exhaustive()
    }
}

/// Many questions of one asker, to be decided by one state of the rules.
#[derive(Debug)]
pub struct BatchRequest {
    /// The face it came through.
    pub face: Face,
    /// How the asker proves who it is: for all of the questions, whatever they say themselves.
    pub credential: CallerCredential,
    /// The asker's own id of the batch.
    pub request_id: Option<String>,
    /// The questions.
    pub asks: Vec<AccessRequest>,
}

/// A protocol by which Doorward is asked.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Face {
    /// `doorward.v1.DecisionService`.
    Grpc,
    /// Envoy's `envoy.service.auth.v3.Authorization`.
    ExtAuthz,
    /// OpenID AuthZEN 1.0.
    Authzen,
    /// The subrequests of nginx, Caddy and Traefik.
    ForwardAuth,
    /// The services for operators.
    Admin,
}

impl Face {
    /// The name used in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::ExtAuthz => "ext_authz",
            Self::Authzen => "authzen",
            Self::ForwardAuth => "forward_auth",
            Self::Admin => "admin",
        }
    }

    /// Whether what the schema does not declare is left out rather than refused: such members are
    /// to be ignored in AuthZEN (§10.1).
    pub fn drops_undeclared(self) -> bool {
        match self {
            Self::Authzen => true,
            Self::Grpc | Self::ExtAuthz | Self::ForwardAuth | Self::Admin => false,
        }
    }

    /// Whether its askers are always gateways, which state what end users asked for. Through
    /// ext_authz, what only a gateway may state counts from a gateway alone.
    pub fn is_for_gateways(self) -> bool {
        match self {
            Self::ForwardAuth => true,
            Self::Grpc | Self::ExtAuthz | Self::Authzen | Self::Admin => false,
        }
    }
}

/// How the asker proves who it is. Never printed.
#[derive(Clone, Default)]
pub struct CallerCredential {
    /// The peer's address, when it came over TCP.
    pub peer: Option<SocketAddr>,
    /// The secret or token of `Authorization: Bearer …` in the call's own metadata.
    pub bearer: Option<String>,
    /// The subject alternative names of the client certificate that TLS verified.
    pub sans: Vec<String>,
    /// The user that the kernel names, when it came over a Unix socket.
    pub uid: Option<u32>,
}

impl fmt::Debug for CallerCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerCredential")
            .field("peer", &self.peer)
            .field("bearer", &self.bearer.as_ref().map(|_| "***"))
            .field("sans", &self.sans)
            .field("uid", &self.uid)
            .finish()
    }
}

/// Whom a question is about.
#[derive(Debug)]
pub enum Subject {
    /// The holder of an access token.
    Token(AccessToken),
    /// An entity the caller answers for (right `vouch`).
    Entity(EntityFacts),
    /// Nobody.
    Anonymous,
}

/// A compact JWS as presented. Its text never reaches a log.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// Wraps a token as presented.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token's text, for verification only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// What is asked of a subject.
#[derive(Clone, Debug)]
pub enum Question {
    /// An action and a resource, in the schema's words.
    Named(NamedQuestion),
    /// An HTTP request, which the bundle's routes translate.
    Http(HttpAsk),
}

/// An action on a resource, in the schema's words.
#[derive(Clone, Debug)]
pub struct NamedQuestion {
    /// The action's id, bare or full.
    pub action: String,
    /// What is stated about the action, which policies read as `context.action`.
    pub properties: Members,
    /// The resource with the facts stated about it.
    pub resource: EntityFacts,
}

/// An HTTP request to decide about.
#[derive(Clone, Debug)]
pub struct HttpAsk {
    /// Method, host and path in their one canonical form.
    pub request: CanonicalRequest,
    /// Headers by lower-case name; only those an action declares are read.
    pub headers: BTreeMap<String, String>,
}

/// An entity with what someone states about it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EntityFacts {
    /// Which entity.
    pub uid: EntityRef,
    /// Attributes by name.
    pub attributes: Members,
    /// Parents in the hierarchy.
    pub parents: Vec<EntityRef>,
}

impl Question {
    /// Takes the question out and leaves an empty one.
    pub fn take(&mut self) -> Self {
        let empty = NamedQuestion {
            action: String::new(),
            properties: Members::new(),
            resource: EntityFacts::bare(EntityRef::new("", "")),
        };
        std::mem::replace(self, Self::Named(empty))
    }
}

impl EntityFacts {
    /// An entity about which nothing is stated.
    pub fn bare(uid: EntityRef) -> Self {
        Self {
            uid,
            attributes: Members::new(),
            parents: Vec::new(),
        }
    }
}

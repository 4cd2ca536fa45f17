//! A tower layer: a service behind it sees only requests that Doorward allows.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::codegen::http::{
    HeaderMap, HeaderName, Request, Response, header::AUTHORIZATION, header::HOST, request::Parts,
};
use tower_layer::Layer;
use tower_service::Service;

use super::{Client, Denial, Verdict};
use crate::{
    model::Subject,
    proto::v1::{
        Anonymous, CheckRequest, HttpQuestion, NamedQuestion,
        check_request::{self, Question},
    },
};

/// A part of a question, or the answer in its place.
type Asked<T> = Result<T, Box<Denial>>;
type Ask = Arc<dyn Fn(&Parts) -> Asked<Question> + Send + Sync>;

/// Puts a question about each request to Doorward, and lets through what it allows.
///
/// The subject is the bearer token of the request, or nobody. Whatever is not an allow (a deny, a
/// refusal, no answer in time, nobody who answers) is answered here, and the service never sees the
/// request. An allowed request carries the [`Verdict`] in its extensions.
///
/// Put it around the whole router: inside a nested one, paths are shorter than what is decided about.
///
/// `B` is the type of the service's response bodies.
pub struct Authorize<B> {
    client: Client,
    bundle: String,
    ask: Ask,
    refuse: fn(Denial) -> Response<B>,
}

impl<B: From<String>> Authorize<B> {
    /// For HTTP services: asks what the bundle's routes make of method, host and path. Of the
    /// headers, those in `headers` go along, for policies that read them.
    pub fn http(client: Client, headers: &'static [&'static str]) -> Self {
        let ask = move |parts: &Parts| http_question(parts, headers);
        Self::new(client, Arc::new(ask), Denial::into_http)
    }

    /// For HTTP services: asks about the action and resource that `name` makes of a request; what it
    /// has no name for is refused.
    pub fn named<F>(client: Client, name: F) -> Self
    where
        F: Fn(&Parts) -> Option<NamedQuestion> + Send + Sync + 'static,
    {
        Self::new(client, named_by(name), Denial::into_http)
    }
}

impl<B: Default> Authorize<B> {
    /// For gRPC services: asks what the bundle's routes make of `POST /package.Service/Method`.
    pub fn grpc(client: Client) -> Self {
        let ask = |parts: &Parts| http_question(parts, &[]);
        Self::new(client, Arc::new(ask), Denial::into_grpc)
    }

    /// For gRPC services: asks about the action and resource that `name` makes of a call; what it
    /// has no name for is refused.
    pub fn grpc_named<F>(client: Client, name: F) -> Self
    where
        F: Fn(&Parts) -> Option<NamedQuestion> + Send + Sync + 'static,
    {
        Self::new(client, named_by(name), Denial::into_grpc)
    }
}

impl<B> Authorize<B> {
    fn new(client: Client, ask: Ask, refuse: fn(Denial) -> Response<B>) -> Self {
        Self {
            client,
            bundle: String::new(),
            ask,
            refuse,
        }
    }

    /// Asks the bundle of this name, rather than the one that the server chooses.
    pub fn of_bundle(mut self, name: impl Into<String>) -> Self {
        self.bundle = name.into();
        self
    }

    async fn verdict(&self, parts: &Parts) -> Asked<Verdict> {
        let request = CheckRequest {
            bundle: self.bundle.clone(),
            subject: Some(subject(&parts.headers)?),
            question: Some((self.ask)(parts)?),
            ..CheckRequest::default()
        };
        match self.client.check(request).await {
            Ok(verdict) if verdict.is_allowed() => Ok(verdict),
            Ok(verdict) => Err(Box::new(Denial::of_verdict(&verdict))),
            Err(error) => {
                tracing::warn!(%error, "not decided, so refused");
                Err(Box::new(Denial::of_error(&error)))
            }
        }
    }
}

fn named_by<F>(name: F) -> Ask
where
    F: Fn(&Parts) -> Option<NamedQuestion> + Send + Sync + 'static,
{
    let ask = move |parts: &Parts| {
        let named = name(parts).ok_or_else(|| Box::new(Denial::unknown()))?;
        Ok(Question::Named(named))
    };
    Arc::new(ask)
}

/// Whom the request is about.
fn subject(headers: &HeaderMap) -> Asked<check_request::Subject> {
    let values = headers.get_all(AUTHORIZATION).iter();
    // What is not text is no token, and is not to be left out either.
    let values: Vec<_> = values.map(|it| it.to_str().unwrap_or("?")).collect();
    let joined = (!values.is_empty()).then(|| values.join(","));
    match Subject::presented(joined.as_deref()) {
        Ok(Subject::Token(token)) => {
            let token = token.expose().to_owned();
            Ok(check_request::Subject::AccessToken(token))
        }
        Ok(Subject::Anonymous | Subject::Entity(_)) => {
            Ok(check_request::Subject::Anonymous(Anonymous {}))
        }
        Err(rejection) => Err(Box::new(Denial::of_rejection(&rejection))),
    }
}

fn http_question(parts: &Parts, headers: &'static [&'static str]) -> Asked<Question> {
    let target = match parts.uri.path_and_query() {
        Some(target) => target.as_str(),
        None => return Err(Box::new(Denial::malformed("the request has no path"))),
    };
    let mut sent = BTreeMap::new();
    for name in headers {
        if let Some(value) = joined(&parts.headers, name)? {
            sent.insert((*name).to_owned(), value);
        }
    }
    Ok(Question::Http(HttpQuestion {
        method: parts.method.as_str().to_owned(),
        host: host(parts)?,
        path: target.to_owned(),
        headers: sent,
    }))
}

/// The host: of the target in HTTP/2, of the header in HTTP/1.1; where both are, they agree.
fn host(parts: &Parts) -> Asked<String> {
    let header = joined(&parts.headers, HOST.as_str())?;
    let authority = parts.uri.authority().map(|it| it.as_str().to_owned());
    match (authority, header) {
        (Some(one), Some(other)) if one != other => {
            Err(Box::new(Denial::malformed("the request names two hosts")))
        }
        (one, other) => Ok(one.or(other).unwrap_or_default()),
    }
}

fn joined(headers: &HeaderMap, name: &str) -> Asked<Option<String>> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        return Ok(None);
    };
    let values = headers.get_all(name).iter();
    let values: Result<Vec<_>, _> = values.map(|it| it.to_str()).collect();
    match values {
        Ok(values) => Ok((!values.is_empty()).then(|| values.join(","))),
        Err(_) => Err(Box::new(Denial::malformed(
            "a header is not printable ASCII",
        ))),
    }
}

impl<B> Clone for Authorize<B> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            bundle: self.bundle.clone(),
            ask: Arc::clone(&self.ask),
            refuse: self.refuse,
        }
    }
}

impl<B> std::fmt::Debug for Authorize<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorize")
            .field("bundle", &self.bundle)
            .finish_non_exhaustive()
    }
}

impl<S, B> Layer<S> for Authorize<B> {
    type Service = Authorized<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorized {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service that sees only what Doorward allows.
#[derive(Debug)]
pub struct Authorized<S, B> {
    inner: S,
    layer: Authorize<B>,
}

impl<S: Clone, B> Clone for Authorized<S, B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<S, R, B> Service<Request<R>> for Authorized<S, B>
where
    S: Service<Request<R>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    R: Send + 'static,
    B: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        // The one that is ready is the one to call; its clone waits for the next.
        let waiting = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, waiting);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match layer.verdict(&parts).await {
                Ok(verdict) => {
                    parts.extensions.insert(verdict);
                    ready.call(Request::from_parts(parts, body)).await
                }
                Err(denial) => Ok((layer.refuse)(*denial)),
            }
        })
    }
}

impl<S, B> tonic::server::NamedService for Authorized<S, B>
where
    S: tonic::server::NamedService,
{
    const NAME: &'static str = S::NAME;
}

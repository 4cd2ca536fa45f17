//! Every way to ask, and what each answers to the same cause.

use envoy_types::{
    ext_authz::v3::pb::{CheckRequest as EnvoyRequest, HttpResponse},
    pb::envoy::service::auth::v3::{
        AttributeContext,
        attribute_context::{self, HttpRequest},
        authorization_client::AuthorizationClient,
    },
};
use serde_json::{Value as Json, json};
use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use super::rig::{Credentials, SECRET};
use crate::{
    model::EntityRef,
    proto::v1::{
        CheckBatchRequest, CheckRequest, CheckStreamRequest, Decision, HttpQuestion, NamedQuestion,
        Outcome, Refusal,
        check_request::{Question, Subject},
        check_result, check_stream_response,
        decision_service_client::DecisionServiceClient,
    },
    server::Addresses,
};

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Door {
    Check,
    Batch,
    Stream,
    ExtAuthz,
    EnvoyHttp,
    Nginx,
    Caddy,
    Traefik,
    Evaluation,
    Evaluations,
}

/// What every answer must be, by the table of `pep::status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Allow,
    Deny,
    Unavailable,
    Late,
    Unauthenticated,
    Overloaded,
    /// The answer's own maker broke, so the listener had the last word.
    Broken,
}

impl Door {
    pub(super) const ALL: [Self; 10] = [
        Self::Check,
        Self::Batch,
        Self::Stream,
        Self::ExtAuthz,
        Self::EnvoyHttp,
        Self::Nginx,
        Self::Caddy,
        Self::Traefik,
        Self::Evaluation,
        Self::Evaluations,
    ];

    /// Its answer to `class`, in the words of [`Asker::ask`].
    pub(super) fn says(self, class: Class) -> &'static str {
        use Class::{Allow, Broken, Deny, Late, Overloaded, Unauthenticated, Unavailable};
        match (class, self) {
            (Allow, _) => "allow",
            (Deny, Self::Check | Self::Batch | Self::Stream) => "deny",
            (Deny, Self::ExtAuthz) => "7 403",
            (Deny, Self::Evaluation | Self::Evaluations) => "200 false",
            (Deny, _) => "403",
            (Unavailable | Broken, Self::Check | Self::Batch | Self::Stream) => "Unavailable",
            (Late, Self::Check | Self::Batch | Self::Stream) => "DeadlineExceeded",
            (Unauthenticated, Self::Check | Self::Batch | Self::Stream) => "Unauthenticated",
            (Overloaded, Self::Check | Self::Batch | Self::Stream) => "ResourceExhausted",
            (Unavailable | Late | Broken, Self::ExtAuthz) => "14 503",
            (Unauthenticated, Self::ExtAuthz) => "16 401",
            (Overloaded, Self::ExtAuthz) => "8 429",
            (Unavailable | Late | Broken, Self::Evaluation | Self::Evaluations) => "503",
            (Unauthenticated, _) => "401",
            (Overloaded, Self::Nginx) => "403",
            (Overloaded, _) => "429",
            (Unavailable | Late | Broken, _) => "403",
        }
    }
}

/// Connections for callers over HTTP.
pub(super) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// One caller of one door.
pub(super) struct Asker {
    door: Door,
    channel: Channel,
    http: reqwest::Client,
    url: String,
    credentials: Credentials,
}

impl Asker {
    /// A caller with a connection of its own, or with one of those of `http`.
    pub(super) async fn connect(
        door: Door,
        at: &Addresses,
        credentials: Credentials,
        http: reqwest::Client,
    ) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", at.grpc)).unwrap();
        Self {
            door,
            channel: endpoint.connect().await.unwrap(),
            http,
            url: format!("http://{}", at.http),
            credentials,
        }
    }

    /// One word or two for the answer to whether this subject may read an order.
    pub(super) async fn ask(&self) -> String {
        match self.door {
            Door::Check => of_grpc(self.check().await),
            Door::Batch => of_grpc(self.batch().await),
            Door::Stream => of_grpc(self.stream().await),
            Door::ExtAuthz => self.ext_authz().await,
            Door::EnvoyHttp => self.envoy_http().await,
            Door::Nginx => self.forward_auth("nginx", "original").await,
            Door::Caddy => self.forward_auth("caddy", "forwarded").await,
            Door::Traefik => self.forward_auth("traefik", "forwarded").await,
            Door::Evaluation => self.authzen("evaluation", self.evaluation()).await,
            Door::Evaluations => {
                let body = json!({ "evaluations": [self.evaluation()] });
                self.authzen("evaluations", body).await
            }
        }
    }

    fn native(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel.clone())
    }

    /// A call by the gateway's own secret.
    fn call<T>(message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = MetadataValue::try_from(format!("Bearer {SECRET}")).unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    fn question(&self, question: Question) -> CheckRequest {
        CheckRequest {
            subject: Some(Subject::AccessToken(self.credentials.token.clone())),
            question: Some(question),
            at_least_revision: self.credentials.at_least.clone(),
            ..CheckRequest::default()
        }
    }

    fn named(&self) -> CheckRequest {
        self.question(Question::Named(NamedQuestion {
            action: "ReadOrder".to_owned(),
            resource: Some(EntityRef::new("Order", "o-1").into()),
        }))
    }

    async fn check(&self) -> Result<Result<Decision, Refusal>, Status> {
        let response = self.native().check(Self::call(self.named())).await?;
        Ok(Ok(response.into_inner().decision.unwrap()))
    }

    async fn batch(&self) -> Result<Result<Decision, Refusal>, Status> {
        let batch = CheckBatchRequest {
            checks: vec![self.named()],
            ..CheckBatchRequest::default()
        };
        let answered = self.native().check_batch(Self::call(batch)).await?;
        let mut results = answered.into_inner().results;
        Ok(match results.pop().unwrap().result.unwrap() {
            check_result::Result::Decision(decision) => Ok(decision),
            check_result::Result::Refusal(refusal) => Err(refusal),
        })
    }

    async fn stream(&self) -> Result<Result<Decision, Refusal>, Status> {
        let http = HttpQuestion {
            method: "GET".to_owned(),
            host: "shop.example".to_owned(),
            path: "/orders/o-1".to_owned(),
            ..HttpQuestion::default()
        };
        let question = CheckStreamRequest {
            id: "q".to_owned(),
            check: Some(self.question(Question::Http(http))),
        };
        let questions = Self::call(tokio_stream::once(question));
        let mut answers = self.native().check_stream(questions).await?.into_inner();
        let answer = answers.message().await?;
        let ended = || Status::unknown("no answer");
        Ok(match answer.and_then(|it| it.result).ok_or_else(ended)? {
            check_stream_response::Result::Decision(decision) => Ok(decision),
            check_stream_response::Result::Refusal(refusal) => Err(refusal),
        })
    }

    async fn ext_authz(&self) -> String {
        let http = HttpRequest {
            method: "GET".to_owned(),
            host: "shop.example".to_owned(),
            path: "/orders/o-1".to_owned(),
            headers: [(
                "authorization".to_owned(),
                format!("Bearer {}", self.credentials.token),
            )]
            .into(),
            ..HttpRequest::default()
        };
        let mut request = Request::new(EnvoyRequest {
            attributes: Some(AttributeContext {
                request: Some(attribute_context::Request {
                    http: Some(http),
                    ..Default::default()
                }),
                ..Default::default()
            }),
        });
        let secret = MetadataValue::from_static(SECRET);
        request.metadata_mut().insert("x-doorward-caller", secret);
        let mut client = AuthorizationClient::new(self.channel.clone());
        // An error would obey the proxy's `failure_mode_allow`.
        let response = match client.check(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return format!("the call failed: {:?}", status.code()),
        };
        let code = response.status.unwrap().code;
        match response.http_response.unwrap() {
            HttpResponse::OkResponse(_) => {
                assert_eq!(code, 0);
                "allow".to_owned()
            }
            HttpResponse::DeniedResponse(denied) => {
                format!("{code} {}", denied.status.unwrap().code)
            }
            HttpResponse::ErrorResponse(_) => "an error response".to_owned(),
        }
    }

    async fn envoy_http(&self) -> String {
        let asked = self
            .http
            .get(format!("{}/forward-auth/envoy/orders/o-1", self.url))
            .header("host", "shop.example");
        self.subrequest(asked).await
    }

    async fn forward_auth(&self, gateway: &str, family: &str) -> String {
        let stated = |member| format!("x-{family}-{member}");
        let asked = self
            .http
            .get(format!("{}/forward-auth/{gateway}", self.url))
            .header(stated("method"), "GET")
            .header(stated("host"), "shop.example")
            .header(stated("uri"), "/orders/o-1");
        self.subrequest(asked).await
    }

    async fn subrequest(&self, asked: reqwest::RequestBuilder) -> String {
        let asked = asked
            .header("x-doorward-caller", SECRET)
            .bearer_auth(&self.credentials.token);
        match asked.send().await.unwrap().status().as_u16() {
            200 => "allow".to_owned(),
            status => status.to_string(),
        }
    }

    fn evaluation(&self) -> Json {
        json!({
            "subject": { "type": "User", "id": self.credentials.sub },
            "action": { "name": "ReadOrder" },
            "resource": { "type": "Order", "id": "o-1" },
        })
    }

    async fn authzen(&self, endpoint: &str, body: Json) -> String {
        let asked = self
            .http
            .post(format!("{}/access/v1/{endpoint}", self.url))
            .bearer_auth(&self.credentials.pep)
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = asked.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Json = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        let decision = &body.get("evaluations").map_or(&body, |all| &all[0])["decision"];
        match (status, decision.as_bool()) {
            (200, Some(true)) => "allow".to_owned(),
            (status, Some(decision)) => format!("{status} {decision}"),
            (status, None) => status.to_string(),
        }
    }
}

/// `allow`, `deny`, or the name of the code.
fn of_grpc(answered: Result<Result<Decision, Refusal>, Status>) -> String {
    match answered {
        Ok(Ok(decision)) => match decision.outcome() {
            Outcome::Allow => "allow".to_owned(),
            Outcome::Deny => "deny".to_owned(),
            Outcome::Unspecified => "unspecified".to_owned(),
        },
        Ok(Err(refusal)) => format!("{:?}", Code::from_i32(refusal.code)),
        Err(status) => format!("{:?}", status.code()),
    }
}

//! The key by which a caller's own token is signed changes: every face reads the new one, and strangers
//! have nothing read that is not due.

#![expect(
    clippy::disallowed_methods,
    reason = "the issuer is a task of the test, and keys are due again after a while"
)]

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use doorward::{
    authn::DevIssuer,
    client::{ClientError, Operator},
    config::Config,
    model::{EntityRef, SignedDuration},
    proto::v1::{
        CheckBatchRequest, CheckRequest, CheckStreamRequest, Entity, ExplainRequest,
        ListEntitiesRequest, NamedQuestion, QueryRecordsRequest, RevokeRequest, TailRecordsRequest,
        check_request::{Question, Subject},
        revoke_request::What,
    },
};
use envoy_types::pb::envoy::service::auth::v3::{
    attribute_context::HttpRequest, authorization_client::AuthorizationClient,
};
use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tonic::{Code, Request, Status, transport::Endpoint};

use crate::{
    ext_authz::about,
    fit::kit::{Running, load, mint},
    wire::{Reply, send},
};

const FILES: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        "entity User; entity Guest; entity Page;
         action Read appliesTo { principal: [User, Guest], resource: Page };",
    ),
    ("all.cedar", "permit (principal, action, resource);"),
    (
        "bundle.toml",
        "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n\
         [[principal]]\ntype = \"Guest\"\nanonymous = true\n\
         [[entity]]\ntype = \"Page\"\nsource = \"directory\"\n\
         [[route]]\npath = \"/pages/{page}\"\nanonymous = true\naction = \"Read\"\n\
         resource = { type = \"Page\", id = \"{page}\" }\n",
    ),
];

/// Least time between two reads of keys, where reads may happen.
const SOON: Duration = Duration::from_secs(1);

/// A way to ask, for which the caller must be known.
#[derive(Clone, Copy, Debug)]
enum Door {
    Check,
    Batch,
    Stream,
    Explain,
    ExtAuthz,
    ForwardAuth,
    Evaluation,
    Evaluations,
    Directory,
    Revocation,
    Query,
    Tail,
}

const DOORS: [Door; 12] = [
    Door::Check,
    Door::Batch,
    Door::Stream,
    Door::Explain,
    Door::ExtAuthz,
    Door::ForwardAuth,
    Door::Evaluation,
    Door::Evaluations,
    Door::Directory,
    Door::Revocation,
    Door::Query,
    Door::Tail,
];

/// An issuer on loopback that publishes the key of one of its folders.
struct Issuer {
    root: TempDir,
    url: String,
    published: Mutex<String>,
    reads: AtomicUsize,
}

impl Issuer {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Arc::new(Self {
            root: tempfile::tempdir().unwrap(),
            url: format!("http://{}/keys", listener.local_addr().unwrap()),
            published: Mutex::default(),
            reads: AtomicUsize::new(0),
        });
        issuer.publish("first");
        let served = Arc::clone(&issuer);
        drop(tokio::spawn(async move { served.serve(listener).await }));
        issuer
    }

    fn publish(&self, key: &str) {
        let keys = DevIssuer::open(&self.root.path().join(key)).unwrap().jwks();
        *self.published.lock().unwrap() = keys;
    }

    /// A token of the caller, by a key that is published or not.
    fn token(&self, key: &str) -> String {
        let life = SignedDuration::from_mins(10);
        let dir = self.root.path().join(key);
        mint(&dir, "api", "ask", life, &[("aud", "\"doorward\"")])
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    async fn serve(&self, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => break,
                }
            }
            self.reads.fetch_add(1, Ordering::SeqCst);
            let keys = self.published.lock().unwrap().clone();
            let length = keys.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            let answer = format!("{head}{keys}");
            // A reader that went away is none of this test's.
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    }
}

fn config(root: &Path, issuer: &Issuer, refetch: Duration) -> Config {
    let rules = root.join("rules");
    fs::create_dir(&rules).unwrap();
    for (name, text) in FILES {
        fs::write(rules.join(name), text).unwrap();
    }
    let iss = DevIssuer::open(&issuer.root.path().join("first")).unwrap();
    let iss = iss.issuer_config().issuer;
    let (url, refetch) = (&issuer.url, refetch.as_secs());
    let toml = format!(
        "bundle = \"rules\"\ndata = \"data\"\n[limits]\ndeadline_ms = 30000\n[listen]\n\
         grpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nprobe = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         [[issuer]]\nname = \"corp\"\nissuer = \"{iss}\"\naudiences = [\"pages\"]\nalgorithms = [\"ES256\"]\n\
         jwks_url = \"{url}\"\nallow_http_loopback = true\nkey_refetch = \"{refetch}s\"\n\
         [[caller]]\nname = \"api\"\nissuer = \"corp\"\ncaller_audience = \"doorward\"\nscope = \"ask\"\n\
         may = [\"check\", \"vouch\", \"gateway\", \"explain\", \"directory\", \"revoke\", \"audit\"]\n"
    );
    load(root, false, &toml).unwrap()
}

/// A server that knows its only caller by a token of `issuer`.
async fn start(issuer: &Issuer, refetch: Duration) -> Running {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), issuer, refetch);
    Running::serve(root, config).await
}

fn question() -> CheckRequest {
    let uid = |text: &str| text.parse::<EntityRef>().unwrap();
    CheckRequest {
        subject: Some(Subject::Entity(Entity::from(uid("User::\"u\"")))),
        question: Some(Question::Named(NamedQuestion {
            action: "Read".to_owned(),
            resource: Some(uid("Page::\"p\"").into()),
        })),
        ..CheckRequest::default()
    }
}

/// Whether the caller is known by `token` at this door; any other refusal is a fault of the test.
async fn is_known(server: &Running, door: Door, token: &str) -> bool {
    let bearer = || format!("Bearer {token}");
    let mut native = server.client().await;
    fn with<T>(message: T, name: &'static str, value: &str) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(name, value.parse().unwrap());
        request
    }
    let of_status = |answer: Result<(), Status>| match answer {
        Ok(()) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::Unauthenticated, "{door:?}: {status:?}");
            false
        }
    };
    let operator = async || {
        let url = format!("http://{}", server.admin);
        let operator = Operator::connect(&url).await.unwrap();
        operator.with_secret(token).unwrap()
    };
    let of_operator = |answer: Result<(), ClientError>| match answer {
        Ok(()) => true,
        Err(ClientError::Refused(why)) if why.code == Code::Unauthenticated => false,
        Err(other) => panic!("{door:?}: {other}"),
    };
    match door {
        Door::Check => {
            let asked = with(question(), "authorization", &bearer());
            of_status(native.check(asked).await.map(drop))
        }
        Door::Batch => {
            let batch = CheckBatchRequest {
                checks: vec![question()],
                ..CheckBatchRequest::default()
            };
            let asked = with(batch, "authorization", &bearer());
            of_status(native.check_batch(asked).await.map(drop))
        }
        Door::Stream => {
            let question = CheckStreamRequest {
                id: "q".to_owned(),
                check: Some(question()),
            };
            let questions = tokio_stream::once(question);
            let asked = with(questions, "authorization", &bearer());
            let answer = async {
                let mut answers = native.check_stream(asked).await?.into_inner();
                answers.message().await.map(drop)
            };
            of_status(answer.await)
        }
        Door::Explain => {
            let check = Some(question());
            let asked = with(ExplainRequest { check }, "authorization", &bearer());
            of_status(native.explain(asked).await.map(drop))
        }
        Door::ExtAuthz => {
            let http = HttpRequest {
                method: "GET".to_owned(),
                host: "site.example".to_owned(),
                path: "/pages/p".to_owned(),
                ..HttpRequest::default()
            };
            let asked = about(http);
            let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
            let mut client = AuthorizationClient::new(endpoint.connect().await.unwrap());
            let answer = client.check(with(asked, "x-doorward-caller", token)).await;
            let code = answer.unwrap().into_inner().status.unwrap().code;
            assert!(matches!(code, 0 | 16), "{door:?}: {code}");
            code == 0
        }
        Door::ForwardAuth => {
            let lines = [
                format!("x-doorward-caller: {token}"),
                "x-original-method: GET".to_owned(),
                "x-original-host: site.example".to_owned(),
                "x-original-uri: /pages/p".to_owned(),
            ];
            let reply = over_http(server, "GET", "/forward-auth/nginx", &lines, String::new());
            of_reply(door, &reply.await, 403)
        }
        Door::Evaluation | Door::Evaluations => {
            let question = json!({
                "subject": { "type": "User", "id": "u" },
                "action": { "name": "Read" },
                "resource": { "type": "Page", "id": "p" },
            });
            let (path, body) = match door {
                Door::Evaluation => ("/access/v1/evaluation", question),
                _ => (
                    "/access/v1/evaluations",
                    json!({ "evaluations": [question] }),
                ),
            };
            let lines = [
                format!("authorization: Bearer {token}"),
                "content-type: application/json".to_owned(),
            ];
            let reply = over_http(server, "POST", path, &lines, body.to_string());
            of_reply(door, &reply.await, 401)
        }
        Door::Directory => {
            let listed = operator().await.list(ListEntitiesRequest::default()).await;
            of_operator(listed.map(drop))
        }
        Door::Revocation => {
            let revoke = RevokeRequest {
                issuer: "corp".to_owned(),
                what: Some(What::Jti("t".to_owned())),
                issued_before: None,
            };
            of_operator(operator().await.revoke(revoke).await.map(drop))
        }
        Door::Query => {
            let query = QueryRecordsRequest::default();
            of_operator(operator().await.query_records(query).await.map(drop))
        }
        Door::Tail => {
            let tail = TailRecordsRequest::default();
            of_operator(operator().await.tail_records(tail).await.map(drop))
        }
    }
}

async fn over_http(
    server: &Running,
    method: &'static str,
    path: &'static str,
    lines: &[String],
    body: String,
) -> Reply {
    let (http, lines) = (server.http, lines.to_vec());
    let sent = tokio::task::spawn_blocking(move || {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        send(http, method, "localhost", path, &lines, body.as_bytes())
    });
    sent.await.unwrap()
}

fn of_reply(door: Door, reply: &Reply, refused: u16) -> bool {
    let status = reply.status;
    assert!(status == 200 || status == refused, "{door:?}: {reply:?}");
    status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_face_reads_the_new_key_of_a_callers_issuer() {
    let rotated = DOORS.map(|door| async move {
        let issuer = Issuer::start().await;
        let server = start(&issuer, SOON).await;
        assert!(
            is_known(&server, door, &issuer.token("first")).await,
            "{door:?}"
        );
        issuer.publish("second");
        tokio::time::sleep(SOON).await;
        let token = issuer.token("second");
        assert!(
            is_known(&server, door, &token).await,
            "{door:?}: the new key"
        );
        assert_eq!(issuer.reads(), 2, "{door:?}");
    });
    join_all(rotated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_have_no_more_read_than_is_due_at_any_face() {
    let issuer = Issuer::start().await;
    let server = start(&issuer, Duration::from_secs(600)).await;
    let (known, stranger) = (issuer.token("first"), issuer.token("stranger"));
    for door in DOORS {
        for _ in 0..5 {
            assert!(!is_known(&server, door, &stranger).await, "{door:?}");
        }
        assert!(is_known(&server, door, &known).await, "{door:?}");
    }
    assert_eq!(issuer.reads(), 1);
}

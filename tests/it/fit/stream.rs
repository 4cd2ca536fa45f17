//! `CheckStream`.

use std::time::Duration;

use doorward::model::SignedDuration;
use doorward::proto::v1::{
    CheckRequest, CheckStreamRequest, CheckStreamResponse, Outcome,
    check_stream_response::Result as Of,
};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Status, Streaming};

use super::kit::{self, Running, ask};

fn outgoing<T>(mut questions: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    futures_util::stream::poll_fn(move |cx| questions.poll_recv(cx))
}

struct Asking {
    questions: mpsc::Sender<CheckStreamRequest>,
    answers: Streaming<CheckStreamResponse>,
}

impl Asking {
    async fn open(server: &Running) -> Result<Self, Status> {
        Self::open_as(server, None).await
    }

    /// Opens one with this bearer of the caller's own.
    async fn open_as(server: &Running, bearer: Option<&str>) -> Result<Self, Status> {
        let (questions, sent) = mpsc::channel(64);
        let mut client = server.client().await;
        let mut request = Request::new(outgoing(sent));
        if let Some(bearer) = bearer {
            let value = format!("Bearer {bearer}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let answers = client.check_stream(request).await?.into_inner();
        Ok(Self { questions, answers })
    }

    async fn ask(&self, id: &str, check: Option<CheckRequest>) {
        let id = id.to_owned();
        self.questions
            .send(CheckStreamRequest { id, check })
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Option<Result<CheckStreamResponse, Status>> {
        tokio::time::timeout(Duration::from_secs(20), self.answers.next())
            .await
            .unwrap()
    }

    /// The id and one word for the next answer.
    async fn word(&mut self) -> (String, String) {
        let response = self.next().await.unwrap().unwrap();
        let word = match response.result.unwrap() {
            Of::Decision(decision) if decision.outcome() == Outcome::Allow => "allow".to_owned(),
            Of::Decision(_) => "deny".to_owned(),
            Of::Refusal(refusal) => refusal.reason,
        };
        (response.id, word)
    }
}

#[tokio::test]
async fn each_question_is_answered_under_its_id_and_a_bad_one_harms_no_other() {
    let server = Running::start("").await;
    let mut stream = Asking::open(&server).await.unwrap();
    let long = "x".repeat(257);
    stream.ask("a", Some(ask(&server.token("alice")))).await;
    stream.ask("b", None).await;
    stream.ask("", Some(ask(&server.token("bob")))).await;
    stream.ask(&long, Some(ask(&server.token("alice")))).await;
    stream.ask("a", Some(ask("no.token.atall"))).await;
    stream.ask("e", Some(ask(&server.token("alice")))).await;
    let mut found = Vec::new();
    for _ in 0..6 {
        found.push(stream.word().await);
    }
    found.sort();
    let mut expected = [
        ("a", "allow"),
        ("b", "malformed"),
        ("", "deny"),
        ("", "too_large"),
        ("a", "invalid_token"),
        ("e", "allow"),
    ]
    .map(|(id, word)| (id.to_owned(), word.to_owned()));
    expected.sort();
    assert_eq!(found, expected);
    let Asking {
        questions,
        mut answers,
    } = stream;
    drop(questions);
    assert!(
        answers.next().await.is_none(),
        "the stream ends with its questions"
    );
}

#[tokio::test]
async fn the_end_of_the_server_ends_streams_after_their_answers() {
    let mut server = Running::start("").await;
    let token = server.token("alice");
    let mut idle = Asking::open(&server).await.unwrap();
    let mut busy = Asking::open(&server).await.unwrap();
    for n in 0..50 {
        busy.ask(&n.to_string(), Some(ask(&token))).await;
    }
    assert_eq!(busy.word().await.1, "allow");
    server.stop();
    for _ in 1..50 {
        assert_eq!(busy.word().await.1, "allow");
    }
    for stream in [&mut idle, &mut busy] {
        let end = stream.next().await.unwrap().unwrap_err();
        assert_eq!(end.code(), Code::Unavailable, "{end}");
    }
    server.ended().await.unwrap();
    assert_eq!(server.records().len(), 50);
}

#[tokio::test]
async fn a_stream_ends_with_its_callers_credential() {
    let root = tempfile::tempdir().unwrap();
    let caller = "[[caller]]\nname = \"billing\"\nissuer = \"corp\"\n\
                  caller_audience = \"doorward\"\nscope = \"ask\"\n";
    let mut server = Running::start_in(root, false, caller).await;
    let issuer = server.root.path().join("issuer");
    let life = SignedDuration::from_secs(3);
    let bearer = kit::mint(&issuer, "svc", "ask", life, &[("aud", "\"doorward\"")]);
    for stranger in [None, Some("secret"), Some(server.token("alice").as_str())] {
        let refused = Asking::open_as(&server, stranger).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    }
    let mut stream = Asking::open_as(&server, Some(&bearer)).await.unwrap();
    let end = loop {
        // It may end before the question is on its way.
        let question = CheckStreamRequest {
            id: "q".to_owned(),
            check: Some(ask(&server.token("alice"))),
        };
        let _ended = stream.questions.try_send(question);
        match stream.next().await.unwrap() {
            Ok(response) => assert!(matches!(response.result, Some(Of::Decision(_)))),
            Err(status) => break status,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(end.code(), Code::Unauthenticated, "{end}");
    server.stop();
    server.ended().await.unwrap();
    let records = server.records();
    assert_eq!(records.last().unwrap()["reason"], "token_expired");
    assert!(records.len() > 4, "answers, three strangers and the end");
}

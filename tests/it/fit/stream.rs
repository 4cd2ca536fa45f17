//! `CheckStream`.

use std::time::Duration;

use doorward::proto::v1::{
    CheckRequest, CheckStreamRequest, CheckStreamResponse, Outcome,
    check_stream_response::Result as Of,
};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status, Streaming};

use super::kit::{Running, ask};

fn outgoing<T>(mut questions: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    futures_util::stream::poll_fn(move |cx| questions.poll_recv(cx))
}

struct Asking {
    questions: mpsc::Sender<CheckStreamRequest>,
    answers: Streaming<CheckStreamResponse>,
}

impl Asking {
    async fn open(server: &Running) -> Result<Self, Status> {
        let (questions, sent) = mpsc::channel(64);
        let mut client = server.client().await;
        let answers = client.check_stream(outgoing(sent)).await?.into_inner();
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

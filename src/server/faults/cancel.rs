//! Callers that hang up while their question is being worked on: it is recorded, and never as an
//! allow.

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

use super::{
    doors::{Asker, Door},
    rig::{self, Credentials, Fixture},
    *,
};
use crate::pep::admission::Class as Work;

/// How long anything is waited for: a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// The row of the table, as those of other faults.
#[expect(
    clippy::disallowed_methods,
    reason = "a caller that is cut off is a task of the test"
)]
pub(super) async fn run(http: &reqwest::Client) -> (String, Vec<Door>) {
    let (mut lines, mut wrong) = (String::new(), Vec::new());
    for door in Door::ALL {
        // Takes connections and says nothing, so that whoever needs keys waits for them.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fixture = Fixture::new();
        let mut built = fixture.sound();
        let fetch = FetchConfig {
            allow_addresses: vec!["127.0.0.0/8".parse().unwrap()],
            ..FetchConfig::default()
        };
        let url = format!("https://{}/keys", silent.local_addr().unwrap());
        built.issuer.keys = KeySource::Url {
            url: url.parse().unwrap(),
            fetch,
        };
        built.bounds.deadline = 3 * PATIENCE;
        let credentials = fixture.credentials("alice");
        let (at, admission) = rig::serve(&fixture, built).await;
        // Of those who wait for keys we know that they do; a body that does not come holds no place.
        let is_held = || match door {
            Door::Evaluation | Door::Evaluations => None,
            Door::Batch => Some(admission.load(Work::Batch).0 > 0),
            Door::Stream => Some(admission.load(Work::Stream).0 > 0),
            _ => Some(admission.load(Work::Check).0 > 0),
        };
        let recorded = || {
            let page = fixture.metrics.render();
            assert!(!page.contains("outcome=\"allow\""), "{page}");
            page.contains("doorward_refusals_total{")
        };
        let mut attempts = 0;
        let hung_up = async {
            while !recorded() {
                attempts += 1;
                let asking = tokio::spawn(ask(door, at.clone(), credentials.clone(), http.clone()));
                until(|| is_held() != Some(false)).await;
                // A stream is open before its question is here.
                tokio::time::sleep(Duration::from_millis(10 * attempts)).await;
                asking.abort();
                until(|| is_held() != Some(true)).await;
            }
        };
        let held = tokio::time::timeout(PATIENCE, hung_up).await.is_ok();
        if !held {
            wrong.push(door);
        }
        let word = if held { "recorded" } else { "lost" };
        writeln!(lines, "the caller hangs up | {door:?} | {word} | |").unwrap();
    }
    (lines, wrong)
}

/// Asks what cannot be answered yet.
async fn ask(door: Door, at: Addresses, credentials: Credentials, http: reqwest::Client) {
    let endpoint = match door {
        Door::Evaluation => "evaluation",
        Door::Evaluations => "evaluations",
        _ => {
            let asker = Asker::connect(door, &at, credentials, http).await;
            return drop(asker.ask().await);
        }
    };
    // There is nothing to wait for but the rest of the question.
    let mut stream = TcpStream::connect(at.http.to_string()).await.unwrap();
    let half = format!(
        "POST /access/v1/{endpoint} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         authorization: Bearer {}\r\ncontent-length: 99\r\n\r\n{{\"subject\":",
        credentials.pep
    );
    stream.write_all(half.as_bytes()).await.unwrap();
    std::future::pending().await
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

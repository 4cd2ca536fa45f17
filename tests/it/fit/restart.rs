//! The end of a server, as those see it who ask.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use doorward::proto::v1::CheckResponse;
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;

use super::{
    kit::{self, ask},
    raw::{connect, framed, read},
};

/// What one caller lived through.
#[derive(Default)]
pub(super) struct Seen {
    /// The ids of decisions that it got.
    pub(super) answered: BTreeSet<String>,
    /// Questions that were on their way and did not come back.
    lost: usize,
    /// Connections that could not be made, or took no more questions.
    turned_away: usize,
}

/// Asks without pause, eight questions at once, until told to stop.
pub(super) async fn caller(address: SocketAddr, body: Vec<u8>, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let Ok(stream) = tokio::net::TcpStream::connect(address).await else {
            seen.turned_away += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let Ok(mut client) = super::raw::over(stream).await else {
            seen.turned_away += 1;
            continue;
        };
        'connection: while !stop.load(Ordering::Relaxed) {
            let mut calls = Vec::new();
            for _ in 0..8 {
                let Ok((response, mut sending)) = client.begin(&[]).await else {
                    break;
                };
                let sent = sending.send_data(body.clone().into(), true);
                calls.push((response, sent));
            }
            if calls.is_empty() {
                seen.turned_away += 1;
                break;
            }
            for (response, sent) in calls {
                match read(response).await {
                    Ok(reply) if reply.grpc_status == Some(0) => {
                        let decision = CheckResponse::decode(&reply.message[5..]).unwrap();
                        seen.answered.insert(decision.decision.unwrap().decision_id);
                    }
                    Ok(reply) => panic!("{reply:?}"),
                    // The server says that it never looked at it: safe to ask again.
                    Err(why)
                        if sent.is_err() || why.reason() == Some(h2::Reason::REFUSED_STREAM) =>
                    {
                        seen.turned_away += 1;
                        break 'connection;
                    }
                    Err(_) => {
                        seen.lost += 1;
                        break 'connection;
                    }
                }
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut first = kit::program(root.path(), "", 1024);
    let token = kit::token(&root.path().join("data"), "alice");
    let body = framed(&ask(&token));
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(caller(first.grpc, body.clone(), Arc::clone(&stop))))
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Silent, and still there: it must not hold the end up.
    let _idle = connect(first.grpc).await.unwrap();
    first.signal("-TERM");
    let status = first.ended(Duration::from_secs(9)).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let same = format!(
        "[listen]\ngrpc = \"{}\"\nhttp = \"127.0.0.1:0\"\nprobe = \"{}\"\n",
        first.grpc, first.probe
    );
    let second = kit::program(root.path(), &same, 1024);
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Seen::default();
    for caller in callers {
        let seen = caller.await.unwrap();
        assert!(seen.answered.len() > 20, "{} answers", seen.answered.len());
        all.answered.extend(seen.answered);
        all.lost += seen.lost;
        all.turned_away += seen.turned_away;
    }
    eprintln!(
        "a restart under load: {} answered, {} lost, {} turned away and asked again",
        all.answered.len(),
        all.lost,
        all.turned_away
    );
    assert_eq!(all.lost, 0);
    let mut second = second;
    second.signal("-TERM");
    assert_eq!(
        second.ended(Duration::from_secs(9)).await.unwrap().code(),
        Some(0)
    );
    let recorded = kit::recorded_ids(root.path());
    let unrecorded = all.answered.difference(&recorded).count();
    assert_eq!(unrecorded, 0, "answers without a record");
}

/// F14: requests that never arrive, at both doors, hold the end up for `limits.drain` and no longer.
#[tokio::test]
async fn a_drain_that_hangs_is_cut_off() {
    let root = tempfile::tempdir().unwrap();
    let limits = "[limits]\ndrain_ms = 500\nrequest_ms = 60000\ndeadline_ms = 30000\n";
    let mut program = kit::program(root.path(), limits, 1024);
    let token = kit::token(&root.path().join("data"), "alice");
    let mut client = connect(program.grpc).await.unwrap();
    let answered = client.post(&[], framed(&ask(&token))).await.unwrap();
    assert_eq!(answered.word(), "allow");
    let (_response, mut announced) = client.begin(&[]).await.unwrap();
    announced
        .send_data(vec![0, 0, 0, 1, 0].into(), false)
        .unwrap();
    let mut half = tokio::net::TcpStream::connect(program.http).await.unwrap();
    let head = "POST /access/v1/evaluation HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\
                content-type: application/json\r\n\r\n{";
    half.write_all(head.as_bytes()).await.unwrap();
    // Both are being worked on once this one, sent after them, is answered.
    let answered = client.post(&[], framed(&ask(&token))).await.unwrap();
    assert_eq!(answered.word(), "allow");
    program.signal("-TERM");
    let status = program.ended(Duration::from_secs(30)).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let log = doorward::audit::lines(&root.path().join("data/audit")).unwrap();
    assert_eq!(log.matches("\"outcome\":\"allow\"").count(), 2, "{log}");
}

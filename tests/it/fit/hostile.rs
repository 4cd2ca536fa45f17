//! What peers may try on the gRPC port: they are bounded, and others are answered.

use std::{net::SocketAddr, time::Duration};

use doorward::proto::v1::CheckRequest;
use prost::bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::wire::send;

use super::{
    kit::{self, Running, ask, unasked},
    raw::{Raw, connect, framed, read},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn raw(address: SocketAddr) -> Raw {
    connect(address).await.unwrap()
}

/// Somebody else is answered.
async fn others_are_answered(address: SocketAddr, token: &str) {
    let reply = raw(address).await.post(&[], framed(&ask(token))).await;
    assert_eq!(reply.unwrap().word(), "allow");
}

/// Sends these bytes and reads until the server closes; whether it did so in time.
async fn closes(address: SocketAddr, sent: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be cut off while it still speaks.
    let _cut_off = stream.write_all(sent).await;
    let mut rest = Vec::new();
    let closed = stream.read_to_end(&mut rest);
    tokio::time::timeout(Duration::from_secs(20), closed)
        .await
        .is_ok()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A name, headers, a body, and what comes of it in one word.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Vec<u8>, &'a str);

#[tokio::test]
async fn messages_that_are_none_are_refused_each_by_its_status() {
    let server = Running::start("").await;
    let token = server.token("alice");
    let good = framed(&ask(&token));
    let message = |bytes: &[u8]| {
        let mut framed = vec![0];
        framed.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        framed.extend(bytes);
        framed
    };
    let flagged = |flag: u8| {
        let mut bytes = good.clone();
        bytes[0] = flag;
        bytes
    };
    let unknown_field = message(&[&good[5..], &[0xfa, 0x7f, 0x01, b'x']].concat());
    let no_text = message(&[0x0a, 0x02, 0xff, 0xfe]);
    let wrong_type = message(&[0x08, 0x01]);
    let half = good[..good.len() - 3].to_vec();
    let prefix_only = vec![0, 0, 0];
    let nested = message(&[0x2a; 300]);
    let aimless = CheckRequest {
        question: None,
        ..ask(&token)
    };
    let long = "x".repeat(8 * 1024);
    let cases: Vec<Case<'_>> = vec![
        ("as it should be", vec![], good.clone(), "allow"),
        ("an unknown field", vec![], unknown_field, "allow"),
        (
            "F01 over the limit",
            vec![],
            message(&vec![0; 256 * 1024 + 1]),
            "11",
        ),
        (
            "F03 compressed",
            vec![("grpc-encoding", "gzip")],
            flagged(1),
            "12",
        ),
        ("F04 compressed, unsaid", vec![], flagged(1), "13"),
        ("F04 flag 7", vec![], flagged(7), "13"),
        ("F04 truncated", vec![], half, "13"),
        ("F04 half a prefix", vec![], prefix_only, "13"),
        ("F05 not protobuf", vec![], message(&[0xff; 64]), "13"),
        ("F05 not UTF-8", vec![], no_text, "13"),
        ("F05 of another type", vec![], wrong_type, "13"),
        ("F05 nested", vec![], nested, "13"),
        ("F06 empty", vec![], framed(&CheckRequest::default()), "3"),
        ("F06 nobody asked about", vec![], framed(&unasked()), "3"),
        ("F06 nothing asked", vec![], framed(&aimless), "3"),
        (
            "F07 no time",
            vec![("grpc-timeout", "0n")],
            good.clone(),
            "4",
        ),
        (
            "F07 all the time",
            vec![("grpc-timeout", "99999999H")],
            good.clone(),
            "allow",
        ),
        (
            "F07 garbage",
            vec![("grpc-timeout", "soon")],
            good.clone(),
            "allow",
        ),
        (
            "F17 binary metadata",
            vec![("x-bin", &long)],
            good.clone(),
            "allow",
        ),
    ];
    for (name, headers, body, expected) in cases {
        let reply = raw(server.grpc).await.post(&headers, body).await.unwrap();
        assert_eq!(reply.word(), expected, "{name}");
    }
}

#[tokio::test]
async fn a_call_without_time_and_one_that_is_given_up_leave_records() {
    // F07, F08
    let mut server = Running::start("").await;
    let good = framed(&ask(&server.token("alice")));
    let mut client = raw(server.grpc).await;
    let reply = client.post(&[("grpc-timeout", "0n")], good.clone()).await;
    assert_eq!(reply.unwrap().word(), "4");
    let (response, mut stream) = client.begin(&[]).await.unwrap();
    stream.send_data(good.into(), true).unwrap();
    // Answered, and nobody reads it.
    drop(response.await.unwrap());
    drop((stream, client));
    server.stop();
    server.ended().await.unwrap();
    let records = server.records();
    let mut outcomes: Vec<_> = records.iter().map(|it| it["kind"].as_str()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [Some("decision"), Some("refusal")]);
}

#[tokio::test]
async fn bodies_that_are_announced_and_do_not_come_end_in_time() {
    // F02
    let server = Running::start("[limits]\nrequest_ms = 300\n").await;
    let token = server.token("alice");
    let mut slow = raw(server.grpc).await;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let (response, mut stream) = slow.begin(&[]).await.unwrap();
        let mut announced = vec![0];
        announced.extend((256_u32 * 1024).to_be_bytes());
        stream.send_data(announced.into(), false).unwrap();
        waiting.push((response, stream));
    }
    others_are_answered(server.grpc, &token).await;
    for (response, _open) in waiting {
        assert_eq!(read(response).await.unwrap().word(), "4");
    }
    others_are_answered(server.grpc, &token).await;
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_end_the_connection_or_cost_nothing() {
    // F09
    let server = Running::start("").await;
    let token = server.token("alice");
    let mut client = raw(server.grpc).await;
    for _ in 0..100_000 {
        match client.begin(&[]).await {
            Ok((_, mut stream)) => stream.send_reset(h2::Reason::CANCEL),
            Err(_) => break,
        }
    }
    others_are_answered(server.grpc, &token).await;
}

#[tokio::test]
async fn frames_that_break_the_rules_end_their_connection() {
    let server = Running::start("").await;
    let token = server.token("alice");
    // :method POST, :scheme http, :path /, and an authority.
    let headers = [&[0x83, 0x86, 0x84, 0x41, 0x01][..], b"a"].concat();
    let mut made_to_reset = PREFACE.to_vec();
    for n in 0..3000_u32 {
        let stream = 2 * n + 1;
        made_to_reset.extend(frame(1, 4, stream, &headers));
        // MadeYouReset: a window update by nothing makes the server reset the stream.
        made_to_reset.extend(frame(8, 0, stream, &[0; 4]));
    }
    let mut continued = [PREFACE, &frame(1, 0, 1, &headers)].concat();
    for _ in 0..2000 {
        continued.extend(frame(9, 0, 1, &[0x40, 0x01, b'a', 0x7f, 0x00]));
    }
    let mut empty = [PREFACE, &frame(1, 4, 1, &headers)].concat();
    for _ in 0..200_000 {
        empty.extend(frame(0, 0, 1, &[]));
    }
    empty.extend(frame(0, 0, 0, &[]));
    let settings = [PREFACE, &frame(4, 0, 0, &[0; 7])].concat();
    for (name, sent) in [
        ("F10 made to reset", made_to_reset),
        ("F11 headers without end", continued),
        ("F11 empty data", empty),
        ("settings of no length", settings),
        (
            "F15 HTTP/1.1",
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        ),
        (
            "F15 TLS",
            [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 64]].concat(),
        ),
        ("F15 PROXY", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec()),
    ] {
        assert!(closes(server.grpc, &sent).await, "{name}");
        others_are_answered(server.grpc, &token).await;
    }
}

/// F11: a header block of 14 KiB that stands for 30 MiB of headers, over and over.
#[tokio::test]
async fn headers_that_unpack_to_many_times_their_size_are_not_unpacked() {
    let root = tempfile::tempdir().unwrap();
    let program = kit::program(root.path(), "", 1024);
    let token = kit::token(&root.path().join("data"), "alice");
    others_are_answered(program.grpc, &token).await;
    let before = program.memory("VmRSS:");
    let mut block = [&[0x83, 0x86, 0x84, 0x41, 0x01][..], b"a"].concat();
    // One header of 3,000 bytes into the table of both ends, then by its number.
    block.extend([0x40, 0x01, b'b', 0x7f, 0xb9, 0x16]);
    block.extend([b'x'; 3000]);
    block.extend([0xbe; 10_000]);
    let mut sent = PREFACE.to_vec();
    for n in 0..100 {
        sent.extend(frame(1, 5, 2 * n + 1, &block));
    }
    let mut bombs = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(program.grpc).await.unwrap();
        // It may be cut off while it still speaks.
        let _cut_off = stream.write_all(&sent).await;
        bombs.push(stream);
    }
    others_are_answered(program.grpc, &token).await;
    let peak = program.memory("VmHWM:");
    assert!(peak < before + 50 * 1024, "{before} KiB became {peak} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_and_slow_connections_cost_little_and_hinder_nobody() {
    // F02, F12
    let root = tempfile::tempdir().unwrap();
    let limits = "[limits]\nconnections = 2200\nhandshake_ms = 3000\nrequest_ms = 3000\n";
    let program = kit::program(root.path(), limits, 4096);
    let token = kit::token(&root.path().join("data"), "alice");
    others_are_answered(program.grpc, &token).await;
    let before = program.memory("VmRSS:");
    let mut idle = Vec::new();
    for n in 0..2000 {
        let mut stream = TcpStream::connect(program.grpc).await.unwrap();
        // One half says nothing, the other introduces itself and then is silent.
        if n % 2 == 0 {
            stream.write_all(PREFACE).await.unwrap();
        }
        idle.push(stream);
    }
    others_are_answered(program.grpc, &token).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut client = raw(program.grpc).await;
        for _ in 0..100 {
            let (response, mut stream) = client.begin(&[]).await.unwrap();
            let mut announced = vec![0];
            announced.extend((256_u32 * 1024).to_be_bytes());
            stream.send_data(Bytes::from(announced), false).unwrap();
            slow.push((response, stream));
        }
    }
    others_are_answered(program.grpc, &token).await;
    let held = program.memory("VmRSS:");
    eprintln!(
        "2,000 idle connections and 2,000 announced messages: {before} KiB before, {held} KiB, \
         peak {} KiB",
        program.memory("VmHWM:")
    );
    assert!(held < before + 100 * 1024, "{before} KiB became {held} KiB");
    // Those that said nothing are given up; the others may stay.
    let mut rest = Vec::new();
    let given_up = idle[1].read_to_end(&mut rest);
    assert!(
        tokio::time::timeout(Duration::from_secs(20), given_up)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn out_of_descriptors_it_goes_on_when_there_are_some_again() {
    // F13
    let root = tempfile::tempdir().unwrap();
    let program = kit::program(root.path(), "", 64);
    let token = kit::token(&root.path().join("data"), "alice");
    others_are_answered(program.grpc, &token).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect(program.grpc).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(held);
    let again = async {
        while !kit::get(program.probe, "/metrics")
            .await
            .contains("reason=\"accept\"")
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        others_are_answered(program.grpc, &token).await;
    };
    tokio::time::timeout(Duration::from_secs(20), again)
        .await
        .unwrap();
}

/// A page in a browser on this machine may have had its own name resolved to us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_gateways_ask_under_names_that_are_not_ours() {
    let server = Running::start("").await;
    let body = br#"{"subject":{"type":"User","id":"alice"},"action":{"name":"ReadOrder"},"resource":{"type":"Order","id":"o-1"}}"#;
    let json = ["content-type: application/json"];
    let stated = [
        "x-forwarded-method: GET",
        "x-forwarded-host: shop.example",
        "x-forwarded-uri: /x",
    ];
    for (host, path, lines, body, status) in [
        (
            "localhost:8181",
            "/access/v1/evaluation",
            &json[..],
            &body[..],
            200,
        ),
        ("evil.example", "/access/v1/evaluation", &json, body, 421),
        ("evil.example", "/access/v1/evaluations", &json, body, 421),
        (
            "evil.example",
            "/.well-known/authzen-configuration",
            &[],
            b"",
            421,
        ),
        // Heard, and nobody's token came with it.
        ("evil.example", "/forward-auth/caddy", &stated, b"", 401),
    ] {
        let reply = send(server.http, "POST", host, path, lines, body);
        assert_eq!(reply.status, status, "{host}{path}: {reply:?}");
    }
}

/// F16: each port serves what it is for and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_operators_is_on_a_port_of_its_own() {
    let server = Running::start("").await;
    for path in ["/metrics", "/readyz", "/livez", "/debug", "/"] {
        let reply = send(server.http, "GET", "localhost", path, &[], b"");
        assert_eq!(reply.status, 404, "{path}");
    }
    for path in [
        "/access/v1/evaluation",
        "/forward-auth/nginx",
        "/debug",
        "/config",
    ] {
        let reply = send(server.probe, "GET", "localhost", path, &[], b"");
        assert_eq!(reply.status, 404, "{path}");
    }
    let token = server.token("alice");
    others_are_answered(server.grpc, &token).await;
    let page = server.metrics().await;
    let root = server.root.path().display().to_string();
    for secret in [token.as_str(), "alice", &root] {
        assert!(!page.contains(secret), "{secret} is in {page}");
    }
}

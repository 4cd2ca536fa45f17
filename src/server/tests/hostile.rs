//! What is no question, and callers that stay.

use super::*;

#[tokio::test]
async fn an_oversized_message_is_refused_and_the_server_lives() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();
    let big = CheckRequest {
        bundle: "x".repeat(300 * 1024),
        ..question()
    };
    match client.check(big).await.unwrap_err() {
        ClientError::Refused(refused) => assert_eq!(refused.code, tonic::Code::OutOfRange),
        other => panic!("{other}"),
    }
    match client.check(question()).await.unwrap_err() {
        ClientError::Refused(refused) => assert_eq!(refused.reason, "invalid_token"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn garbage_on_the_port_harms_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        &[0x16, 3, 1, 2, 0, 1, 0],
        &[0xff; 4096],
    ] {
        let mut stream = TcpStream::connect(running.grpc).await.unwrap();
        // It may be cut off while it still speaks.
        let _cut_off = stream.write_all(garbage).await;
        let _cut_off = stream.shutdown().await;
    }
    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();
    assert!(
        client
            .check(ask(&mint(dir.path(), "alice")))
            .await
            .unwrap()
            .is_allowed()
    );
}

#[tokio::test]
async fn clients_that_stay_connected_do_not_hold_the_end_up() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();
    assert!(client.check(ask(&mint(dir.path(), "alice"))).await.is_ok());
    running.stop.send(()).unwrap();
    tokio::time::timeout(LimitsConfig::default().drain, running.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(matches!(
        client.check(question()).await,
        Err(ClientError::Refused(_))
    ));
}

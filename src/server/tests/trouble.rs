//! Parts that die or fail while the server runs.

use super::*;

#[tokio::test]
async fn a_task_that_dies_ends_the_server_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::open(config(dir.path(), &[])).await.unwrap();
    // With nobody left to write for, the writer ends, which it never does while the server lives.
    let other = dir.path().join("other");
    let config = crate::config::AuditConfig::default();
    let configuration = String::new();
    let metrics = Arc::new(Metrics::new());
    let disk = Arc::new(crate::ledger::RealDisk);
    let log = audit::open(disk, &config, &other, configuration, metrics, clock::now).unwrap();
    drop((log.recorder, log.sealer));
    server.log.as_mut().unwrap().writer = log.writer;
    let death = server.run(std::future::pending()).await.unwrap_err();
    assert_eq!(death.to_string(), "the task `decision log` died: it ended");
    let server = Server::open(self::config(&dir.path().join("b"), &[]));
    let server = server.await.unwrap();
    // Only the server's own end asks the ledger to end.
    let store = Arc::clone(&server.kept.store);
    let (ended, ()) = tokio::join!(server.run(std::future::pending()), store.end());
    let death = ended.unwrap_err();
    assert_eq!(death.to_string(), "the task `ledger` died: it ended");
}

#[tokio::test]
async fn a_server_that_cannot_read_a_record_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::open(config(dir.path(), &[])).await.unwrap();
    let store = Arc::clone(&server.kept.store);
    let probe = tcp(server.addresses().unwrap().probe);
    let told = async {
        let ready = get(probe, "/readyz").await;
        assert!(ready.contains(" 200 OK"), "{ready}");
        store.write_unknown().await.unwrap();
        let ready = get(probe, "/readyz").await;
        assert!(
            ready.contains(" 503 ") && ready.contains("\"what\":\"records\""),
            "{ready}"
        );
        let metrics = get(probe, "/metrics").await;
        assert!(
            metrics.contains("doorward_store_failing{part=\"records\"} 1"),
            "{metrics}"
        );
    };
    tokio::select! {
        () = told => {}
        ended = server.run(std::future::pending()) => panic!("{ended:?}"),
    }
}

//! A server that is killed while it is asked: whatever it answered is in its decision log.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use doorward::audit::{AuditFiles, verify};

use super::{
    kit::{self, ask},
    raw::framed,
    restart::caller,
};

/// As often as `DOORWARD_KILLS` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answered_decision_is_missing_after_a_kill() {
    let kills = std::env::var("DOORWARD_KILLS").map_or(4, |it| it.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    let required =
        "[audit]\nmode = \"required\"\nsegment_bytes = 1048576\ncheckpoint_records = 50\n";
    let files = AuditFiles::new(&root.path().join("data/audit"));
    let mut answered = BTreeSet::new();
    for n in 0..kills {
        let program = kit::program(root.path(), required, 1024);
        let token = kit::token(&root.path().join("data"), "alice");
        let body = framed(&ask(&token));
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..8)
            .map(|_| tokio::spawn(caller(program.grpc, body.clone(), Arc::clone(&stop))))
            .collect();
        let before = files.written();
        while files.written() < before + 30 {
            tokio::time::sleep(Duration::from_millis(1 + n % 7)).await;
        }
        program.signal("-KILL");
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            answered.extend(caller.await.unwrap().answered);
        }
        drop(program);
        // A torn end is nobody's answer; all else is whole.
        let found = verify(&files, None, None).unwrap();
        eprintln!(
            "kill {n}: {} answered, {} records, {} bytes torn",
            answered.len(),
            found.last.sequence,
            found.torn
        );
    }
    let recorded = kit::recorded_ids(root.path());
    assert!(answered.len() > 10, "{} answers", answered.len());
    assert_eq!(
        answered.difference(&recorded).count(),
        0,
        "answers without a record"
    );
    let mut last = kit::program(root.path(), required, 1024);
    last.signal("-TERM");
    assert_eq!(
        last.ended(Duration::from_secs(9)).await.unwrap().code(),
        Some(0)
    );
    assert!(verify(&files, None, None).unwrap().closed);
}

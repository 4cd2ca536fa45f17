//! A log that cannot keep up, or whose disk fails.

use super::*;

#[tokio::test]
async fn a_full_queue_loses_records_and_the_log_says_how_many() {
    let kept = Kept::new();
    let log = kept.open(&mode(AuditMode::BestEffort), RealDisk);
    for n in 0..QUEUE + 7 {
        log.recorder.record(record(&n.to_string()));
    }
    log.writer.run(async {}).await.unwrap();
    assert_eq!(kept.of_kind("gap")[0]["lost"], 7);
    assert_eq!(kept.of_kind("decision").len(), QUEUE);
    let page = kept.metrics.render();
    assert!(page.contains("doorward_records_dropped_total 7"), "{page}");
}

#[tokio::test]
async fn the_facts_of_waiting_records_are_bounded() {
    let kept = Kept::new();
    let log = kept.open(&mode(AuditMode::Required), RealDisk);
    let huge = || Record {
        weight: QUEUE_BYTES,
        ..record("huge")
    };
    let _alone = log.recorder.submit(huge());
    let refused = log.recorder.submit(huge()).durable().await.unwrap_err();
    assert_eq!(refused, Refusal::Overloaded);
}

#[tokio::test]
async fn a_required_record_is_on_the_disk_before_its_receipt() {
    let kept = Kept::new();
    let disk = FakeDisk::default();
    let log = kept.open(&mode(AuditMode::Required), disk.clone());
    let writer = log.writer.run(std::future::pending());
    let asks = async {
        for n in 0..20 {
            let record = record(&n.to_string());
            let id = record.decision_id;
            log.recorder.submit(record).durable().await.unwrap();
            // The power fails here, in some other world.
            let (there, other) = (disk.fork(), Kept::new());
            there.crash(&mut || false);
            for path in there.files() {
                let name = path.file_name().unwrap();
                fs::write(other.dir().join(name), there.bytes(&path)).unwrap();
            }
            assert!(
                matches!(find(&other.files(), id), Ok(Some(Told::Record(_)))),
                "{n}"
            );
        }
    };
    tokio::select! {
        _ = writer => unreachable!("it was not asked to end"),
        () = asks => {}
    }
}

#[tokio::test]
async fn a_disk_that_fails_refuses_what_is_required_and_alarms_until_it_works_again() {
    let kept = Kept::new();
    let disk = FakeDisk::default();
    let log = kept.open(&mode(AuditMode::Required), disk.clone());
    let recorder = log.recorder.clone();
    let writer = log.writer.run(std::future::pending());
    let asks = async {
        recorder.submit(record("1")).durable().await.unwrap();
        assert_eq!(recorder.trouble(), None);
        disk.fail(Fault::Write, 0);
        let refused = recorder.submit(record("2")).durable().await.unwrap_err();
        assert!(matches!(refused, Refusal::Unavailable { .. }), "{refused}");
        assert!(recorder.trouble().is_some());
        assert!(
            kept.metrics
                .render()
                .contains("doorward_decision_log_failing 1")
        );
        recorder.submit(record("3")).durable().await.unwrap();
        assert_eq!(recorder.trouble(), None);
        disk.fail(Fault::Sync, 0);
        recorder.submit(record("4")).durable().await.unwrap_err();
        let stays = recorder.submit(record("5")).durable().await.unwrap_err();
        assert!(stays.to_string().contains("unknown"), "{stays}");
    };
    tokio::select! {
        _ = writer => unreachable!("it was not asked to end"),
        () = asks => {}
    }
    kept.take(&disk);
    let resources: Vec<_> = kept
        .of_kind("decision")
        .iter()
        .map(|it| it["resource"].clone())
        .collect();
    assert_eq!(resources[..2], ["Order::\"1\"", "Order::\"3\""]);
    assert_eq!(
        kept.of_kind("gap").len(),
        0,
        "nothing that was answered is missing"
    );
}

#[tokio::test]
async fn best_effort_goes_on_after_a_failure_and_tells_the_gap() {
    let kept = Kept::new();
    let disk = FakeDisk::default();
    let log = kept.open(&mode(AuditMode::BestEffort), disk.clone());
    disk.limit(Some(0));
    log.recorder.record(record("1"));
    log.recorder.record(record("2"));
    let (end, ended) = oneshot::channel::<()>();
    let recorder = log.recorder.clone();
    let mended = disk.clone();
    let more = async move {
        while recorder.trouble().is_none() {
            tokio::task::yield_now().await;
        }
        mended.limit(None);
        recorder.submit(record("3")).durable().await.unwrap();
        end.send(()).unwrap();
    };
    let drain = async { ended.await.unwrap() };
    let (ran, ()) = tokio::join!(log.writer.run(drain), more);
    ran.unwrap();
    kept.take(&disk);
    assert_eq!(kept.of_kind("gap")[0]["lost"], 2);
    assert_eq!(kept.of_kind("decision").len(), 1);
    assert!(verify(&kept.files(), None, None).is_ok());
}

/// In whatever crash, what was acknowledged is there, and the log is whole.
#[tokio::test]
async fn no_crash_loses_an_answered_decision() {
    let runs = std::env::var("LOG_CRASHES").map_or(60, |it| it.parse().unwrap());
    for seed in 1..=runs {
        let mut dice = Dice::new(seed);
        let kept = Kept::new();
        let disk = FakeDisk::default();
        let mut acknowledged = Vec::new();
        for _life in 0..3 {
            let log = kept.open(&mode(AuditMode::Required), disk.clone());
            let recorder = log.recorder.clone();
            let writer = log.writer.run(std::future::pending());
            let asks = async {
                for n in 0..dice.below(6) {
                    let record = record(&n.to_string());
                    let id = record.decision_id;
                    recorder.submit(record).durable().await.unwrap();
                    acknowledged.push(id);
                }
            };
            tokio::select! {
                _ = writer => unreachable!("it was not asked to end"),
                () = asks => {}
            }
            let chance = [0, 50, 90, 100][usize::try_from(dice.below(4)).unwrap()];
            disk.crash(&mut || dice.percent(chance));
        }
        kept.take(&disk);
        for id in &acknowledged {
            assert!(
                find(&kept.files(), *id).unwrap().is_some(),
                "seed {seed}: {id}"
            );
        }
        let whole = verify(&kept.files(), None, None);
        assert!(whole.is_ok(), "seed {seed}: {whole:?}");
    }
}

//! What is kept, and what of it.

use super::*;

#[tokio::test]
async fn decisions_are_kept_with_their_facts_and_latency_and_are_counted() {
    let kept = Kept::new();
    let log = kept.open(&mode(AuditMode::BestEffort), RealDisk);
    log.recorder.clone().record(record("1"));
    log.recorder.record(record("2"));
    // The drain is due at once, and another recorder still lives: what is queued is written.
    log.writer.run(async {}).await.unwrap();

    let lines = kept.of_kind("decision");
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["resource"], "Order::\"1\"");
    assert_eq!(lines[0]["principal"], "User::\"alice\"");
    assert_eq!(lines[1]["principal"], "User::\"alice\"");
    assert_eq!(lines[1]["facts"]["asked"]["context"]["ip"], "10.1.2.3");
    assert_eq!(lines[0]["outcome"], "allow");
    assert_eq!(lines[0]["latency_us"], 1500);
    assert_eq!(lines[0]["token"], "0123456789abcdef");
    let found = verify(&kept.files(), None, None).unwrap();
    assert!(found.closed && found.signed + 1 == found.last.sequence);
    let page = kept.metrics.render();
    assert!(
        page.contains("cause=\"permitted\",face=\"grpc\"} 2"),
        "{page}"
    );
}

#[tokio::test]
async fn facts_are_written_once_in_a_segment() {
    let kept = Kept::new();
    kept.write(50, 50).await;
    let bytes = fs::read(kept.files().segments().unwrap()[0].path.clone()).unwrap();
    let emails = bytes.windows(16).filter(|it| it == b"mail-of-a-person");
    assert_eq!(emails.count(), 1);
}

/// A record of a subject whose facts others have too.
fn record_sharing(who: &Arc<SubjectFacts>, resource: &str) -> Record {
    let facts = Facts {
        subject: Some(Arc::clone(who)),
        asked: Some(asked(resource)),
    };
    Record {
        evidence: Evidence::Known(Box::new(facts)),
        ..record(resource)
    }
}

/// The facts that every decision of the log has, which is whole.
fn subjects(kept: &Kept) -> Vec<Arc<SubjectFacts>> {
    verify(&kept.files(), None, None).unwrap();
    let mut subjects = Vec::new();
    select(&kept.files(), &Query::default(), &mut |entry| {
        if let Told::Record(it) = entry {
            assert!(!it.erased && it.facts.asked.is_some());
            subjects.extend(it.facts.subject);
        }
        true
    })
    .unwrap();
    subjects
}

#[tokio::test]
async fn a_shared_subject_stands_once_in_every_segment() {
    let kept = Kept::new();
    let who = [Arc::new(subject("alice")), Arc::new(subject("bob"))];
    let config = mode(AuditMode::Required);
    for n in 0..3 {
        let mut log = kept.open(&config, RealDisk);
        if n > 0 {
            log.writer.rotate_for_test();
        }
        for m in 0..20 {
            log.recorder.record(record_sharing(&who[m % 2], "o-1"));
        }
        log.writer.run(async {}).await.unwrap();
    }
    let found = subjects(&kept);
    assert_eq!(found.len(), 60);
    for (n, it) in found.iter().enumerate() {
        assert!(**it == *who[n % 2], "{n}");
    }
    for segment in kept.files().segments().unwrap() {
        let bytes = fs::read(&segment.path).unwrap();
        let emails = bytes.windows(16).filter(|it| it == b"mail-of-a-person");
        assert_eq!(emails.count(), 2, "{segment:?}");
    }
}

#[tokio::test]
async fn a_shared_subject_is_written_again_where_the_disk_did_not_take_it() {
    let kept = Kept::new();
    let disk = FakeDisk::default();
    let log = kept.open(&mode(AuditMode::Required), disk.clone());
    let who = Arc::new(subject("alice"));
    let (end, ended) = oneshot::channel::<()>();
    let submit = || log.recorder.submit(record_sharing(&who, "o-1")).durable();
    let asks = async {
        disk.fail(Fault::Write, 0);
        assert!(submit().await.is_err());
        submit().await.unwrap();
        submit().await.unwrap();
        end.send(()).unwrap();
    };
    let writing = log.writer.run(async { ended.await.unwrap() });
    let (written, ()) = tokio::join!(writing, asks);
    written.unwrap();
    kept.take(&disk);
    assert_eq!(subjects(&kept).len(), 2);
}

#[tokio::test]
async fn more_facts_than_are_told_apart_are_written_again() {
    let kept = Kept::new();
    let who = Arc::new(subject("alice"));
    let log = kept.open(&mode(AuditMode::Required), RealDisk);
    for n in 0..30 {
        let mut it = record_sharing(&who, "o-1");
        if let Evidence::Known(facts) = &mut it.evidence {
            let note = Value::from(format!("{}:", n % 25).repeat(400_000).as_str());
            let asked = facts.asked.as_mut().unwrap();
            asked.context.insert("note".to_owned(), note);
        }
        log.recorder.record(it);
    }
    log.writer.run(async {}).await.unwrap();
    assert_eq!(subjects(&kept).len(), 30);
}

#[tokio::test]
async fn a_shared_subject_has_its_pseudonym_in_the_log_alone() {
    let kept = Kept::new();
    let config = AuditConfig {
        redact: vec!["entity:User".parse::<Redact>().unwrap()],
        ..mode(AuditMode::Required)
    };
    let who = Arc::new(subject("alice"));
    let log = kept.open(&config, RealDisk);
    log.recorder.record(record_sharing(&who, "o-1"));
    log.recorder.record(record_sharing(&who, "o-2"));
    log.writer.run(async {}).await.unwrap();
    let hidden = Pseudonyms::existing(&kept.dir()).unwrap().of("alice");
    let found = subjects(&kept);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|it| it.entity.uid.id == hidden));
    assert_eq!(who.entity.uid.id, "alice");
}

#[tokio::test]
async fn garbage_is_counted_in_full_and_kept_by_example() {
    let kept = Kept::new();
    let log = kept.open(&mode(AuditMode::Required), RealDisk);
    for _ in 0..100_000 {
        log.recorder.submit(stranger()).durable().await.unwrap();
    }
    assert_eq!(log.recorder.queue().0, 0, "none of it is in anyone's way");
    log.writer.run(async {}).await.unwrap();
    let counted: u64 = kept
        .of_kind("refused")
        .iter()
        .map(|it| it["count"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 100_000);
    let samples = kept.of_kind("refusal");
    assert_eq!(samples.len(), 8);
    let id: DecisionId = samples[0]["decision_id"].as_str().unwrap().parse().unwrap();
    assert!(matches!(
        find(&kept.files(), id),
        Ok(Some(Told::Refused(_)))
    ));
    let bytes = fs::metadata(kept.files().segments().unwrap()[0].path.clone())
        .unwrap()
        .len();
    assert!(bytes < 8 * 1024, "{bytes}");
}

#[tokio::test]
async fn denies_of_one_subject_above_its_rate_are_counted_exactly() {
    let kept = Kept::new();
    let config = AuditConfig {
        denies_per_second: 5,
        ..mode(AuditMode::Required)
    };
    let log = kept.open(&config, RealDisk);
    let mut ids = Vec::new();
    for _ in 0..500 {
        let record = denied();
        ids.push(record.decision_id);
        log.recorder.record(record);
    }
    log.recorder.record(record("allowed"));
    log.writer.run(async {}).await.unwrap();
    assert_eq!(kept.of_kind("decision").len(), 6);
    let repeated = kept.of_kind("repeated");
    let counted: u64 = repeated
        .iter()
        .map(|it| it["count"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 495);
    assert_eq!(repeated[0]["principal"], "User::\"alice\"");
    for id in [ids[0], ids[5], ids[499]] {
        assert!(find(&kept.files(), id).unwrap().is_some(), "{id}");
    }
}

#[tokio::test]
async fn pseudonyms_stand_for_what_rules_name_and_equals_stay_equal() {
    let kept = Kept::new();
    let rules = ["entity:User", "attribute:email", "context:ip", "token"];
    let config = AuditConfig {
        redact: rules
            .iter()
            .map(|rule| rule.parse::<Redact>().unwrap())
            .collect(),
        ..mode(AuditMode::Required)
    };
    for _ in 0..2 {
        let log = kept.open(&config, RealDisk);
        log.recorder.record(record("o-1"));
        log.recorder.record(record("o-2"));
        log.writer.run(async {}).await.unwrap();
    }
    for segment in kept.files().segments().unwrap() {
        let bytes = fs::read(segment.path).unwrap();
        for secret in ["alice", "mail-of-a-person", "10.1.2.3", "0123456789abcdef"] {
            let found = bytes
                .windows(secret.len())
                .any(|it| it == secret.as_bytes());
            assert!(!found, "{secret}");
        }
    }
    let lines = kept.of_kind("decision");
    assert_eq!(lines.len(), 4);
    assert!(
        lines
            .iter()
            .all(|it| it["principal"] == lines[0]["principal"])
    );
    assert_eq!(lines[0]["resource"], "Order::\"o-1\"");
    assert_eq!(lines[0]["redacted"], true);
    let hidden = Pseudonyms::existing(&kept.dir()).unwrap().of("alice");
    assert_eq!(lines[0]["principal"], format!("User::\"{hidden}\""));
}

#[test]
fn nothing_is_kept_when_off_but_counts_go_on() {
    let metrics = Arc::new(Metrics::new());
    Recorder::counting(Arc::clone(&metrics), clock).record(record("x"));
    Recorder::off().record(record("x"));
    let text = metrics.render();
    assert!(text.contains("doorward_records_dropped_total 0"), "{text}");
    assert!(
        text.contains("cause=\"permitted\",face=\"grpc\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn text_that_steers_terminals_is_escaped_and_reads_back() {
    let nasty = "a\n\u{1b}[31m\u{7f}\u{9b}2J\u{202e}\u{2028}\u{feff}\"\\é✓";
    let kept = Kept::new();
    let log = kept.open(&mode(AuditMode::Required), RealDisk);
    log.recorder.record(Record {
        request_id: Some(nasty.to_owned()),
        ..record("o-1")
    });
    log.writer.run(async {}).await.unwrap();
    let text = lines(&kept.dir()).unwrap();
    assert!(
        !text.chars().any(|it| it.is_control() && it != '\n'),
        "{text}"
    );
    assert!(text.contains("\\u202e") && text.contains("\\u009b") && text.contains("é✓"));
    assert_eq!(kept.of_kind("decision")[0]["request_id"], nasty);
}

#[cfg(unix)]
#[tokio::test]
async fn the_log_and_its_keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let kept = Kept::new();
    kept.write(3, 3).await;
    for name in ["00000000000000000001.seg", "node.key", "pseudonym.key"] {
        let mode = fs::metadata(kept.dir().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    fs::set_permissions(
        kept.dir().join("node.key"),
        PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let metrics = Arc::clone(&kept.metrics);
    let config = mode(AuditMode::Required);
    let opened = open(
        Arc::new(RealDisk),
        &config,
        kept.data.path(),
        String::new(),
        metrics,
        clock,
    );
    assert!(opened.unwrap_err().to_string().contains("chmod 600"));
}

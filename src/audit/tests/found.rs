//! A log with many segments.

use super::*;

#[tokio::test]
async fn segments_are_put_away_and_everything_is_still_found() {
    let kept = Kept::new();
    kept.write(300, 100).await;
    let before = kept.lines();
    let last = verify(&kept.files(), None, None).unwrap().last;
    seal::seal_ended(&kept.files()).unwrap();
    let segments = kept.files().segments().unwrap();
    assert_eq!(
        segments.iter().map(|it| it.sealed).collect::<Vec<_>>(),
        [true, true, false]
    );
    assert_eq!(kept.lines(), before);
    assert_eq!(verify(&kept.files(), None, None).unwrap().last, last);
    for line in kept.of_kind("decision") {
        let id: DecisionId = line["decision_id"].as_str().unwrap().parse().unwrap();
        let Ok(Some(Told::Record(found))) = find(&kept.files(), id) else {
            panic!("{id} is gone");
        };
        assert_eq!(line["sequence"], found.sequence);
        assert!(found.facts.subject.is_some() && found.facts.asked.is_some());
    }
    // The server opens what was left.
    kept.write(10, 10).await;
    assert!(verify(&kept.files(), None, None).is_ok());
}

#[tokio::test]
async fn old_segments_go_once_the_log_says_so_and_never_while_held() {
    let kept = Kept::new();
    kept.write(300, 100).await;
    let run = async |hold: bool| {
        let config = AuditConfig {
            keep_bytes: Some(1),
            hold,
            ..mode(AuditMode::Required)
        };
        put_away(kept.open(&config, RealDisk)).await;
        kept.files().segments().unwrap().len()
    };
    assert_eq!(run(true).await, 3);
    assert_eq!(run(false).await, 1);
    let found = verify(&kept.files(), None, None).unwrap();
    assert!(found.first > 1);
    assert_eq!(kept.of_kind("pruned").len(), 1);
}

#[tokio::test]
async fn queries_find_by_what_was_decided() {
    let kept = Kept::new();
    kept.write(12, 12).await;
    let log = kept.open(&mode(AuditMode::Required), RealDisk);
    log.recorder.record(denied());
    log.writer.run(async {}).await.unwrap();
    let check = |query: Query, count: usize| {
        let mut found = 0;
        select(&kept.files(), &query, &mut |_| {
            found += 1;
            true
        })
        .unwrap();
        assert_eq!(found, count, "{query:?}");
    };
    let some = |text: &str| Some(text.to_owned());
    let any = Query::default;
    check(
        Query {
            outcome: some("deny"),
            ..any()
        },
        1,
    );
    check(
        Query {
            cause: some("permitted"),
            ..any()
        },
        12,
    );
    check(
        Query {
            resource: some("Order::\"o-1\""),
            ..any()
        },
        2,
    );
    check(
        Query {
            subject: some("User::\"alice\""),
            ..any()
        },
        13,
    );
    check(
        Query {
            subject: some("User::\"bob\""),
            ..any()
        },
        0,
    );
    check(
        Query {
            action: some("ReadOrder"),
            outcome: some("allow"),
            ..any()
        },
        12,
    );
    check(
        Query {
            since: Some(clock()),
            ..any()
        },
        0,
    );
    check(
        Query {
            caller: some("orders-api"),
            until: Some(clock()),
            ..any()
        },
        13,
    );
}

#[tokio::test]
async fn what_is_erased_is_gone_and_the_log_is_still_whole() {
    let kept = Kept::new();
    kept.write(40, 20).await;
    let config = mode(AuditMode::Required);
    let mut log = kept.open(&config, RealDisk);
    log.writer.rotate_for_test();
    log.recorder.record(record_of("bob", "o-1"));
    log.writer.run(async {}).await.unwrap();
    let last = verify(&kept.files(), None, None).unwrap().last;

    let alice = EntityRef::new("User", "alice");
    let erased = erase(&kept.files(), &alice).unwrap();
    assert!(erased.facts >= 40 && erased.left == 0, "{erased:?}");
    assert_eq!(erase(&kept.files(), &alice).unwrap(), Erased::default());
    let found = verify(&kept.files(), None, None).unwrap();
    assert_eq!(
        (found.last, found.erased),
        (last, u64::try_from(erased.facts).unwrap())
    );
    let text = lines(&kept.dir()).unwrap();
    assert!(!text.contains("alice") && text.contains("bob"), "{text}");
    let lines = kept.of_kind("decision");
    assert_eq!(lines.len(), 41);
    assert_eq!(lines[0]["erased"], true);
    assert_eq!(lines[40]["resource"], "Order::\"o-1\"");
    let bob = EntityRef::new("User", "bob");
    assert!(
        erase(&kept.files(), &bob).unwrap().left > 0,
        "its segment is open"
    );
}

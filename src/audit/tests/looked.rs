//! Looking through a log: by summaries, a page at a time, and as it grows.

use super::*;
use crate::model::Effect;

/// A log of one segment with several chunks, which has ended: records of all kinds by chance.
async fn filled(kept: &Kept, count: usize) {
    let mut dice = Dice::new(7);
    let config = AuditConfig {
        denies_per_second: 1,
        ..mode(AuditMode::BestEffort)
    };
    let log = kept.open(&config, RealDisk);
    for n in 0..count {
        let mut it = record_of(&format!("u{}", dice.below(20)), &format!("o-{}", n / 3));
        it.time = start() + SignedDuration::from_millis(i64::try_from(n).unwrap());
        it.decision_id = DecisionId::new(it.time);
        if let Evidence::Known(facts) = &mut it.evidence {
            let note = Value::from("x".repeat(3000 + n % 7).as_str());
            let asked = facts.asked.as_mut().unwrap();
            asked.context.insert("note".to_owned(), note);
        }
        let policy = format!("p{}", n * 8 / count);
        let reason = Reason {
            policy_id: policy.as_str().into(),
            effect: Effect::Permit,
            reason: None,
            advice: None,
            place: "a.cedar:1".into(),
        };
        match dice.below(10) {
            0 => it.outcome = denied().outcome,
            1 => {
                it = Record {
                    time: it.time,
                    ..stranger()
                }
            }
            2 => it.caller = Some(CallerName::new("rare")),
            _ => it.outcome = decided(Outcome::Allow, Cause::Permitted, vec![reason]),
        }
        log.recorder.record(it);
    }
    log.writer.run(async {}).await.unwrap();
    let mut log = kept.open(&config, RealDisk);
    log.writer.rotate_for_test();
    log.recorder.record(record("late"));
    log.writer.run(async {}).await.unwrap();
    seal::seal_ended(&kept.files()).unwrap();
}

fn queries() -> Vec<Query> {
    let some = |text: &str| Some(text.to_owned());
    let at = |millis| Some(start() + SignedDuration::from_millis(millis));
    let any = Query::default;
    vec![
        any(),
        Query {
            subject: some("User::\"u3\""),
            ..any()
        },
        Query {
            subject: some("User::\"nobody\""),
            ..any()
        },
        Query {
            resource: some("Order::\"o-40\""),
            ..any()
        },
        Query {
            action: some("ReadOrder"),
            caller: some("rare"),
            ..any()
        },
        Query {
            action: some("Action::\"ReadOrder\""),
            outcome: some("deny"),
            ..any()
        },
        Query {
            outcome: some("refused"),
            ..any()
        },
        Query {
            cause: some("signature_invalid"),
            ..any()
        },
        Query {
            policy: some("p6"),
            ..any()
        },
        Query {
            policy: some("p2"),
            subject: some("User::\"u3\""),
            ..any()
        },
        Query {
            bundle: some("orders"),
            since: at(900),
            until: at(905),
            ..any()
        },
        Query {
            since: at(1150),
            ..any()
        },
        Query {
            until: at(3),
            ..any()
        },
    ]
}

fn answers(kept: &Kept) -> Vec<String> {
    let found = queries().into_iter().map(|query| {
        let mut out = Vec::new();
        select(&kept.files(), &query, &mut |entry| {
            json(&mut out, &entry);
            true
        })
        .unwrap();
        String::from_utf8(out).unwrap()
    });
    found.collect()
}

#[tokio::test]
async fn summaries_change_no_answer_and_spare_reading() {
    let kept = Kept::new();
    filled(&kept, 1200).await;
    let segment = kept.files().segments().unwrap().remove(0);
    let chunks = segment.chunks().unwrap();
    assert_eq!(segment.summaries().unwrap().len(), chunks.len());
    assert!(chunks.len() > 2, "{}", chunks.len());
    let with = answers(&kept);
    assert_eq!(
        with.iter().filter(|it| it.is_empty()).count(),
        1,
        "{with:?}"
    );
    let hidden = segment.path.with_extension("kept");
    let summary = segment.path.with_extension(files::SUMMARY);
    fs::rename(&summary, &hidden).unwrap();
    assert!(segment.summaries().is_none());
    assert_eq!(answers(&kept), with);
    fs::rename(&hidden, &summary).unwrap();

    // What is not looked at may be anything.
    let rare = Query {
        policy: Some("p7".to_owned()),
        ..Query::default()
    };
    let count = || {
        let mut count = 0;
        let looked = select(&kept.files(), &rare, &mut |_| {
            count += 1;
            true
        });
        looked.map(|()| count)
    };
    let all = count().unwrap();
    assert!(all > 100, "{all}");
    let skipped = &chunks[1];
    let mut bytes = fs::read(&segment.path).unwrap();
    let at = usize::try_from(skipped.at.start).unwrap()..usize::try_from(skipped.at.end).unwrap();
    bytes[at].fill(0);
    fs::write(&segment.path, bytes).unwrap();
    assert_eq!(count().unwrap(), all);
    fs::remove_file(&summary).unwrap();
    assert!(count().is_err());
}

#[tokio::test]
async fn pages_come_to_the_same_as_one_look_in_both_directions() {
    let kept = Kept::new();
    filled(&kept, 400).await;
    let files = kept.files();
    for query in queries() {
        let mut all = Vec::new();
        select(&files, &query, &mut |entry| {
            all.push(values(&entry));
            true
        })
        .unwrap();
        for (most, looks) in [(7, 1000), (50, 60), (1000, 1_000_000)] {
            let (mut found, mut from) = (Vec::new(), Some(0));
            while let Some(at) = from {
                let page = page(&files, &query, at, most, looks).unwrap();
                assert!(page.entries.len() <= most);
                found.extend(page.entries.iter().map(|(_, entry)| values(entry)));
                from = page.next;
            }
            assert_eq!(found, all, "{query:?}");
            let (mut found, mut before) = (Vec::new(), Some(u64::MAX));
            while let Some(at) = before {
                let page = page_back(&files, &query, at, most, looks).unwrap();
                assert!(page.entries.len() <= most);
                found.extend(page.entries.iter().map(|(_, entry)| values(entry)));
                before = page.next;
            }
            found.reverse();
            assert_eq!(found, all, "{query:?}");
        }
    }
}

#[tokio::test]
async fn a_segment_is_read_in_the_same_parts_however_it_is_kept() {
    let kept = Kept::new();
    kept.write(4000, 4000).await;
    let mut log = kept.open(&mode(AuditMode::Required), RealDisk);
    log.writer.rotate_for_test();
    log.recorder.record(record("late"));
    log.writer.run(async {}).await.unwrap();
    let segment = kept.files().segments().unwrap().remove(0);
    let read = |segment: &files::Segment| {
        let parts = parts::Parts::open(segment).unwrap();
        let chunks = parts.chunks().iter().enumerate();
        let read = chunks.map(|(n, chunk)| (chunk.first, chunk.ids, parts.load(n).unwrap().bytes));
        read.collect::<Vec<_>>()
    };
    let open = read(&segment);
    assert!(open.len() > 1);
    let whole: Vec<u8> = open.iter().flat_map(|(.., bytes)| bytes.clone()).collect();
    assert_eq!(whole, segment.load().unwrap().bytes);
    // Half a write at the end is in a part, and no record.
    let bytes = fs::read(&segment.path).unwrap();
    fs::write(&segment.path, &bytes[..bytes.len() - 3]).unwrap();
    let torn = read(&segment);
    assert_eq!(torn.len(), open.len());
    fs::write(&segment.path, &bytes).unwrap();

    seal::seal_ended(&kept.files()).unwrap();
    // It was put away between being found and being read.
    assert_eq!(read(&segment), open);
    fs::remove_file(segment.path.with_extension(files::INDEX)).unwrap();
    assert_eq!(read(&segment), open);
}

#[tokio::test]
async fn one_decision_is_found_wherever_it_and_its_facts_stand() {
    let kept = Kept::new();
    let config = AuditConfig {
        denies_per_second: 1,
        ..mode(AuditMode::BestEffort)
    };
    let mut ids = Vec::new();
    for part in ["sealed", "open"] {
        let mut log = kept.open(&config, RealDisk);
        log.writer.rotate_for_test();
        for n in 0..600 {
            let mut it = if n % 50 == 1 { denied() } else { record(part) };
            it.time = start() + SignedDuration::from_millis(n);
            it.decision_id = DecisionId::new(it.time);
            if let (0, Evidence::Known(facts)) = (n % 2, &mut it.evidence) {
                let note = Value::from(format!("{n:0>5000}").as_str());
                let asked = facts.asked.as_mut().unwrap();
                asked.context.insert("note".to_owned(), note);
            }
            ids.push(it.decision_id);
            log.recorder.record(it);
        }
        log.writer.run(async {}).await.unwrap();
    }
    seal::seal_ended(&kept.files()).unwrap();
    let segments = kept.files().segments().unwrap();
    assert_eq!(
        segments.iter().map(|it| it.sealed).collect::<Vec<_>>(),
        [true, false]
    );
    for segment in &segments {
        assert!(parts::Parts::open(segment).unwrap().chunks().len() > 1);
    }
    for id in ids {
        match find(&kept.files(), id).unwrap() {
            Some(Told::Record(it)) => {
                assert_eq!(it.decision_id, id);
                assert!(!it.erased && it.facts.subject.is_some() && it.facts.asked.is_some());
            }
            Some(Told::Repeated(it)) => assert!(it.ids.contains(&id) && it.subject.is_some()),
            other => panic!("{id}: {other:?}"),
        }
    }
    assert!(
        find(&kept.files(), DecisionId::new(start()))
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_query_finds_what_was_counted_too() {
    let kept = Kept::new();
    filled(&kept, 400).await;
    let count = |query: &Query| {
        let mut count = 0;
        select(&kept.files(), query, &mut |entry| {
            count += match entry {
                Told::Record(_) => 1,
                Told::Repeated(it) => it.ids.len(),
                Told::Refused(classes) => {
                    let all: u64 = classes.iter().map(|it| it.count).sum();
                    usize::try_from(all).unwrap()
                }
                other => panic!("{other:?}"),
            };
            true
        })
        .unwrap();
        count
    };
    let refused = Query {
        cause: Some("signature_invalid".to_owned()),
        ..Query::default()
    };
    let of = |outcome: &str| Query {
        outcome: Some(outcome.to_owned()),
        ..Query::default()
    };
    assert_eq!(count(&of("refused")), count(&refused));
    let sum: usize = ["allow", "deny", "refused"]
        .iter()
        .map(|it| count(&of(it)))
        .sum();
    assert_eq!(sum, 401);
}

/// Everything that a follower gives in steps of `most`, as JSON; what is missing as its count.
fn follow(follower: &mut Follower, most: usize) -> Vec<Json> {
    let mut all = Vec::new();
    loop {
        let found = follower.more(u64::MAX, most).unwrap();
        if found.is_empty() {
            return all;
        }
        for followed in found {
            match followed {
                Followed::Entry(_, entry) => all.extend(values(&entry)),
                Followed::Missing(count) => all.push(count.into()),
            }
        }
    }
}

#[tokio::test]
async fn a_follower_sees_all_as_it_grows_rotates_and_is_put_away() {
    let kept = Kept::new();
    let mut steps = Follower::after(kept.files(), 0);
    let mut seen = Vec::new();
    for n in 0..4 {
        kept.write(30, 10).await;
        seen.extend(follow(&mut steps, 1 + n * 9));
        if n == 1 {
            seal::seal_ended(&kept.files()).unwrap();
        }
    }
    assert_eq!(seen, kept.lines());
    let mut whole = Follower::after(kept.files(), 0);
    assert_eq!(follow(&mut whole, 1000), seen);
    let mut later = Follower::after(kept.files(), 50);
    assert_eq!(follow(&mut later, 3), seen[50..]);
    assert!(later.more(u64::MAX, 1).unwrap().is_empty());

    let written = kept.files().written();
    let mut behind = Follower::after(kept.files(), 0);
    assert!(behind.more(0, 10).unwrap().is_empty());
    behind.skip_to(written);
    assert_eq!(follow(&mut behind, 10), seen[seen.len() - 1..]);
}

#[tokio::test]
async fn what_was_removed_or_is_damaged_is_told_with_its_count() {
    let kept = Kept::new();
    kept.write(30, 10).await;
    let all = kept.lines();
    let segments = kept.files().segments().unwrap();
    let before = |n: usize| usize::try_from(segments[n].first - 1).unwrap();
    fs::remove_file(&segments[0].path).unwrap();
    let mut follower = Follower::after(kept.files(), 0);
    let mut expected = vec![Json::from(before(1))];
    expected.extend(all[before(1)..].to_vec());
    assert_eq!(follow(&mut follower, 4), expected);

    let mut bytes = fs::read(&segments[1].path).unwrap();
    let last = bytes.len() - 9;
    bytes[last] ^= 1;
    fs::write(&segments[1].path, bytes).unwrap();
    let mut follower = Follower::after(kept.files(), segments[1].first - 1);
    let found = follow(&mut follower, 4);
    assert_eq!(
        found[..before(2) - before(1) - 1],
        all[before(1)..before(2) - 1]
    );
    assert_eq!(found[before(2) - before(1) - 1], Json::from(1));
    assert_eq!(found[before(2) - before(1)..], all[before(2)..]);
}

#[tokio::test]
async fn a_receiver_goes_on_where_it_was_and_gets_what_did_not_arrive_again() {
    let kept = Kept::new();
    kept.write(20, 10).await;
    let sequences = |found: &[Followed]| -> Vec<u64> {
        let given = found.iter().map(|followed| match followed {
            Followed::Entry(sequence, _) => *sequence,
            Followed::Missing(_) => 0,
        });
        given.collect()
    };
    let last = kept.files().written();
    let mut feed = Feed::open(kept.files(), "test").unwrap();
    assert_eq!(feed.behind(), last);
    let all = sequences(&feed.more().unwrap());
    assert_eq!(all, (1..=last).collect::<Vec<_>>());
    assert_eq!(feed.behind(), 0);
    // It did not arrive.
    let mut feed = Feed::open(kept.files(), "test").unwrap();
    assert_eq!(sequences(&feed.more().unwrap()), all);
    feed.arrived().unwrap();
    kept.write(10, 10).await;
    let mut feed = Feed::open(kept.files(), "test").unwrap();
    let fresh = sequences(&feed.more().unwrap());
    assert_eq!(
        fresh,
        (last + 1..=kept.files().written()).collect::<Vec<_>>()
    );
    assert_eq!(
        sequences(&Feed::open(kept.files(), "other").unwrap().more().unwrap()).len(),
        all.len() + fresh.len()
    );
    // A note that is of another log.
    fs::write(kept.dir().join("sink.test"), "100000\n").unwrap();
    assert_eq!(
        Feed::open(kept.files(), "test").unwrap().behind(),
        kept.files().written()
    );

    // A new one does not miss what was removed before it was asked for.
    let segments = kept.files().segments().unwrap();
    fs::remove_file(&segments[0].path).unwrap();
    let mut feed = Feed::open(kept.files(), "new").unwrap();
    assert_eq!(
        sequences(&feed.more().unwrap()),
        (segments[1].first..=kept.files().written()).collect::<Vec<_>>()
    );
}

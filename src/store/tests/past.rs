//! What was stored as of a revision, held against what was there then.

use std::path::Path;

use super::*;

/// The entities as of a revision, or why they cannot be told.
#[track_caller]
fn check(past: &mut Past, revision: &Revision, expected: Result<&[&str], &str>) {
    let found = past.version(revision.as_str());
    let found = found.as_ref().map(ids).map_err(ToString::to_string);
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected),
        (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
        (found, expected) => panic!("{found:?}, not {expected:?}"),
    }
}

fn one(id: &str) -> LedgerRecord {
    entities(vec![put(id, &json!({}), &[])])
}

#[test]
fn what_was_stored_is_told_in_any_order_beside_the_store() {
    let data = tempfile::tempdir().unwrap();
    let disk = FakeDisk::default();
    let store = Running::open(on(&disk, &data)).unwrap();
    let empty = store.store.pin().revision().clone();
    let a = store.write(&one("a")).unwrap().revision;
    let b = store.write(&one("b")).unwrap().revision;
    // A record that does not count changes nothing, then or now.
    let absent = Change {
        expect: Expect::Absent,
        ..put("b", &json!({}), &[])
    };
    let same = store.write(&entities(vec![delete("a"), absent])).unwrap();
    assert_eq!(same.outcome, Outcome::Conflict(1));
    let mut past = Past::on(Arc::new(disk), data.path()).unwrap();
    check(&mut past, &same.revision, Ok(&["a", "b"]));
    check(&mut past, &a, Ok(&["a"]));
    check(&mut past, &empty, Ok(&[]));
    check(&mut past, &b, Ok(&["a", "b"]));
    // What is written later is seen as well.
    let c = store.write(&entities(vec![delete("a"), put("c", &json!({}), &[])]));
    let c = c.unwrap().revision;
    check(&mut past, &c, Ok(&["b", "c"]));
    check(&mut past, &b, Ok(&["a", "b"]));
    store.end().unwrap();
}

#[test]
fn every_version_of_a_long_ledger_is_told_again() {
    let data = tempfile::tempdir().unwrap();
    let disk = FakeDisk::default();
    let store = Running::open(on(&disk, &data)).unwrap();
    let mut written = Vec::new();
    for n in 0..200 {
        let change = match n % 3 {
            0 => delete(&format!("e{}", n / 2)),
            _ => put(&format!("e{n}"), &json!({ "n": n }), &[]),
        };
        let revision = store.write(&entities(vec![change])).unwrap().revision;
        written.push((revision, ids(&store.store.pin())));
    }
    assert!(disk.files().len() > 10, "{:?}", disk.files());
    let mut past = Past::on(Arc::new(disk), data.path()).unwrap();
    for (revision, expected) in written.iter().chain(written.iter().rev()) {
        let version = past.version(revision.as_str()).unwrap();
        assert_eq!(ids(&version), *expected);
        assert_eq!(version.revision(), revision);
    }
    store.end().unwrap();
}

#[test]
fn what_was_compacted_away_is_said_to_be_gone() {
    let data = tempfile::tempdir().unwrap();
    let disk = FakeDisk::default();
    let store = Running::open(on(&disk, &data)).unwrap();
    let a = store.write(&one("a")).unwrap().revision;
    let b = store.write(&one("b")).unwrap().revision;
    let mut before = Past::on(Arc::new(disk.clone()), data.path()).unwrap();
    check(&mut before, &a, Ok(&["a"]));
    RUNTIME.block_on(store.store.rotate());
    // It stands in a segment that is kept, and yet what was before it is gone.
    let c = store.write(&one("c")).unwrap().revision;
    let d = store.write(&one("d")).unwrap().revision;
    store.store.compact().unwrap();
    let e = store.write(&one("e")).unwrap().revision;
    let mut past = Past::on(Arc::new(disk), data.path()).unwrap();
    check(&mut past, &e, Ok(&["a", "b", "c", "d", "e"]));
    check(&mut past, &d, Ok(&["a", "b", "c", "d"]));
    let gone = "record 3 is asked for, and it has nothing older than record 4";
    check(&mut past, &c, Err(gone));
    check(&mut past, &b, Err("record 2 is asked for"));
    // Whoever was reading goes on, where there is something to go on with.
    check(&mut before, &e, Ok(&["a", "b", "c", "d", "e"]));
    check(&mut before, &a, Err("record 1 is asked for"));
    store.end().unwrap();
}

/// A record of this time that stores an entity.
fn one_at(id: &str, second: i64) -> LedgerRecord {
    LedgerRecord::Entities(EntityChanges {
        bundle: "b".into(),
        time: at(second),
        by: "test".into(),
        changes: vec![put(id, &json!({}), &[])],
    })
}

#[test]
fn what_is_kept_can_still_be_told_after_it_was_compacted() {
    let data = tempfile::tempdir().unwrap();
    let disk = FakeDisk::default();
    let store = Running::open(on(&disk, &data)).unwrap();
    let write = |id, second| store.write(&one_at(id, second)).unwrap().revision;
    let rotate = || RUNTIME.block_on(store.store.rotate());
    let a = write("a", 10);
    let b = write("b", 20);
    rotate();
    let c = write("c", 30);
    store.store.compact_and_keep(at(15)).unwrap();
    let past = || Past::on(Arc::new(disk.clone()), data.path()).unwrap();
    // Nothing that is old enough has a snapshot of what came of it.
    for (revision, ids) in [(&c, &["a", "b", "c"][..]), (&b, &["a", "b"]), (&a, &["a"])] {
        check(&mut past(), revision, Ok(ids));
    }
    let d = write("d", 40);
    rotate();
    let e = write("e", 50);
    // What was stored at 45 was stored by `d`, and is made of the snapshot after `c`.
    store.store.compact_and_keep(at(45)).unwrap();
    let files = disk.files();
    check(&mut past(), &d, Ok(&["a", "b", "c", "d"]));
    check(&mut past(), &c, Ok(&["a", "b", "c"]));
    let gone = "record 2 is asked for, and it has nothing older than record 3";
    check(&mut past(), &b, Err(gone));
    // Once more with no record in between: one snapshot more, and nothing less.
    store.store.compact_and_keep(at(45)).unwrap();
    assert_eq!(disk.files(), files);
    let f = write("f", 60);
    store.end().unwrap();
    disk.kill();
    let store = Running::open(on(&disk, &data)).unwrap();
    assert_eq!(ids(&store.store.pin()), ["a", "b", "c", "d", "e", "f"]);
    check(&mut past(), &d, Ok(&["a", "b", "c", "d"]));
    // As before, where nothing is kept.
    RUNTIME.block_on(store.store.rotate());
    let g = store.write(&one_at("g", 70)).unwrap().revision;
    store.store.compact().unwrap();
    for revision in [&d, &e, &f] {
        check(&mut past(), revision, Err("is asked for"));
    }
    check(&mut past(), &g, Ok(&["a", "b", "c", "d", "e", "f", "g"]));
    store.end().unwrap();
}

#[test]
fn a_snapshot_that_was_to_go_stands_for_nothing_behind_it() {
    let data = tempfile::tempdir().unwrap();
    let store = Running::open(real(&data)).unwrap();
    let compact = || {
        RUNTIME.block_on(store.store.rotate());
        // The writer rotates before it writes.
        let written = store.write(&one("x")).unwrap().revision;
        store.store.compact().unwrap();
        written
    };
    compact();
    let snapshot = data.path().join("ledger/00000000000000000001.snap");
    let kept = std::fs::read(&snapshot).unwrap();
    let between = store.write(&one("a")).unwrap().revision;
    store.write(&one("b")).unwrap();
    let last = compact();
    assert!(!snapshot.exists());
    // A crash can keep it from being removed.
    std::fs::write(&snapshot, kept).unwrap();
    let mut past = Past::open(data.path()).unwrap();
    let gone = "record 2 is asked for, and it has nothing older than record 4";
    check(&mut past, &between, Err(gone));
    check(&mut past, &last, Ok(&["a", "b", "x"]));
    store.end().unwrap();
}

#[test]
fn what_is_compacted_away_while_it_is_read_is_never_told_wrong() {
    /// How far back is asked.
    const BACK: usize = 60;
    let data = tempfile::tempdir().unwrap();
    let store = Running::open(real(&data)).unwrap();
    let written = vec![(store.store.pin().revision().clone(), vec![])];
    let written = Arc::new(std::sync::Mutex::new(written));
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let reader = RUNTIME.spawn_blocking({
        let (written, is_over) = (Arc::clone(&written), Arc::clone(&is_over));
        let mut past = Past::open(data.path()).unwrap();
        move || {
            let (mut told, mut gone, mut left) = (0, 0, BACK + 1);
            for n in 0_usize.. {
                // Once more round them all at the end.
                left -= usize::from(is_over.load(relaxed));
                if left == 0 {
                    break;
                }
                let (revision, expected) = {
                    let written = written.lock().unwrap();
                    let back = n * 7 % BACK;
                    written[written.len().saturating_sub(1 + back)].clone()
                };
                match past.version(revision.as_str()) {
                    Ok(version) => {
                        assert_eq!(ids(&version), expected);
                        told += 1;
                    }
                    Err(NotPast::Compacted { .. }) => gone += 1,
                    Err(why) => panic!("{why}"),
                }
            }
            (told, gone)
        }
    });
    for n in 0..400 {
        let revision = store.write(&one(&format!("e{}", n % 50))).unwrap().revision;
        let now = ids(&store.store.pin());
        written.lock().unwrap().push((revision, now));
        if n % 40 == 39 {
            RUNTIME.block_on(store.store.rotate());
            store.store.compact().unwrap();
        }
    }
    is_over.store(true, relaxed);
    let (told, gone) = RUNTIME.block_on(reader).unwrap();
    assert!(told > 0 && gone > 0, "{told} told, {gone} gone");
    store.end().unwrap();
}

#[test]
fn a_revision_that_a_restore_has_undone_is_none_of_this_ledger() {
    let data = tempfile::tempdir().unwrap();
    let store = Running::open(real(&data)).unwrap();
    let a = store.write(&one("a")).unwrap().revision;
    store.end().unwrap();
    let backup = tempfile::tempdir().unwrap();
    copy(data.path(), backup.path());
    let store = Running::open(real(&data)).unwrap();
    let lost = store.write(&one("lost")).unwrap().revision;
    let lost_too = store.write(&one("lost, too")).unwrap().revision;
    store.end().unwrap();

    let options = StoreOptions {
        log: LogOptions {
            new_epoch: true,
            ..LogOptions::default()
        },
        ..real(&backup)
    };
    let store = Running::open(options).unwrap();
    let unchanged = store.store.pin().revision().clone();
    let mut past = Past::open(backup.path()).unwrap();
    check(&mut past, &lost, Err("ends with record 1, and record 2"));
    let b = store.write(&one("b")).unwrap().revision;
    check(&mut past, &a, Ok(&["a"]));
    check(&mut past, &unchanged, Ok(&["a"]));
    check(&mut past, &b, Ok(&["a", "b"]));
    check(&mut past, &lost, Err("a restore has undone record 2"));
    check(
        &mut past,
        &lost_too,
        Err("ends with record 2, and record 3"),
    );
    // As of what was stored elsewhere.
    let other = tempfile::tempdir().unwrap();
    let elsewhere = Running::open(real(&other)).unwrap();
    let foreign = elsewhere.write(&one("x")).unwrap().revision;
    elsewhere.end().unwrap();
    check(&mut past, &foreign, Err("`revision.key`"));
    check(&mut past, &Revision::new("made up"), Err("`revision.key`"));
    store.end().unwrap();
}

#[test]
fn a_damaged_ledger_is_told_as_such() {
    let data = tempfile::tempdir().unwrap();
    let store = Running::open(real(&data)).unwrap();
    store.write(&one("a")).unwrap();
    let b = store.write(&one("b")).unwrap().revision;
    store.end().unwrap();
    let segment = data.path().join("ledger/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let mut past = Past::open(data.path()).unwrap();
    check(&mut past, &b, Err("is damaged at byte"));
    assert!(matches!(
        Past::open(&data.path().join("none")),
        Err(NotPast::Key(_))
    ));
}

/// What a backup has of it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("ledger")).unwrap();
    std::fs::copy(from.join("revision.key"), to.join("revision.key")).unwrap();
    for file in std::fs::read_dir(from.join("ledger")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join("ledger").join(file.file_name())).unwrap();
    }
}

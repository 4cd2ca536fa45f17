//! What is told of a store that fails while it is open.

use super::*;

#[test]
fn troubles_are_told_while_they_last() {
    let data = tempfile::tempdir().unwrap();
    let disk = FakeDisk::default();
    let store = Running::open(on(&disk, &data)).unwrap();
    let parts = || -> Vec<Part> {
        let all = store.store.troubles();
        all.into_iter().map(|(part, _)| part).collect()
    };
    let one = || entities(vec![put("a", &json!({}), &[])]);
    store.write(&one()).unwrap();
    assert_eq!(parts(), []);
    disk.limit(Some(0));
    store.write(&one()).unwrap_err();
    assert_eq!(parts(), [Part::Ledger]);
    store.store.compact().unwrap_err();
    assert_eq!(parts(), [Part::Ledger, Part::Compaction]);
    disk.limit(None);
    store.write(&one()).unwrap();
    assert_eq!(parts(), [Part::Compaction]);
    store.store.compact().unwrap();
    assert_eq!(parts(), []);
}

#[test]
fn a_record_that_cannot_be_read_is_not_passed_over() {
    let data = tempfile::tempdir().unwrap();
    let disk = FakeDisk::default();
    let store = Running::open(on(&disk, &data)).unwrap();
    store
        .write(&entities(vec![put("a", &json!({}), &[])]))
        .unwrap();
    let before = store.store.pin();
    assert!(before.unreadable().is_none());
    RUNTIME.block_on(store.store.write_unknown()).unwrap();
    let written = store.write(&entities(vec![delete("a")])).unwrap();
    assert_eq!(written.outcome, Outcome::Nothing);
    let after = store.store.pin();
    assert!(after.unreadable().is_some());
    assert_eq!(after.chain(), before.chain());
    store.end().unwrap();
    disk.kill();
    let again = Running::open(on(&disk, &data)).map(drop);
    assert!(
        matches!(again, Err(StoreError::Record { sequence: 2, .. })),
        "{again:?}"
    );
}

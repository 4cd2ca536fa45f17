//! The store on disks that fail, held against a plain map.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle};

use super::*;
use crate::{
    ledger::{
        LogOptions, NotAppended,
        record::{Change, EntityChanges, Expect, LedgerRecord, Put, Restored, Revocation, Revoked},
        testing::FakeDisk,
    },
    model::{Claims, IssuerName, Revision, SignedDuration, Timestamp},
};

mod health;
mod model;
mod pages;
mod past;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_893_456_000 + second).unwrap()
}

/// A store whose threads run.
struct Running {
    store: Store,
    writer: JoinHandle<Result<(), String>>,
    checkpoint: Option<JoinHandle<()>>,
    progress: Vec<Progress>,
}

impl Running {
    fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let mut progress = Vec::new();
        let (store, tasks) = Store::open(options, |it| progress.push(it))?;
        let StoreTasks { writer, checkpoint } = tasks;
        Ok(Self {
            store,
            writer: RUNTIME.spawn_blocking(move || writer.run()),
            checkpoint: checkpoint.map(|task| RUNTIME.spawn_blocking(move || task.run())),
            progress,
        })
    }

    fn write(&self, record: &LedgerRecord) -> Result<Written, NotAppended> {
        RUNTIME.block_on(self.store.write(record))
    }

    fn reach(&self, revision: &Revision) -> Reach {
        RUNTIME.block_on(self.store.reach(revision.as_str(), Duration::ZERO))
    }

    fn end(self) -> Result<(), String> {
        RUNTIME.block_on(async {
            self.store.end().await;
            let ended = self.writer.await.unwrap();
            if let Some(task) = self.checkpoint {
                task.await.unwrap();
            }
            ended
        })
    }
}

fn on(disk: &FakeDisk, data: &TempDir) -> StoreOptions {
    StoreOptions {
        disk: Arc::new(disk.clone()),
        checkpoint: false,
        log: LogOptions {
            segment_bytes: 2_000,
            ..LogOptions::default()
        },
        ..StoreOptions::new(data.path())
    }
}

fn real(data: &TempDir) -> StoreOptions {
    StoreOptions::new(data.path())
}

fn put(id: &str, attributes: &serde_json::Value, parents: &[&str]) -> Change {
    let parents: Vec<_> = parents
        .iter()
        .map(|id| json!({"type": "T", "id": id}))
        .collect();
    let facts = json!({"attrs": attributes, "parents": parents}).to_string();
    Change {
        type_name: "T".into(),
        id: id.into(),
        expect: Expect::Anything,
        put: Some(Put {
            stamp: 7,
            facts: serde_json::value::RawValue::from_string(facts).unwrap(),
        }),
    }
}

fn delete(id: &str) -> Change {
    Change {
        type_name: "T".into(),
        id: id.into(),
        expect: Expect::Anything,
        put: None,
    }
}

fn entities(changes: Vec<Change>) -> LedgerRecord {
    LedgerRecord::Entities(EntityChanges {
        bundle: "b".into(),
        time: at(0),
        by: "test".into(),
        changes,
    })
}

fn revocation(what: Revoked, time: Timestamp) -> LedgerRecord {
    LedgerRecord::Revocation(Revocation {
        time,
        by: "test".into(),
        issuer: "https://id/".into(),
        what,
        until: Store::kept_until(time, SignedDuration::from_hours(24)),
    })
}

fn claims(jti: &str, sub: &str, issued: Option<i64>) -> Claims {
    Claims {
        issuer: IssuerName::new("corp"),
        iss: "https://id/".into(),
        sub: sub.into(),
        client_id: None,
        scopes: Vec::new(),
        acr: None,
        amr: None,
        auth_time: None,
        issued_at: issued.map(at),
        expires_at: at(600),
        jti: Some(jti.into()),
        actor: None,
        all: [("sid".to_owned(), format!("s-{jti}").as_str().into())].into(),
    }
}

fn ids(version: &Version) -> Vec<String> {
    let directory = version.directory("b").cloned().unwrap_or_default();
    let page = directory.page(None, None, usize::MAX, |_| true);
    page.iter().map(|it| it.key().id.to_owned()).collect()
}

#[test]
fn what_is_written_is_seen_by_whoever_asks_next_and_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let store = Running::open(real(&data)).unwrap();
    let before = store.store.pin();
    let written = store
        .write(&entities(vec![put("a", &json!({"n": 1}), &["g"])]))
        .unwrap();
    assert_eq!(written.outcome, Outcome::Applied);
    assert_eq!(
        (ids(&before), ids(&store.store.pin())),
        (vec![], vec!["a".to_owned()])
    );
    assert_eq!(store.store.pin().revision(), &written.revision);
    store
        .write(&entities(vec![put("b", &json!({}), &[]), delete("a")]))
        .unwrap();
    store.end().unwrap();
    let store = Running::open(real(&data)).unwrap();
    assert!(matches!(
        store.progress[..],
        [Progress::Loaded { entities: 1 }]
    ));
    assert_eq!(ids(&store.store.pin()), ["b"]);
    assert_eq!(store.reach(&written.revision), Reach::Reached);
}

#[test]
fn a_record_counts_whole_or_not_at_all() {
    let data = tempfile::tempdir().unwrap();
    let store = Running::open(real(&data)).unwrap();
    let one = store
        .write(&entities(vec![put("a", &json!({}), &[])]))
        .unwrap();
    let expecting = |id: &str, expect| Change {
        expect,
        ..put(id, &json!({}), &[])
    };
    let check = |changes: Vec<Change>, expected: Outcome| {
        let before = ids(&store.store.pin());
        let found = store.write(&entities(changes)).unwrap().outcome;
        assert_eq!(found, expected);
        if found != Outcome::Applied {
            assert_eq!(ids(&store.store.pin()), before);
        }
    };
    let conflict = Outcome::Conflict(1);
    check(
        vec![put("x", &json!({}), &[]), expecting("a", Expect::Absent)],
        conflict.clone(),
    );
    check(
        vec![delete("a"), expecting("a", Expect::Present)],
        conflict.clone(),
    );
    check(
        vec![delete("a"), expecting("b", Expect::Unchanged(1))],
        conflict,
    );
    check(
        vec![expecting("a", Expect::Unchanged(one.sequence))],
        Outcome::Applied,
    );
    check(
        vec![expecting("a", Expect::Unchanged(one.sequence))],
        Outcome::Conflict(0),
    );
    let cycle = Outcome::Refused(1, "would be its own ancestor");
    check(
        vec![put("p", &json!({}), &["q"]), put("q", &json!({}), &["p"])],
        cycle,
    );
    check(
        vec![put("p", &json!({}), &["p"])],
        Outcome::Refused(0, "would be its own ancestor"),
    );
    let chain = |n: usize| put(&format!("c{n}"), &json!({}), &[&format!("c{}", n + 1)]);
    check(
        (0..100).rev().map(chain).collect(),
        Outcome::Refused(64, "would be more than 64 levels deep"),
    );
    let many: Vec<String> = (0..1001).map(|n| format!("m{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    check(
        vec![put("w", &json!({}), &many)],
        Outcome::Refused(0, "would have more than 1000 ancestors"),
    );
}

#[test]
fn who_was_in_a_parent_that_is_removed_is_not_in_a_new_one_of_its_name() {
    let data = tempfile::tempdir().unwrap();
    let store = Running::open(real(&data)).unwrap();
    let is_in = || {
        let version = store.store.pin();
        let directory = version.directory("b").unwrap();
        let child = directory.get(&Key::new("T", "child")).unwrap();
        directory.is_in(child, Key::new("T", "g").borrowed(), true)
    };
    store
        .write(&entities(vec![
            put("child", &json!({}), &["g"]),
            put("g", &json!({}), &[]),
        ]))
        .unwrap();
    assert!(is_in());
    store
        .write(&entities(vec![put("g", &json!({"changed": true}), &[])]))
        .unwrap();
    assert!(is_in());
    store.write(&entities(vec![delete("g")])).unwrap();
    assert!(!is_in());
    store
        .write(&entities(vec![put("g", &json!({}), &[])]))
        .unwrap();
    assert!(!is_in());
    store
        .write(&entities(vec![put("child", &json!({}), &["g"])]))
        .unwrap();
    assert!(is_in());
}

#[test]
fn tokens_are_revoked_by_id_session_subject_and_restore() {
    let data = tempfile::tempdir().unwrap();
    let store = Running::open(real(&data)).unwrap();
    let revoked = |jti, sub, issued| {
        store
            .store
            .pin()
            .revocations()
            .revoke(&claims(jti, sub, issued))
    };
    assert!(!revoked("t", "alice", Some(0)));
    store
        .write(&revocation(Revoked::Token("t".into()), at(1)))
        .unwrap();
    store
        .write(&revocation(Revoked::Session("s-u".into()), at(1)))
        .unwrap();
    let subject = |before| Revoked::Subject {
        subject: "bob".into(),
        before: at(before),
    };
    store.write(&revocation(subject(10), at(10))).unwrap();
    store.write(&revocation(subject(5), at(11))).unwrap();
    let check =
        |jti, sub, issued, expected| assert_eq!(revoked(jti, sub, issued), expected, "{jti} {sub}");
    check("t", "alice", Some(0), true);
    check("u", "alice", Some(0), true);
    check("v", "alice", Some(0), false);
    check("w", "bob", Some(10), true);
    check("w", "bob", Some(11), false);
    check("w", "bob", None, true);
    let mut other = claims("t", "bob", Some(0));
    other.iss = "https://other/".into();
    assert!(!store.store.pin().revocations().revoke(&other));
    let restored = Restored {
        time: at(20),
        revoke_before: true,
        longest: SignedDuration::from_hours(24),
    };
    store.write(&LedgerRecord::Restored(restored)).unwrap();
    check("x", "carol", Some(20), true);
    check("x", "carol", Some(21), false);
    store.end().unwrap();
    let store = Running::open(real(&data)).unwrap();
    let version = store.store.pin();
    assert!(
        version
            .revocations()
            .revoke(&claims("x", "carol", Some(20)))
    );
    assert!(
        version
            .revocations()
            .revoke(&claims("t", "alice", Some(30)))
    );
    assert!(
        !version
            .revocations()
            .revoke(&claims("z", "carol", Some(30)))
    );
}

#[test]
fn revocations_are_forgotten_when_no_token_can_live_that_long() {
    let data = tempfile::tempdir().unwrap();
    let store = Running::open(real(&data)).unwrap();
    let later = 25 * 3600;
    for n in 0..1_500 {
        let time = at(if n < 1_000 { 0 } else { later });
        store
            .write(&revocation(Revoked::Token(format!("t{n}")), time))
            .unwrap();
    }
    let version = store.store.pin();
    assert_eq!(version.revocations().len(), 500);
    assert!(version.revocations().revoke(&claims("t1400", "a", Some(0))));
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_set_aside_and_made_anew() {
    let filled = || {
        let data = tempfile::tempdir().unwrap();
        let store = Running::open(real(&data)).unwrap();
        for n in 0..50 {
            store
                .write(&entities(vec![put(
                    &format!("e{n:02}"),
                    &json!({"n": n}),
                    &["g"],
                )]))
                .unwrap();
        }
        store.end().unwrap();
        data
    };
    let check = |data: &TempDir, what: &str| {
        let store = Running::open(real(data)).unwrap();
        assert_eq!(ids(&store.store.pin()).len(), 50, "{what}");
        assert!(
            store.progress.contains(&Progress::Rebuilding),
            "{what}: {:?}",
            store.progress
        );
        store.end().unwrap();
        let store = Running::open(real(data)).unwrap();
        assert!(
            matches!(store.progress[..], [Progress::Loaded { entities: 50 }]),
            "{what}"
        );
        store.end().unwrap();
    };
    let data = filled();
    std::fs::write(data.path().join("checkpoint/snap.0000.generating"), "half").unwrap();
    check(&data, "half a snapshot");
    for bytes in [vec![0; 4096], b"garbage".to_vec()] {
        let data = filled();
        std::fs::write(data.path().join("checkpoint/db"), bytes).unwrap();
        check(&data, "db");
    }
    let data = filled();
    std::fs::remove_dir_all(data.path().join("checkpoint")).unwrap();
    check(&data, "none");
    // Of another ledger.
    let (data, other) = (filled(), filled());
    let store = Running::open(real(&other)).unwrap();
    store.write(&entities(vec![delete("e00")])).unwrap();
    store.end().unwrap();
    std::fs::remove_dir_all(data.path().join("checkpoint")).unwrap();
    std::fs::rename(
        other.path().join("checkpoint"),
        data.path().join("checkpoint"),
    )
    .unwrap();
    check(&data, "of another ledger");
}

#[test]
fn a_compacted_ledger_comes_to_the_same() {
    let data = tempfile::tempdir().unwrap();
    let disk = FakeDisk::default();
    let store = Running::open(on(&disk, &data)).unwrap();
    for n in 0..60 {
        store
            .write(&entities(vec![put(
                &format!("e{}", n % 20),
                &json!({"n": n}),
                &[],
            )]))
            .unwrap();
    }
    store
        .write(&revocation(Revoked::Token("t".into()), at(1)))
        .unwrap();
    let files = disk.files().len();
    RUNTIME.block_on(store.store.rotate());
    store.write(&entities(vec![delete("e1")])).unwrap();
    store.store.compact().unwrap();
    assert!(disk.files().len() < files / 2, "{:?}", disk.files());
    let revision = store.write(&entities(vec![delete("e2")])).unwrap().revision;
    let expected: Vec<_> = store
        .store
        .pin()
        .directory("b")
        .unwrap()
        .page(None, None, 99, |_| true);
    store.end().unwrap();
    disk.kill();
    let store = Running::open(on(&disk, &data)).unwrap();
    let version = store.store.pin();
    assert_eq!(
        version
            .directory("b")
            .unwrap()
            .page(None, None, 99, |_| true),
        expected
    );
    assert_eq!(expected.len(), 18);
    assert!(version.revocations().revoke(&claims("t", "a", Some(0))));
    assert_eq!(store.reach(&revision), Reach::Reached);
}

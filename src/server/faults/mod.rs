//! The table of faults: each is injected while callers ask at every door, and none of them makes an
//! allow of what would not be one.

mod cancel;
mod doors;
mod rig;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;

use super::*;
use crate::{
    audit,
    config::{AuditConfig, AuditMode, FetchConfig, KeySource},
    ledger::{NotAppended, testing::Fault as DiskFault},
    store::Part,
};
use doors::{Asker, Class, Door};
use rig::{BROKEN, Built, Credentials, Fixture, HANDLERS, JUMP, RECORDS, breaking, jumping, wait};

/// Callers of a door at once, and questions of each before the fault and after it.
const CALLERS: usize = 3;
const EACH: usize = 8;

/// One row: how the server is built, what goes wrong, and what every answer must then be.
struct Fault {
    name: &'static str,
    build: fn(&mut Built),
    inject: fn(&Fixture),
    /// To who may, by a policy and without the fault.
    alice: fn(Door) -> Class,
    /// To who may not, by none.
    bob: fn(Door) -> Class,
    /// Whether records are lost, which must be counted.
    loses_records: bool,
    /// What of the store fails then.
    fails: Option<Part>,
    /// The revision that is asked for.
    at_least: fn(&Fixture) -> String,
    /// Questions of each caller.
    each: usize,
}

const SOUND: Fault = Fault {
    name: "none",
    build: |_| {},
    inject: |_| {},
    alice: |_| Class::Allow,
    bob: |_| Class::Deny,
    loses_records: false,
    fails: None,
    at_least: |_| String::new(),
    each: EACH,
};

fn faults() -> Vec<Fault> {
    let all = |name, build, inject, class| Fault {
        name,
        build,
        inject,
        alice: class,
        bob: class,
        ..SOUND
    };
    let nothing: fn(&Fixture) = |_| {};
    vec![
        SOUND,
        all(
            "rules were never published",
            |built| built.published = false,
            nothing,
            |_| Class::Unavailable,
        ),
        all(
            "keys were never read",
            |built| {
                built.issuer.keys = KeySource::Url {
                    url: "https://127.0.0.1:1/keys".parse().unwrap(),
                    fetch: FetchConfig::default(),
                };
            },
            nothing,
            |_| Class::Unavailable,
        ),
        all(
            "the clock jumps a day ahead",
            |built| built.clock = jumping,
            |_| JUMP.store(86_400, Ordering::Relaxed),
            |_| Class::Unauthenticated,
        ),
        all(
            "the clock falls a day behind",
            |built| built.clock = jumping,
            |_| JUMP.store(-86_400, Ordering::Relaxed),
            |_| Class::Unauthenticated,
        ),
        all(
            "handlers panic",
            |built| built.recorder = broken,
            |_| BROKEN.store(HANDLERS, Ordering::Relaxed),
            |_| Class::Unavailable,
        ),
        all(
            "recording panics as well",
            |built| built.recorder = broken,
            |_| BROKEN.store(RECORDS, Ordering::Relaxed),
            |_| Class::Broken,
        ),
        all(
            "no time is left",
            |built| built.bounds.deadline = Duration::ZERO,
            nothing,
            |_| Class::Late,
        ),
        all(
            "too many are worked on",
            |built| {
                built.bounds = Bounds {
                    checks: 0,
                    batches: 0,
                    streams: 0,
                    ..built.bounds
                };
            },
            nothing,
            |_| Class::Overloaded,
        ),
        all(
            "too many wait",
            |built| built.waiting = 0,
            nothing,
            |_| Class::Overloaded,
        ),
        Fault {
            // Best effort: answers do not wait for records, whose loss is counted.
            name: "the decision log is full",
            build: |built| {
                built.recorder = |fixture| full(fixture, AuditMode::BestEffort);
            },
            loses_records: true,
            ..SOUND
        },
        Fault {
            name: "the decision log is full, and records are required",
            build: |built| built.recorder = |fixture| full(fixture, AuditMode::Required),
            alice: |_| Class::Unavailable,
            bob: |_| Class::Unavailable,
            loses_records: true,
            ..SOUND
        },
        Fault {
            // Nothing is revoked by a write that failed, and decisions go on by what was written.
            name: "the ledger has no room",
            inject: |fixture| {
                fixture.disk.limit(Some(0));
                let refused = fixture.revoke_alice();
                assert!(matches!(refused, Err(NotAppended::Disk(_))), "{refused:?}");
            },
            fails: Some(Part::Ledger),
            ..SOUND
        },
        Fault {
            name: "the ledger has no room, after a revocation",
            inject: |fixture| {
                fixture.revoke_alice().unwrap();
                fixture.disk.limit(Some(0));
                fixture.revoke_alice().unwrap_err();
            },
            // Who vouches for her was told by nobody that she is not to be.
            alice: |door| match door {
                Door::Evaluation | Door::Evaluations => Class::Allow,
                _ => Class::Unauthenticated,
            },
            fails: Some(Part::Ledger),
            ..SOUND
        },
        Fault {
            name: "the ledger cannot be synced",
            inject: |fixture| {
                fixture.disk.fail(DiskFault::Sync, 0);
                let refused = fixture.revoke_alice();
                assert!(
                    matches!(refused, Err(NotAppended::Stopped(_))),
                    "{refused:?}"
                );
            },
            fails: Some(Part::Ledger),
            ..SOUND
        },
        Fault {
            fails: Some(Part::Records),
            ..all(
                "a record that may be a revocation cannot be read",
                |_| {},
                |fixture| wait(fixture.store.write_unknown()).unwrap(),
                |_| Class::Unavailable,
            )
        },
        Fault {
            name: "the directory is behind the revision asked for",
            build: |built| built.bounds.deadline = Duration::from_secs(60),
            at_least: |fixture| fixture.store.revision_to_come().to_string(),
            alice: |door| behind(door, Class::Allow),
            bob: |door| behind(door, Class::Deny),
            // Each waits for most of a second.
            each: 2,
            ..SOUND
        },
    ]
}

/// The doors at which a revision can be asked for.
fn behind(door: Door, class: Class) -> Class {
    match door {
        Door::Check | Door::Batch | Door::Stream => Class::Unavailable,
        _ => class,
    }
}

/// A decision log on a disk without room.
#[expect(
    clippy::disallowed_methods,
    reason = "the writer under test is a task of the test"
)]
fn full(fixture: &Fixture, mode: AuditMode) -> Recorder {
    let disk = crate::ledger::testing::FakeDisk::default();
    let config = AuditConfig {
        mode,
        ..AuditConfig::default()
    };
    let metrics = Arc::clone(&fixture.metrics);
    let (shared, dir) = (Arc::new(disk.clone()), fixture.dir.path());
    std::fs::create_dir_all(dir.join("audit")).unwrap();
    let log = audit::open(shared, &config, dir, String::new(), metrics, clock::now).unwrap();
    disk.limit(Some(0));
    tokio::spawn(log.writer.run(std::future::pending()));
    log.recorder
}

fn broken(fixture: &Fixture) -> Recorder {
    Recorder::counting(Arc::clone(&fixture.metrics), breaking)
}

/// How often each word was the answer.
type Tally = BTreeMap<String, usize>;

/// What each door answers to callers who ask all at once.
async fn load(
    at: &Addresses,
    credentials: &Credentials,
    each: usize,
    http: &reqwest::Client,
    answered: &AtomicUsize,
) -> BTreeMap<Door, Tally> {
    let one = |door| async move {
        let asker = Asker::connect(door, at, credentials.clone(), http.clone()).await;
        let mut words = Vec::new();
        for _ in 0..each {
            words.push(asker.ask().await);
            answered.fetch_add(1, Ordering::Relaxed);
        }
        (door, words)
    };
    let askers = Door::ALL.into_iter().flat_map(|door| [door; CALLERS]);
    let mut all: BTreeMap<Door, Tally> = BTreeMap::new();
    for (door, words) in join_all(askers.map(one)).await {
        for word in words {
            *all.entry(door).or_default().entry(word).or_default() += 1;
        }
    }
    all
}

/// A row of the table, a line for each door, and the doors that answered wrongly.
async fn run(fault: &Fault, http: &reqwest::Client) -> (String, Vec<Door>) {
    let fixture = Fixture::new();
    let mut built = fixture.sound();
    (fault.build)(&mut built);
    let with = |sub| Credentials {
        at_least: (fault.at_least)(&fixture),
        ..fixture.credentials(sub)
    };
    let (alice, bob) = (with("alice"), with("bob"));
    let (at, _admission) = rig::serve(&fixture, built).await;
    let answered = AtomicUsize::new(0);
    let happens = async {
        // About once all doors have answered each of their callers.
        while answered.load(Ordering::Relaxed) < Door::ALL.len() * CALLERS {
            tokio::task::yield_now().await;
        }
        (fault.inject)(&fixture);
    };
    let load = |who| load(&at, who, fault.each, http, &answered);
    let (during, ()) = tokio::join!(load(&alice), happens);
    let (alice, bob) = tokio::join!(load(&alice), load(&bob));
    let (mut lines, mut wrong) = (String::new(), Vec::new());
    for door in Door::ALL {
        let (to_alice, to_bob) = (door.says((fault.alice)(door)), door.says((fault.bob)(door)));
        let known = during[&door].keys();
        let in_between = known.clone().all(|it| it == "allow" || it == to_alice);
        if !(in_between && only(&alice[&door], to_alice) && only(&bob[&door], to_bob)) {
            wrong.push(door);
        }
        let name = fault.name;
        writeln!(
            lines,
            "{name} | {door:?} | {:?} | {:?} | {:?}",
            during[&door], alice[&door], bob[&door]
        )
        .unwrap();
    }
    let page = fixture.metrics.render();
    let none_lost = page.contains("doorward_records_dropped_total 0");
    assert_eq!(none_lost, !fault.loses_records, "{}", fault.name);
    let troubles = fixture.store.troubles();
    let failing: Vec<_> = troubles.iter().map(|(part, _)| *part).collect();
    assert_eq!(failing, Vec::from_iter(fault.fails), "{}", fault.name);
    (lines, wrong)
}

fn only(tally: &Tally, word: &str) -> bool {
    tally.len() == 1 && tally.contains_key(word)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_makes_an_allow_at_any_door() {
    let mut table = String::from("fault | door | meanwhile | who may | who may not\n");
    let mut faulty = Vec::new();
    let http = doors::http();
    for fault in faults() {
        let (lines, wrong) = run(&fault, &http).await;
        table.push_str(&lines);
        faulty.extend(wrong.into_iter().map(|door| (fault.name, door)));
    }
    let (lines, wrong) = cancel::run(&http).await;
    table.push_str(&lines);
    faulty.extend(wrong.into_iter().map(|door| ("the caller hangs up", door)));
    eprintln!("{table}");
    assert!(faulty.is_empty(), "{faulty:?}\n{table}");
}

//! What a large directory costs: memory, import, start, rebuild, and a decision.
//!
//! `cargo bench --bench store -- 1000000` stores so many entities of about 300 bytes.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench measures time, and one that panics has failed"
)]

use std::{env, fs, path::Path, sync::Arc, time::Instant};

use doorward::{
    bundle::{BundleFiles, CompileOptions, Snapshot},
    ledger::record::{Change, EntityChanges, Expect, LedgerRecord, Put},
    model::{EntityFacts, EntityRef, Members, NamedQuestion, Question, Timestamp},
    pdp::decide,
    pip::{Asked, DirectoryView, Known, Principal, stamp},
    store::{Store, StoreOptions, StoreTasks},
};
use serde_json::value::RawValue;
use tokio::{runtime::Runtime, task::JoinHandle};

const FILES: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        "entity Group in [Group];
         entity User in [Group] = { email: String, name: String, office: String, note: String, level: Long };
         entity Doc = { owner: User };
         action read appliesTo { principal: [User], resource: [Doc] };",
    ),
    (
        "all.cedar",
        "@id(\"staff\") permit (principal in Group::\"staff\", action, resource);
         @id(\"level\") forbid (principal, action, resource) when { principal.level < 0 };
         @id(\"owner\") permit (principal, action, resource) when { resource.owner == principal };",
    ),
    (
        "bundle.toml",
        "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n\
         [[entity]]\ntype = \"User\"\nsource = \"directory\"\n\
         [[entity]]\ntype = \"Group\"\nsource = \"directory\"\n\
         [[entity]]\ntype = \"Doc\"\nsource = \"request\"",
    ),
];
/// Entities in one record.
const CHUNK: usize = 1_000;

struct Open {
    store: Arc<Store>,
    writer: JoinHandle<Result<(), String>>,
    checkpoint: Option<JoinHandle<()>>,
}

fn open(runtime: &Runtime, data: &Path) -> Open {
    let (store, tasks) = Store::open(StoreOptions::new(data), |_| ()).unwrap();
    let StoreTasks { writer, checkpoint } = tasks;
    Open {
        store: Arc::new(store),
        writer: runtime.spawn_blocking(move || writer.run()),
        checkpoint: checkpoint.map(|task| runtime.spawn_blocking(move || task.run())),
    }
}

fn close(runtime: &Runtime, open: Open) {
    runtime.block_on(async {
        open.store.end().await;
        open.writer.await.unwrap().unwrap();
        if let Some(task) = open.checkpoint {
            task.await.unwrap();
        }
    });
}

fn user(n: usize, stamp: u64) -> Change {
    let facts = format!(
        "{{\"attrs\":{{\"email\":\"user-{n}@example.com\",\"name\":\"A Person Of Some Length {n}\",\
         \"office\":\"Building {}, floor {}, room {}\",\"note\":\"{}\",\"level\":{}}},\
         \"parents\":[{{\"type\":\"Group\",\"id\":\"g{}\"}}]}}",
        n % 40,
        n % 9,
        n % 300,
        "n".repeat(100),
        n % 5,
        n % 1000
    );
    Change {
        type_name: "User".into(),
        id: format!("user-{n}"),
        expect: Expect::Anything,
        put: Some(Put {
            stamp,
            facts: RawValue::from_string(facts).unwrap(),
        }),
    }
}

fn group(n: usize, stamp: u64) -> Change {
    let parents = "{\"attrs\":{},\"parents\":[{\"type\":\"Group\",\"id\":\"staff\"}]}";
    Change {
        type_name: "Group".into(),
        id: format!("g{n}"),
        expect: Expect::Anything,
        put: Some(Put {
            stamp,
            facts: RawValue::from_string(parents.into()).unwrap(),
        }),
    }
}

fn fill(runtime: &Runtime, store: &Store, count: usize, snapshot: &Snapshot) {
    let (of_user, of_group) = (stamp(snapshot, "User"), stamp(snapshot, "Group"));
    let groups = (0..1_000.min(count)).map(|n| group(n, of_group));
    let staff = Change {
        id: "staff".into(),
        ..group(0, of_group)
    };
    let staff = Change {
        put: Some(Put {
            stamp: of_group,
            facts: RawValue::from_string("{\"attrs\":{},\"parents\":[]}".into()).unwrap(),
        }),
        ..staff
    };
    let mut all = [staff]
        .into_iter()
        .chain(groups)
        .chain((0..count).map(|n| user(n, of_user)));
    loop {
        let changes: Vec<_> = all.by_ref().take(CHUNK).collect();
        if changes.is_empty() {
            return;
        }
        let record = LedgerRecord::Entities(EntityChanges {
            bundle: "b".into(),
            time: Timestamp::UNIX_EPOCH,
            by: "bench".into(),
            changes,
        });
        runtime.block_on(store.write(&record)).unwrap();
    }
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let digits = line.unwrap().trim().trim_end_matches(" kB");
    digits.parse::<u64>().unwrap() / 1024
}

/// The mean time of a decision about users drawn by Zipf(1.0), in nanoseconds.
fn decide_cost(store: &Store, snapshot: &Snapshot, count: usize) -> f64 {
    let version = store.pin();
    let view = DirectoryView::new(version.directory("b").unwrap().clone());
    let known = Known::new(snapshot, &view);
    let mut seed = 0x9E37_79B9_u64;
    let mut draw = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        // The inverse of the harmonic sum, about: rank = N^u.
        let unit = (seed >> 11) as f64 / (1_u64 << 53) as f64;
        (count as f64).powf(unit) as usize - 1
    };
    let context = Members::new();
    let once = |n: usize| {
        let uid = EntityRef::new("User", format!("user-{n}"));
        let who = Principal::vouched(known, &EntityFacts::bare(uid)).unwrap();
        let owner = doorward::model::Value::from("someone");
        let question = Question::Named(NamedQuestion {
            action: "read".into(),
            properties: Members::new(),
            resource: EntityFacts {
                attributes: [("owner".to_owned(), owner)].into(),
                ..EntityFacts::bare(EntityRef::new("Doc", "d"))
            },
        });
        let asked = Asked {
            question: &question,
            entities: &[],
            context: &context,
            caller: None,
            peer: None,
        };
        decide(known, &who, asked, Timestamp::UNIX_EPOCH).unwrap();
    };
    for _ in 0..200_000 {
        once(draw());
    }
    let began = Instant::now();
    for _ in 0..200_000 {
        once(draw());
    }
    began.elapsed().as_nanos() as f64 / 200_000.0
}

fn main() {
    let asked = env::args().find_map(|it| it.parse::<usize>().ok());
    let count = asked.unwrap_or(20_000);
    let runtime = Runtime::new().unwrap();
    let files = BundleFiles::new(FILES.iter().copied());
    let snapshot = Snapshot::compile(&files, &CompileOptions::default()).unwrap();
    let small = tempfile::tempdir().unwrap();
    let few = open(&runtime, small.path());
    fill(&runtime, &few.store, 1_000, &snapshot);
    let base = decide_cost(&few.store, &snapshot, 1_000);
    close(&runtime, few);

    let data = tempfile::tempdir().unwrap();
    let store = open(&runtime, data.path());
    let began = Instant::now();
    fill(&runtime, &store.store, count, &snapshot);
    let import = began.elapsed().as_secs_f64();
    println!(
        "import    {count} entities in {import:.2} s: {:.0}/s",
        count as f64 / import
    );
    println!("resident  {} MiB", resident());
    let began = Instant::now();
    let revision = store.store.pin().revision().clone();
    close(&runtime, store);
    println!("close     {:.2} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let store = open(&runtime, data.path());
    println!(
        "ready     {:.2} s from the checkpoint",
        began.elapsed().as_secs_f64()
    );
    println!("resident  {} MiB", resident());
    assert_eq!(*store.store.pin().revision(), revision);
    let cost = decide_cost(&store.store, &snapshot, count);
    println!(
        "decide    {cost:.0} ns, with 1,000 entities {base:.0} ns: {:.2} times",
        cost / base
    );
    close(&runtime, store);
    fs::remove_dir_all(data.path().join("checkpoint")).unwrap();
    let began = Instant::now();
    let store = open(&runtime, data.path());
    println!(
        "rebuild   {:.2} s from the ledger",
        began.elapsed().as_secs_f64()
    );
    assert_eq!(*store.store.pin().revision(), revision);
    runtime.block_on(store.store.rotate());
    let began = Instant::now();
    store.store.compact().unwrap();
    println!("compact   {:.2} s", began.elapsed().as_secs_f64());
    close(&runtime, store);
    fs::remove_dir_all(data.path().join("checkpoint")).unwrap();
    let began = Instant::now();
    let store = open(&runtime, data.path());
    println!(
        "rebuild   {:.2} s from the snapshot",
        began.elapsed().as_secs_f64()
    );
    close(&runtime, store);
}

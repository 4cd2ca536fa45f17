//! What a large directory costs: memory, import, start, rebuild, and a decision.
//!
//! `cargo bench --bench store -- 1000000` stores so many entities of about 300 bytes. Each start is
//! one of a process of its own, whose memory is nobody else's.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench measures time, and one that panics has failed"
)]

use std::{
    env, fs,
    path::Path,
    process::{self, Command},
    sync::Arc,
    thread,
    time::Instant,
};

use doorward::{
    bundle::{BundleFiles, CompileOptions, Snapshot},
    ledger::record::{Change, EntityChanges, Expect, LedgerRecord, Put},
    model::{EntityFacts, EntityRef, Members, NamedQuestion, Question, Timestamp},
    pdp::decide,
    pip::{Asked, DirectoryView, Known, Principal, stamp},
    store::{Outcome, Store, StoreOptions, StoreTasks},
};
use serde_json::value::RawValue;
use tokio::{runtime::Runtime, task::JoinHandle};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
/// Entities that are always at hand.
const FEW: usize = 1_000;
/// Entities in one record.
const CHUNK: usize = 1_000;
/// Decisions that are measured together.
const MEASURED: usize = 200_000;
/// How often they are.
const ROUNDS: usize = 9;

struct Open {
    store: Arc<Store>,
    writer: JoinHandle<Result<(), String>>,
    checkpoint: Option<JoinHandle<()>>,
}

fn open(runtime: &Runtime, data: &Path) -> Open {
    let options = StoreOptions {
        // As a server does.
        both: |one, other| {
            thread::scope(|scope| {
                scope.spawn(one);
                other();
            });
        },
        ..StoreOptions::new(data)
    };
    let (store, tasks) = Store::open(options, |_| ()).unwrap();
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
    let staff = "{\"attrs\":{},\"parents\":[]}".to_owned();
    let staff = Change {
        id: "staff".into(),
        put: Some(Put {
            stamp: of_group,
            facts: RawValue::from_string(staff).unwrap(),
        }),
        ..group(0, of_group)
    };
    let groups = (0..1_000.min(count)).map(|n| group(n, of_group));
    let mut all = [staff]
        .into_iter()
        .chain(groups)
        .chain((0..count).map(|n| user(n, of_user)));
    loop {
        let changes: Vec<_> = all.by_ref().take(CHUNK).collect();
        if changes.is_empty() {
            return;
        }
        write(runtime, store, changes);
    }
}

fn write(runtime: &Runtime, store: &Store, changes: Vec<Change>) {
    let record = LedgerRecord::Entities(EntityChanges {
        bundle: "b".into(),
        time: Timestamp::UNIX_EPOCH,
        by: "bench".into(),
        changes,
    });
    let written = runtime.block_on(store.write(&record)).unwrap();
    assert_eq!(written.outcome, Outcome::Applied);
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let digits = line.unwrap().trim().trim_end_matches(" kB");
    digits.parse::<u64>().unwrap() / 1024
}

/// Decisions about users of a directory, drawn by Zipf(1.0).
struct Decisions<'w> {
    known: Known<'w>,
    count: usize,
    seed: u64,
}

impl Decisions<'_> {
    fn draw(&mut self) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        // The inverse of the harmonic sum, about: rank = N^u.
        let unit = (self.seed >> 11) as f64 / (1_u64 << 53) as f64;
        (self.count as f64).powf(unit) as usize - 1
    }

    fn one(&mut self) {
        let uid = EntityRef::new("User", format!("user-{}", self.draw()));
        let who = Principal::vouched(self.known, &EntityFacts::bare(uid)).unwrap();
        let owner = doorward::model::Value::from("someone");
        let question = Question::Named(NamedQuestion {
            action: "read".into(),
            properties: Members::new(),
            resource: EntityFacts {
                attributes: [("owner".to_owned(), owner)].into(),
                ..EntityFacts::bare(EntityRef::new("Doc", "d"))
            },
        });
        let context = Members::new();
        let asked = Asked {
            question: &question,
            entities: &[],
            context: &context,
            caller: None,
            peer: None,
        };
        decide(self.known, &who, asked, Timestamp::UNIX_EPOCH).unwrap();
    }

    /// The mean time of one, in nanoseconds.
    fn cost(&mut self) -> f64 {
        let began = Instant::now();
        for _ in 0..MEASURED {
            self.one();
        }
        began.elapsed().as_nanos() as f64 / MEASURED as f64
    }
}

/// Decides over both directories by turns, so that both meet the same moods of the machine.
fn compare(small: (&Store, usize), large: (&Store, usize), snapshot: &Snapshot) {
    let views = [small, large].map(|(store, count)| {
        let version = store.pin();
        let directory = version.directory("b").unwrap().clone();
        (DirectoryView::new(directory), count)
    });
    let mut sides = views.each_ref().map(|(view, count)| Decisions {
        known: Known::new(snapshot, view),
        count: *count,
        seed: 0x9E37_79B9,
    });
    for side in &mut sides {
        // Enough that what is kept of entities has settled.
        for _ in 0..2 * side.count {
            side.one();
        }
    }
    let rounds: Vec<[f64; 2]> = (0..ROUNDS)
        .map(|_| sides.each_mut().map(Decisions::cost))
        .collect();
    for (n, side) in sides.iter().enumerate() {
        let cost = median(rounds.iter().map(|it| it[n]));
        println!("decide    {cost:.0} ns with {} entities", side.count);
    }
    let ratios: Vec<f64> = rounds.iter().map(|[small, large]| large / small).collect();
    let told: Vec<String> = ratios.iter().map(|it| format!("{it:.2}")).collect();
    println!("ratio     {:.2} ({})", median(ratios), told.join(", "));
    println!("resident  {} MiB after it", resident());
}

fn median(of: impl IntoIterator<Item = f64>) -> f64 {
    let mut of: Vec<f64> = of.into_iter().collect();
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Pages through all of a directory, as an export does.
fn list(store: &Store) -> usize {
    let version = store.pin();
    let directory = version.directory("b").unwrap();
    let (mut after, mut count) = (None, 0);
    loop {
        let page = directory.page(None, after.as_ref(), CHUNK, |_| true);
        count += page.len();
        match page.into_iter().next_back() {
            Some(last) => after = Some(last.key().to_key()),
            None => return count,
        }
    }
}

fn rules() -> Snapshot {
    let files = BundleFiles::new(FILES.iter().copied());
    Snapshot::compile(&files, &CompileOptions::default()).unwrap()
}

/// What one process does with what is stored: `import`, `decide`, `start`, `die` or `compact`.
fn step(what: &str, data: &Path, count: usize) {
    let runtime = Runtime::new().unwrap();
    let snapshot = rules();
    let began = Instant::now();
    let open = open(&runtime, data);
    let ready = began.elapsed().as_secs_f64();
    let began = Instant::now();
    match what {
        "import" => {
            fill(&runtime, &open.store, count, &snapshot);
            let took = began.elapsed().as_secs_f64();
            println!("import    {:.0}/s, {took:.2} s", count as f64 / took);
            println!("resident  {} MiB after it", resident());
            let began = Instant::now();
            close(&runtime, open);
            return println!("close     {:.2} s", began.elapsed().as_secs_f64());
        }
        "decide" => {
            // Beside it, a few in a directory of their own.
            let small = tempfile::tempdir().unwrap();
            let few = self::open(&runtime, small.path());
            fill(&runtime, &few.store, FEW, &snapshot);
            close(&runtime, few);
            let few = self::open(&runtime, small.path());
            compare((&few.store, FEW), (&open.store, count), &snapshot);
            close(&runtime, few);
        }
        "start" => {
            println!("ready     {ready:.2} s");
            println!("resident  {} MiB after it", resident());
            let began = Instant::now();
            let count = list(&open.store);
            let took = began.elapsed().as_secs_f64();
            println!("list      {count} entities, page by page, {took:.2} s");
        }
        "die" => {
            let of_user = stamp(&snapshot, "User");
            for from in (0..20 * CHUNK).step_by(CHUNK) {
                let changes = (from..from + CHUNK).map(|n| user(n, of_user)).collect();
                write(&runtime, &open.store, changes);
            }
            process::abort();
        }
        "compact" => {
            runtime.block_on(open.store.rotate());
            open.store.compact().unwrap();
            println!("compact   {:.2} s", began.elapsed().as_secs_f64());
        }
        other => panic!("no step `{other}`"),
    }
    close(&runtime, open);
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [what, data, count] = words.as_slice() {
        return step(what, Path::new(data), count.parse().unwrap());
    }
    let asked = words.iter().find_map(|it| it.parse::<usize>().ok());
    let count = asked.unwrap_or(20_000);
    let run = |what: &str, data: &Path, count: usize| {
        let mut child = Command::new(env::current_exe().unwrap());
        child.arg(what).arg(data).arg(count.to_string());
        assert_eq!(child.status().unwrap().success(), what != "die", "{what}");
    };
    let large = tempfile::tempdir().unwrap();
    let data = large.path();
    let without_checkpoint = || fs::remove_dir_all(data.join("checkpoint")).unwrap();
    println!("-- {count} entities");
    run("import", data, count);
    println!("-- a start from the checkpoint");
    run("start", data, count);
    println!("-- a start after a process that was killed while it wrote");
    run("die", data, count);
    run("start", data, count);
    println!("-- decisions about users drawn by Zipf(1.0), over 1,000 and over {count}");
    run("decide", data, count);
    println!("-- a start that replays the ledger");
    without_checkpoint();
    run("start", data, count);
    println!("-- a start that reads the ledger's snapshot");
    run("compact", data, count);
    without_checkpoint();
    run("start", data, count);
}

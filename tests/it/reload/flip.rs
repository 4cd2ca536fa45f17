//! Answers while the rules change: each is that of the bundle it names.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use doorward::{
    bundle::{BundleFiles, BundleLimits},
    client::Client,
};

use super::{
    process::{Doorward, question},
    ways::{DOCS, WHOLE, WITHIN, bundle, in_place},
};

const REQUESTS: usize = 100_000;
const RELOADS: usize = 100;
const CONNECTIONS: usize = 4;
const AT_ONCE: usize = 16;

/// Asks until `done`, and at least `REQUESTS` times; every answer must be that of its digest.
fn read(url: &str, done: &AtomicBool, asked: &AtomicUsize) -> Result<(), String> {
    let digests = [false, true].map(|odd| bundle(odd).digest().to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ask = async |client: &Client, n: usize| {
        let doc = n % DOCS;
        let verdict = client
            .check(question("u", &doc.to_string()))
            .await
            .map_err(|why| why.to_string())?;
        let named = digests
            .iter()
            .position(|it| *it == verdict.decision().bundle_digest)
            .ok_or_else(|| format!("unknown digest {}", verdict.decision().bundle_digest))?;
        match verdict.is_allowed() == (doc % 2 == named) {
            true => Ok(()),
            false => Err(format!(
                "document {doc} by bundle {named}: {:?}",
                verdict.decision()
            )),
        }
    };
    runtime.block_on(async {
        let client = Client::connect(url).await.map_err(|why| why.to_string())?;
        let one = async || {
            while !done.load(Ordering::Relaxed) || asked.load(Ordering::Relaxed) < REQUESTS {
                ask(&client, asked.fetch_add(1, Ordering::Relaxed)).await?;
            }
            Ok::<(), String>(())
        };
        let all: Vec<_> = (0..AT_ONCE).map(|_| one()).collect();
        for ended in futures(all).await {
            ended?;
        }
        Ok(())
    })
}

/// Runs futures side by side.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|context| {
        let mut open = false;
        for (future, ended) in &mut all {
            if ended.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(end) => *ended = Some(end),
                    std::task::Poll::Pending => open = true,
                }
            }
        }
        match open {
            true => std::task::Poll::Pending,
            false => std::task::Poll::Ready(()),
        }
    })
    .await;
    all.into_iter().filter_map(|(_, ended)| ended).collect()
}

/// What must change nothing, left in the directory for a moment.
fn disturb(root: &Path, n: usize) {
    let odd = n.is_multiple_of(2);
    match n % 7 {
        0 => fs::write(root.join("part1/doc1.cedar"), "permit (principal, act").unwrap(),
        1 => fs::write(root.join("part2/doc2.cedar"), "").unwrap(),
        2 => {
            let other = bundle(odd);
            fs::write(root.join("bundle.toml"), other.get("bundle.toml").unwrap()).unwrap();
            fs::write(
                root.join("schema.cedarschema"),
                other.get("schema.cedarschema").unwrap(),
            )
            .unwrap();
        }
        3 => fs::remove_file(root.join("part3/doc3.cedar")).unwrap(),
        4 => fs::write(
            root.join("closed.cedar"),
            "forbid (principal, action, resource);",
        )
        .unwrap(),
        5 => {
            let _there = Command::new("mkfifo").arg(root.join("pipe.cedar")).status();
        }
        _ => return,
    }
    thread::sleep(Duration::from_millis(40));
    for extra in ["closed.cedar", "pipe.cedar"] {
        let _none = fs::remove_file(root.join(extra));
    }
}

#[test]
fn every_answer_is_that_of_the_bundle_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(false));
    let server = Doorward::start(&rules, &data, &[("DOORWARD_AUDIT__MODE", "off")]);
    let (done, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let readers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (url, done, asked) = (server.grpc.clone(), Arc::clone(&done), Arc::clone(&asked));
            thread::Builder::new()
                .spawn(move || read(&url, &done, &asked))
                .unwrap()
        })
        .collect();
    let mut way = 0;
    for n in 0..RELOADS {
        let odd = n.is_multiple_of(2);
        // A directory of each kind, and within it each way.
        let write = match n % (WITHIN.len() + 1) {
            0 => {
                way += 1;
                WHOLE[way % WHOLE.len()]
            }
            within => WITHIN[within - 1],
        };
        disturb(&rules, n);
        write(&rules, &bundle(odd));
        server.wait_for_readiness(&bundle(odd).digest().to_string());
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Ok(()));
    }
    assert!(asked.load(Ordering::Relaxed) >= REQUESTS);
    let metrics = server.probe("/metrics");
    let published = metrics
        .lines()
        .find_map(|line| {
            line.strip_prefix("doorward_reloads_total{bundle=\"default\",outcome=\"published\"} ")
        })
        .unwrap();
    assert!(published.parse::<usize>().unwrap() > RELOADS, "{published}");
}

#[test]
fn a_good_save_of_the_example_is_served_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    let mut example = BundleFiles::read(Path::new("policies"), BundleLimits::default()).unwrap();
    in_place(&rules, &example);
    // As it is configured when nothing is said, but never looked at without an event.
    let variables = [
        ("DOORWARD_RELOAD__SETTLE", "200ms"),
        ("DOORWARD_RELOAD__POLL", "1h"),
    ];
    let server = Doorward::start(&rules, &data, &variables);
    let waited: Vec<Duration> = (0..5)
        .map(|n| {
            let text = format!("{}\n// {n}\n", example.get("orders.cedar").unwrap());
            example.insert("orders.cedar", text.as_str());
            let digest = example.digest().to_string();
            fs::write(rules.join("orders.cedar"), text).unwrap();
            waited_for(|| server.probe("/readyz").contains(&digest))
        })
        .collect();
    // The least of them, since this machine may be busy with other things.
    let least = waited.iter().min().unwrap();
    assert!(*least < Duration::from_secs(1), "{waited:?}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is what is asked"
)]
fn waited_for(done: impl Fn() -> bool) -> Duration {
    let start = std::time::Instant::now();
    while !done() && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

#[test]
fn every_way_of_writing_is_seen_by_looking_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(true));
    let variables = [
        ("DOORWARD_RELOAD__EVENTS", "false"),
        ("DOORWARD_RELOAD__POLL", "100ms"),
    ];
    let server = Doorward::start(&rules, &data, &variables);
    for (n, write) in WITHIN.iter().chain(WHOLE).chain(WHOLE).enumerate() {
        let odd = n % 2 == 1;
        write(&rules, &bundle(odd));
        server.wait_for_readiness(&bundle(odd).digest().to_string());
    }
}

#[test]
fn every_way_of_writing_is_seen_by_events_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(true));
    let server = Doorward::start(&rules, &data, &[("DOORWARD_RELOAD__POLL", "1h")]);
    for (n, write) in WITHIN.iter().chain(WHOLE).chain(WHOLE).enumerate() {
        let odd = n % 2 == 1;
        write(&rules, &bundle(odd));
        server.wait_for_readiness(&bundle(odd).digest().to_string());
    }
}

#[test]
fn h17_a_storm_of_changes_is_one_change_or_few() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, data) = (dir.path().join("rules"), dir.path().join("data"));
    in_place(&rules, &bundle(false));
    let server = Doorward::start(&rules, &data, &[("DOORWARD_RELOAD__SETTLE", "200ms")]);
    for n in 0..1_000 {
        fs::write(rules.join("part0/doc0.cedar"), format!("// {n}\n")).unwrap();
    }
    in_place(&rules, &bundle(true));
    server.wait_for_readiness(&bundle(true).digest().to_string());
    let built = server
        .log()
        .lines()
        .filter(|line| line.contains("bundle published") || line.contains("bundle refused"))
        .count();
    assert!(built < 20, "{built} builds:\n{}", server.log());
}

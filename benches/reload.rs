//! What answers cost while rules change, how long a change takes, and how much memory rules take.
//!
//! `cargo bench --bench reload`; `RELOAD_POLICIES` (10000) and `RELOAD_MEMORY` (100000) are sizes.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench that panics has failed"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the clock and runs threads of its own"
)]

mod common;

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{
    Shape, doc,
    kit::{Bench, request},
    options,
};
use doorward::{audit::Recorder, metrics::Metrics, pap, server::clock};

fn main() {
    // `cargo test` builds benches and calls them so.
    if env::args().any(|it| it == "--test") {
        return;
    }
    let setting =
        |name: &str, default| env::var(name).map_or(default, |text| text.parse::<usize>().unwrap());
    let shape = |policies| Shape {
        policies,
        candidates: 8,
        comparisons: 1,
    };
    latency(shape(setting("RELOAD_POLICIES", 10_000)));
    memory(shape(setting("RELOAD_MEMORY", 100_000)));
}

/// Answers on one thread while another publishes again and again.
fn latency(shape: Shape) {
    let recorder = Recorder::counting(Arc::new(Metrics::new()), clock::now);
    let bench = Bench::new(shape, recorder);
    let token = bench.issuer.token("alice", 0, clock::now());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let asked = |until: &dyn Fn() -> bool| {
        let mut taken = Vec::new();
        while !until() {
            let request = request(token.clone(), doc("d1", 0));
            let start = Instant::now();
            runtime
                .block_on(bench.pdp.answer(request, clock::now()))
                .unwrap();
            taken.push(start.elapsed());
        }
        taken
    };
    let (start, second) = (Instant::now(), Duration::from_secs(3));
    let still = asked(&|| start.elapsed() > second);
    let done = AtomicBool::new(false);
    let files = shape.files();
    let mut reloads = Vec::new();
    let moving = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let (_, place) = bench.live.get("bench").unwrap();
            let reloads = (0..5).map(|_| {
                let start = Instant::now();
                pap::publish(place, &files, &options()).unwrap();
                start.elapsed()
            });
            let reloads: Vec<_> = reloads.collect();
            done.store(true, Ordering::Relaxed);
            reloads
        });
        let taken = asked(&|| done.load(Ordering::Relaxed));
        reloads = publishing.join().unwrap();
        taken
    });
    reloads.sort_unstable();
    println!(
        "reload of {} policies: {:?} (median of {})",
        shape.policies,
        reloads[reloads.len() / 2],
        reloads.len()
    );
    for (name, mut taken) in [("still", still), ("while rules change", moving)] {
        taken.sort_unstable();
        let at = |percent: usize| taken[(taken.len() * percent / 1000).min(taken.len() - 1)];
        println!(
            "answers {name}: p50 {:?}, p99 {:?}, p99.9 {:?}, {} of them",
            at(500),
            at(990),
            at(999),
            taken.len()
        );
    }
}

/// Resident memory before and with a bundle, and the most while it was compiled.
fn memory(shape: Shape) {
    let files = shape.files();
    let before = status("VmRSS:");
    let start = Instant::now();
    let snapshot = doorward::bundle::Snapshot::compile(&files, &options()).unwrap();
    let taken = start.elapsed();
    println!(
        "{} policies: {} MiB resident more, {} MiB at most, compiled in {taken:?}",
        shape.policies,
        (status("VmRSS:") - before) / 1024,
        (status("VmHWM:") - before) / 1024,
    );
    drop(snapshot);
}

/// A line of this process's status, in KiB.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

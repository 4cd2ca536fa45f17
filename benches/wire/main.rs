//! Doorward beside a server that decides nothing, under the same load in one run.
//!
//! `cargo bench --bench wire` measures the program that `cargo build` makes of the bench profile;
//! `WIRE_DOORWARD=target/release/doorward` another. The server has core 0, the load core 1: run it on
//! a machine that has nothing else to do. `WIRE_SECONDS` (5) is the time for each row, `WIRE_POLICIES`
//! (10000) the size of the bundle, `WIRE_ROWS` a part of the names of the rows to run; with
//! `WIRE_ONE_THREAD` the other server runs on a single-threaded runtime. `WIRE_STORED=1000000` asks
//! about so many documents of the directory instead, and about 1,000 by turns, nine times each.
//!
//! The load is a client of its own over `h2`: `h2load` sends one body only, and answers to one
//! question say little of a server with caches. Every answer is read, and counted as what it says.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that panics has failed"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the clock and runs tasks of its own"
)]

#[path = "../common/mod.rs"]
mod common;
mod load;
mod noop;
mod questions;
mod servers;
mod stored;

use std::{env, process::Command};

use common::Shape;
use load::{Load, Measured};
use questions::{Kind, Questions};
use servers::{Audit, Rig, Served};

/// One line of the table.
struct Row {
    name: &'static str,
    kind: Kind,
    connections: usize,
    streams: usize,
}

const ROWS: [Row; 5] = [
    row("cached 10×10", Kind::Cached, 10, 10),
    row("cached 1×1", Kind::Cached, 1, 1),
    row("uncached 10×10", Kind::Uncached, 10, 10),
    row("batch of 100", Kind::Batch, 4, 2),
    row("stream", Kind::Stream, 10, 1),
];

const fn row(name: &'static str, kind: Kind, connections: usize, streams: usize) -> Row {
    Row {
        name,
        kind,
        connections,
        streams,
    }
}

fn setting(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if arguments.iter().any(|it| it == noop::ROLE) {
        return noop::serve();
    }
    // `cargo test` builds benches and calls them so.
    if arguments.iter().any(|it| it == "--test") {
        return;
    }
    if env::var_os("WIRE_PINNED").is_none() {
        let mut again = Command::new("taskset");
        again.args(["-c", "1"]).args(&arguments);
        let ended = again.env("WIRE_PINNED", "1").status();
        assert!(ended.unwrap().success());
        return;
    }
    let shape = Shape {
        policies: setting("WIRE_POLICIES", 10_000),
        candidates: 8,
        comparisons: 1,
    };
    let seconds = setting("WIRE_SECONDS", 5);
    if let Some(many) = env::var_os("WIRE_STORED") {
        return stored::compare(many.to_str().unwrap().parse().unwrap(), seconds);
    }
    let only = env::var("WIRE_ROWS").unwrap_or_default();
    let rig = Rig::new(shape);
    let questions = Questions::new(shape, &rig.issuer);
    let sample = {
        let doorward = rig.doorward(Audit::Off);
        Load::run(&doorward, &questions, Kind::Cached, 1, 1, 0).answer
    };
    println!(
        "{} policies, {} candidates each, question {} bytes, answer {} bytes, {seconds} s a row",
        shape.policies,
        shape.candidates,
        questions.size(),
        sample.len()
    );
    println!(
        "{:<16} {:<12} {:>10} {:>9} {:>8} {:>8} {:>7} {:>9} {:>6} {:>6}",
        "load",
        "server",
        "answers/s",
        "µs CPU",
        "p50 µs",
        "p99 µs",
        "added",
        "ratio",
        "allow",
        "deny"
    );
    for row in ROWS.iter().filter(|row| row.name.contains(&only)) {
        let measure = |served: &Served| {
            let Row {
                kind,
                connections,
                streams,
                ..
            } = *row;
            Load::run(served, &questions, kind, connections, streams, 1);
            Load::run(served, &questions, kind, connections, streams, seconds)
        };
        let noop = measure(&rig.noop(&sample));
        print(row, "no-op", &noop, &noop);
        for (name, audit) in [("log off", Audit::Off), ("best effort", Audit::BestEffort)] {
            let found = measure(&rig.doorward(audit));
            assert!(found.allows > 0 && found.denies > 0, "both are asked for");
            print(row, name, &found, &noop);
        }
    }
}

fn print(row: &Row, server: &str, it: &Measured, noop: &Measured) {
    println!(
        "{:<16} {server:<12} {:>10.0} {:>9.2} {:>8} {:>8} {:>+7.2} {:>9.2} {:>6} {:>6}",
        row.name,
        it.per_second(),
        it.cpu_each(),
        it.percentile(50),
        it.percentile(99),
        it.cpu_each() - noop.cpu_each(),
        it.per_second() / noop.per_second(),
        it.allows,
        it.denies,
    );
}

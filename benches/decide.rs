//! What a whole decision costs in the process, from the request to its record: `Pdp::answer`.
//!
//! `cargo bench --bench decide`

#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

mod common;

use std::{hint::black_box, sync::Arc};

use common::{
    Shape, doc,
    kit::{Bench, request},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use doorward::{
    audit::{self, DecisionLog, Recorder},
    authn::TokenScope,
    config::{AuditConfig, AuditMode},
    ledger::RealDisk,
    metrics::Metrics,
    model::{AccessToken, Outcome},
    server::clock,
};
use tempfile::TempDir;

const SHAPE: Shape = Shape {
    policies: 10_000,
    candidates: 8,
    comparisons: 1,
};

fn decide(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = TempDir::new().unwrap();
    let metrics = || Arc::new(Metrics::new());
    let DecisionLog {
        recorder, writer, ..
    } = audit::open(
        Arc::new(RealDisk),
        &AuditConfig {
            mode: AuditMode::BestEffort,
            ..AuditConfig::default()
        },
        dir.path(),
        String::new(),
        metrics(),
        clock::now,
    )
    .unwrap();
    let writing = runtime.handle().clone();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let writer = std::thread::Builder::new()
        .spawn(move || {
            writing.block_on(writer.run(async {
                // An error means that the bench is over all the same.
                drop(ended.await);
            }))
        })
        .unwrap();
    let mut group = c.benchmark_group("decide");
    for (audit, recorder) in [
        ("log off", Recorder::counting(metrics(), clock::now)),
        ("best effort", recorder),
    ] {
        let bench = Bench::new(SHAPE, recorder);
        let ask = |token: &str| {
            let request = request(token.to_owned(), doc("d1", 0));
            let answer = runtime.block_on(bench.pdp.answer(request, clock::now()));
            let answer = answer.unwrap();
            assert_eq!(answer.decision().outcome, Outcome::Allow);
            answer
        };
        let known = bench.issuer.token("alice", 0, clock::now());
        group.bench_function(format!("cached, {audit}"), |b| {
            b.iter(|| black_box(ask(black_box(&known))));
        });
        let fresh = || bench.issuer.token("alice", 0, clock::now());
        group.bench_function(format!("uncached ES256, {audit}"), |b| {
            b.iter_batched(fresh, |token| ask(&token), BatchSize::SmallInput);
        });
    }
    // What the one above has to be held against: the token alone.
    let bench = Bench::new(SHAPE, Recorder::off());
    let keys = bench.keys();
    let fresh = || AccessToken::new(bench.issuer.token("alice", 0, clock::now()));
    group.bench_function("signature and claims of a token", |b| {
        b.iter_batched(
            fresh,
            |token| {
                keys.verify(&token, &TokenScope::default(), clock::now())
                    .unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
    drop(end);
    writer.join().unwrap().unwrap();
}

criterion_group!(benches, decide);
criterion_main!(benches);

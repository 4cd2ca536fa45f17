//! What a whole decision costs in the process, from the request to its count: `Pdp::answer`, with the
//! log off; `--bench audit` has what keeping records adds.
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
    audit::Recorder,
    authn::TokenScope,
    metrics::Metrics,
    model::{AccessToken, Outcome},
    server::clock,
};

const SHAPE: Shape = Shape {
    policies: 10_000,
    candidates: 8,
    comparisons: 1,
};

fn decide(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = c.benchmark_group("decide");
    let metrics = Arc::new(Metrics::new());
    let bench = Bench::new(SHAPE, Recorder::counting(metrics, clock::now));
    let ask = |token: &str| {
        let request = request(token.to_owned(), doc("d1", 0));
        let answer = runtime.block_on(bench.pdp.answer(request, clock::now()));
        let answer = answer.unwrap();
        assert_eq!(answer.decision().outcome, Outcome::Allow);
        answer
    };
    let known = bench.issuer.token("alice", 0, clock::now());
    group.bench_function("cached", |b| {
        b.iter(|| black_box(ask(black_box(&known))));
    });
    let fresh = || bench.issuer.token("alice", 0, clock::now());
    group.bench_function("uncached ES256", |b| {
        b.iter_batched(fresh, |token| ask(&token), BatchSize::SmallInput);
    });
    // What the one above has to be held against: the token alone.
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
}

criterion_group!(benches, decide);
criterion_main!(benches);

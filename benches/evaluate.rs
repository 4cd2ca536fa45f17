//! What evaluation costs, whatever the number of policies: `policy::evaluate` alone.
//!
//! `cargo bench --bench evaluate`; hot: the same eight principals and documents again and again,
//! uniform: any of the bundle's, so that its policies come from memory and not from a cache.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench that panics has failed"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "only evaluation is timed, not what makes its arguments"
)]

mod common;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Shape, dice::Dice};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use doorward::{
    authn::suppose,
    bundle::Snapshot,
    model::{Members, NamedQuestion, Outcome, Question, Timestamp, Value},
    pip::{Asked, Gathered, Principal, gather},
    policy,
};

fn shape(policies: usize, candidates: usize, comparisons: usize) -> Shape {
    Shape {
        policies,
        candidates,
        comparisons,
    }
}

/// A question about a group's document by one of its users.
fn question(snapshot: &Snapshot, group: usize, now: Timestamp) -> Gathered<'_> {
    let mut claims = common::claims(group);
    claims["sub"] = "alice".into();
    let Value::Record(claims) = Value::from(claims) else {
        unreachable!()
    };
    let claims = suppose("dev", claims, now).unwrap();
    let who = Principal::of_claims(snapshot, Arc::clone(&claims)).unwrap();
    let question = Question::Named(NamedQuestion {
        action: "view".to_owned(),
        properties: Members::new(),
        resource: common::doc("d", group),
    });
    let context: Members = [("risk".to_owned(), Value::Long(7))].into();
    let asked = Asked {
        question: &question,
        entities: &[],
        context: &context,
        caller: None,
        peer: None,
    };
    gather(snapshot, &who, asked, now).unwrap()
}

fn evaluate(c: &mut Criterion) {
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let mut bench = c.benchmark_group("evaluate");
    for (policies, candidates, comparisons) in [
        (10, 8, 1),
        (100, 8, 1),
        (1_000, 8, 1),
        (10_000, 8, 1),
        (100_000, 8, 1),
        (10_000, 8, 4),
        (10_000, 100, 1),
        (10_000, 1_000, 1),
        (100_000, 100, 1),
        (100_000, 1_000, 1),
    ] {
        let shape = shape(policies, candidates, comparisons);
        let snapshot = shape.snapshot();
        let of = |gathered: &Gathered<'_>| {
            let (request, entities) = (gathered.request.clone(), &gathered.entities);
            policy::evaluate(&snapshot.policies, request, entities, true)
        };
        let found = of(&question(&snapshot, 0, now)).decision;
        assert_eq!(found.outcome, Outcome::Allow);
        assert_eq!(found.reasons.len(), candidates.div_ceil(4));
        for (set, groups) in [("hot", shape.groups().min(8)), ("uniform", shape.groups())] {
            let name =
                format!("{policies} policies, {candidates} candidates × {comparisons}, {set}");
            let mut dice = Dice::new(3);
            bench.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter_custom(|times| {
                    let mut taken = Duration::ZERO;
                    for _ in 0..times {
                        let gathered = question(&snapshot, dice.roll(groups), now);
                        let start = Instant::now();
                        black_box(of(black_box(&gathered)));
                        taken += start.elapsed();
                    }
                    taken
                });
            });
        }
    }
    bench.finish();
}

criterion_group!(benches, evaluate);
criterion_main!(benches);

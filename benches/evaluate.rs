//! What a decision costs once the subject is known: facts, slice, candidates, evaluation.
//!
//! `cargo bench --bench evaluate`

#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

mod common;

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use doorward::{
    authn::suppose,
    model::{Members, NamedQuestion, Outcome, Question, Timestamp, Value},
    pdp::decide,
    pip::{Asked, Principal},
};

fn evaluate(c: &mut Criterion) {
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let Value::Record(claims) = Value::from(common::claims("alice")) else {
        unreachable!()
    };
    let context: Members = [("risk".to_owned(), Value::Long(7))].into();
    let question = Question::Named(NamedQuestion {
        action: "view".to_owned(),
        properties: Members::new(),
        resource: common::doc("d1"),
    });
    let asked = Asked {
        question: &question,
        entities: &[],
        context: &context,
        caller: None,
        peer: None,
    };
    let mut group = c.benchmark_group("decide");
    for (policies, candidates, comparisons) in [
        (10, 8, 1),
        (100, 8, 1),
        (10_000, 8, 1),
        (100, 8, 4),
        (10_000, 8, 4),
        (10_000, 100, 1),
        (100_000, 8, 1),
    ] {
        let snapshot = common::snapshot(policies, candidates, comparisons);
        let claims = suppose("dev", claims.clone(), now).unwrap();
        let who = Principal::of_claims(&snapshot, Arc::clone(&claims)).unwrap();
        let decided = decide(&snapshot, &who, asked, now).unwrap();
        assert_eq!(decided.decision.outcome, Outcome::Allow);
        assert_eq!(decided.decision.reasons.len(), candidates.div_ceil(4));
        let name = format!("{policies} policies, {candidates} candidates × {comparisons}");
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            b.iter(|| decide(black_box(&snapshot), black_box(&who), asked, now).unwrap());
        });
        if (policies, comparisons) == (100, 1) {
            group.bench_function("the principal of its claims", |b| {
                b.iter(|| Principal::of_claims(black_box(&snapshot), Arc::clone(&claims)).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, evaluate);
criterion_main!(benches);

//! What it costs to say why a question is denied, among few policies and many.
//!
//! `cargo bench --bench explain`

#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

mod common;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use doorward::{
    authn::suppose,
    model::{Members, NamedQuestion, Outcome, Question, Timestamp, Value},
    pdp::{Telling, explain},
    pip::{Asked, Principal},
};

fn denials(c: &mut Criterion) {
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let mut group = c.benchmark_group("explain a denial");
    // Without the team, the head of no policy matches: all of them are one or two facts away. With
    // it, the heads of the candidates match, and their conditions fail.
    for (policies, candidates, comparisons, in_team) in [
        (100, 8, 1, false),
        (10_000, 8, 1, false),
        (10_000, 8, 4, true),
        (10_000, 100, 4, true),
    ] {
        let shape = common::Shape {
            policies,
            candidates,
            comparisons,
        };
        let snapshot = shape.snapshot();
        let mut claims = common::claims(0);
        let members = claims.as_object_mut().unwrap();
        members.insert("sub".to_owned(), "alice".into());
        if !in_team {
            let teams = serde_json::json!(["x1", "x2", "x3", "x4", "x5", "x6"]);
            members.insert("teams".to_owned(), teams);
        }
        let Value::Record(claims) = Value::from(claims) else {
            unreachable!()
        };
        let claims = suppose("dev", claims, now).unwrap();
        let who = Principal::of_claims(&snapshot, claims).unwrap();
        let context: Members = [("risk".to_owned(), Value::Long(7))].into();
        let mut resource = common::doc("d1", 0);
        let elsewhere = Value::String("globex".to_owned());
        resource.attributes.insert("tenant".to_owned(), elsewhere);
        let question = Question::Named(NamedQuestion {
            action: "view".to_owned(),
            properties: Members::new(),
            resource,
        });
        let asked = Asked {
            question: &question,
            entities: &[],
            context: &context,
            caller: None,
            peer: None,
        };
        let found = explain(&snapshot, &who, asked, now, Telling::ALL).unwrap();
        assert_eq!(found.decision.outcome, Outcome::Deny);
        assert!(!found.flips.is_empty() && found.nearest.len() == 3);
        let near = if in_team { "in" } else { "not in" };
        let name = format!(
            "{policies} policies, {candidates} candidates × {comparisons}, {near} the team"
        );
        group.bench_function(BenchmarkId::from_parameter(&name), |b| {
            b.iter(|| explain(black_box(&snapshot), &who, asked, now, Telling::ALL).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, denials);
criterion_main!(benches);

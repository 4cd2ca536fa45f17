//! What finding the route of a request costs, whatever the number of routes.
//!
//! `cargo bench --bench routes`

#![expect(clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::{fmt::Write as _, hint::black_box};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use doorward::{
    bundle::{BundleFiles, CompileOptions, Snapshot},
    model::CanonicalRequest,
};

const SCHEMA: &str = "entity User; entity Order;
action Read appliesTo { principal: [User], resource: [Order] };";

/// A bundle of so many routes, a tenth of them with a host, half with a capture in the middle.
fn snapshot(routes: usize) -> Snapshot {
    let mut text = "[[principal]]\ntype = \"User\"\nid = \"{sub}\"\n".to_owned();
    for n in 0..routes {
        let host = match n % 10 {
            0 => format!("host = \"h{n}.example\"\n"),
            _ => String::new(),
        };
        let path = match n % 2 {
            0 => format!("/v1/service{n}/orders/{{order}}"),
            _ => format!("/v1/tenants/{{tenant}}/service{n}/{{order}}"),
        };
        writeln!(
            text,
            "[[route]]\n{host}method = \"GET\"\npath = \"{path}\"\naction = \"Read\"\n\
             resource = {{ type = \"Order\", id = \"{{order}}\" }}"
        )
        .unwrap();
    }
    let policies = "permit (principal, action, resource);".to_owned();
    let files = BundleFiles::new([
        ("schema.cedarschema", SCHEMA.to_owned()),
        ("all.cedar", policies),
        ("bundle.toml", text),
    ]);
    Snapshot::compile(&files, &CompileOptions::default()).unwrap()
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for routes in [100, 1_000, 10_000] {
        let snapshot = snapshot(routes);
        // Of both kinds, from the middle of the file, and one that no route is for.
        let middle = routes / 2;
        let asked = [
            format!("/v1/service{}/orders/o-1", middle + 2),
            format!("/v1/tenants/acme/service{}/o-1", middle + 1),
            "/v1/elsewhere/o-1".to_owned(),
        ];
        let asked =
            asked.map(|path| CanonicalRequest::parse("GET", "shop.example", &path).unwrap());
        let found = asked
            .iter()
            .filter(|it| snapshot.routes.find(it).unwrap().is_some());
        assert_eq!(found.count(), 2);
        group.bench_function(BenchmarkId::from_parameter(routes), |b| {
            b.iter(|| {
                for request in &asked {
                    black_box(snapshot.routes.find(black_box(request)).unwrap());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);

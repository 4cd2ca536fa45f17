//! Documents of the directory: what a question costs where there are few, and where there are many.

use super::{
    common::Shape,
    load::Load,
    questions::{Kind, Questions},
    servers::{Audit, Rig},
};

/// As many as are always at hand.
const FEW: usize = 1_000;
/// Seconds after which what the server keeps of entities has settled.
const SETTLE: usize = 20;

/// Asks about documents drawn by Zipf(1.0) of 1,000 and of `many`.
pub(crate) fn compare(many: usize, seconds: usize) {
    let shape = Shape {
        policies: 800,
        candidates: 8,
        comparisons: 1,
    };
    for count in [FEW, many] {
        let rig = Rig::stored(shape, count);
        let questions = Questions::stored(shape, &rig.issuer, count);
        for (name, audit) in [("log off", Audit::Off), ("best effort", Audit::BestEffort)] {
            let served = rig.doorward(audit);
            let ask = |seconds| Load::run(&served, &questions, Kind::Cached, 10, 10, seconds);
            ask(SETTLE);
            let found = ask(seconds);
            println!(
                "{count:>8} stored, {name:<12} {:>7.0} answers/s, {:.2} µs CPU, p50 {} µs, p99 {} µs, {} allow, {} deny",
                found.per_second(),
                found.cpu_each(),
                found.percentile(50),
                found.percentile(99),
                found.allows,
                found.denies,
            );
        }
    }
}

//! Documents of the directory: what a question costs where there are few, and where there are many.

use super::{
    common::Shape,
    load::{Load, Measured},
    questions::{Kind, Questions},
    servers::{Audit, Rig},
};

/// As many as are always at hand.
const FEW: usize = 1_000;
/// Seconds after which what the server keeps of entities has settled.
const SETTLE: usize = 10;
/// How often both servers are asked, one after the other, so that both meet the same moods of the
/// machine.
const ROUNDS: usize = 9;

/// Asks about documents drawn by Zipf(1.0) of 1,000 and of `many`, for `seconds` at a time.
pub(crate) fn compare(many: usize, seconds: usize) {
    let shape = Shape {
        policies: 800,
        candidates: 8,
        comparisons: 1,
    };
    let sides = [FEW, many].map(|count| {
        let rig = Rig::stored(shape, count);
        let questions = Questions::stored(shape, &rig.issuer, count);
        (rig, questions)
    });
    for (name, audit) in [("log off", Audit::Off), ("best effort", Audit::BestEffort)] {
        let served = sides.each_ref().map(|(rig, _)| rig.doorward(audit));
        let ask = |side: usize, seconds| {
            let questions = &sides[side].1;
            Load::run(&served[side], questions, Kind::Cached, 10, 10, seconds)
        };
        let both = |seconds| [ask(0, seconds), ask(1, seconds)];
        both(SETTLE);
        let rounds: Vec<_> = (0..ROUNDS).map(|_| both(seconds)).collect();
        for (side, count) in [FEW, many].into_iter().enumerate() {
            let of_side = |of: fn(&Measured) -> f64| median(rounds.iter().map(|it| of(&it[side])));
            println!(
                "{count:>8} stored, {name:<12} {:>7.0} answers/s, {:.2} µs CPU, {} allow, {} deny",
                of_side(Measured::per_second),
                of_side(Measured::cpu_each),
                rounds.iter().map(|it| it[side].allows).sum::<u64>(),
                rounds.iter().map(|it| it[side].denies).sum::<u64>(),
            );
        }
        let ratios: Vec<f64> = rounds
            .iter()
            .map(|[few, many]| many.cpu_each() / few.cpu_each())
            .collect();
        let told: Vec<String> = ratios.iter().map(|it| format!("{it:.2}")).collect();
        let median = median(ratios);
        println!(
            "{many:>8} against {FEW}, {name}: {median:.2} of the CPU ({})",
            told.join(", ")
        );
    }
}

fn median(of: impl IntoIterator<Item = f64>) -> f64 {
    let mut of: Vec<f64> = of.into_iter().collect();
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

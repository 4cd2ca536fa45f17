//! Every counter and histogram, as one struct of handles that is passed down.
//!
//! Label values are names from the configuration and the code, never text of a request, so their
//! number is bounded.

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// What Doorward counts. Only `admin` renders it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Family<DecisionLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    records_dropped: Counter,
    members_dropped: Family<FaceLabels, Counter>,
    latency: Family<FaceLabels, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    bundle: String,
    outcome: &'static str,
    cause: &'static str,
    face: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    code: &'static str,
    face: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaceLabels {
    face: &'static str,
}

impl Metrics {
    /// All of them, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("doorward");
        let decisions = Family::default();
        registry.register("decisions", "Decisions made", decisions.clone());
        let refusals = Family::default();
        registry.register(
            "refusals",
            "Requests that could not be decided",
            refusals.clone(),
        );
        let records_dropped = Counter::default();
        registry.register(
            "records_dropped",
            "Records that the decision log lost",
            records_dropped.clone(),
        );
        let members_dropped = Family::default();
        registry.register(
            "members_dropped",
            "Members of requests left out because the schema does not declare them",
            members_dropped.clone(),
        );
        // 25 µs, doubled up to 0.8 s.
        let latency = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(25e-6, 2.0, 16))) as fn() -> Histogram,
        );
        registry.register(
            "answer_latency_seconds",
            "From the arrival of a request to its record",
            latency.clone(),
        );
        Self {
            registry,
            decisions,
            refusals,
            records_dropped,
            members_dropped,
            latency,
        }
    }

    /// Counts a decision.
    pub fn decision(
        &self,
        bundle: &str,
        outcome: &'static str,
        cause: &'static str,
        face: &'static str,
    ) {
        let labels = DecisionLabels {
            bundle: bundle.to_owned(),
            outcome,
            cause,
            face,
        };
        self.decisions.get_or_create(&labels).inc();
    }

    /// Counts a refusal by its code.
    pub fn refusal(&self, code: &'static str, face: &'static str) {
        self.refusals
            .get_or_create(&RefusalLabels { code, face })
            .inc();
    }

    /// Counts records that the decision log lost.
    pub fn records_dropped(&self, count: u64) {
        self.records_dropped.inc_by(count);
    }

    /// Counts members of requests that were left out.
    pub fn members_dropped(&self, face: &'static str, count: u64) {
        self.members_dropped
            .get_or_create(&FaceLabels { face })
            .inc_by(count);
    }

    /// Observes how long a request took, in seconds.
    pub fn latency(&self, face: &'static str, seconds: f64) {
        self.latency
            .get_or_create(&FaceLabels { face })
            .observe(seconds);
    }

    /// Everything in the OpenMetrics text format, version 1.0.
    pub fn render(&self) -> String {
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            // Writing to a `String` does not fail; half a page must not pass for a whole one.
            Err(_) => String::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new();
        metrics.decision("orders", "allow", "permitted", "grpc");
        metrics.decision("orders", "allow", "permitted", "grpc");
        metrics.refusal("malformed", "grpc");
        metrics.records_dropped(3);
        metrics.members_dropped("authzen", 2);
        metrics.latency("grpc", 0.000_03);
        let text = metrics.render();
        for line in [
            "doorward_decisions_total{bundle=\"orders\",outcome=\"allow\",cause=\"permitted\",face=\"grpc\"} 2",
            "doorward_refusals_total{code=\"malformed\",face=\"grpc\"} 1",
            "doorward_records_dropped_total 3",
            "doorward_members_dropped_total{face=\"authzen\"} 2",
            "doorward_answer_latency_seconds_bucket{le=\"0.00005\",face=\"grpc\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "no `{line}` in:\n{text}");
        }
    }
}

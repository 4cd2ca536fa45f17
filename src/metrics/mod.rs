//! Every counter and histogram, as one struct of handles that is passed down.
//!
//! Label values are names from the configuration and the code, never text of a request, so their
//! number is bounded.

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
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
    latency: Family<FaceLabels, Histogram>,
    reloads: Family<ReloadLabels, Counter>,
    degraded: Family<BundleLabels, Gauge>,
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
struct ReloadLabels {
    bundle: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BundleLabels {
    bundle: String,
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
        // 25 µs, doubled up to 0.8 s.
        let latency = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(25e-6, 2.0, 16))) as fn() -> Histogram,
        );
        registry.register(
            "answer_latency_seconds",
            "From the arrival of a request to its record",
            latency.clone(),
        );
        let reloads = Family::default();
        registry.register(
            "reloads",
            "Changed bundles that were published, refused, or restored at the start",
            reloads.clone(),
        );
        let degraded = Family::default();
        registry.register(
            "bundle_degraded",
            "Whether what is served is not what is in the bundle's directory",
            degraded.clone(),
        );
        Self {
            registry,
            decisions,
            refusals,
            records_dropped,
            latency,
            reloads,
            degraded,
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

    /// Counts what became of a changed bundle, and tells whether it is as it should be.
    pub fn reload(&self, bundle: &str, result: &'static str, degraded: bool) {
        let bundle = bundle.to_owned();
        let labels = BundleLabels {
            bundle: bundle.clone(),
        };
        self.degraded
            .get_or_create(&labels)
            .set(i64::from(degraded));
        self.reloads
            .get_or_create(&ReloadLabels { bundle, result })
            .inc();
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
        metrics.latency("grpc", 0.000_03);
        metrics.reload("orders", "refused", true);
        let text = metrics.render();
        for line in [
            "doorward_decisions_total{bundle=\"orders\",outcome=\"allow\",cause=\"permitted\",face=\"grpc\"} 2",
            "doorward_refusals_total{code=\"malformed\",face=\"grpc\"} 1",
            "doorward_records_dropped_total 3",
            "doorward_reloads_total{bundle=\"orders\",result=\"refused\"} 1",
            "doorward_bundle_degraded{bundle=\"orders\"} 1",
            "doorward_answer_latency_seconds_bucket{le=\"0.00005\",face=\"grpc\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "no `{line}` in:\n{text}");
        }
    }
}

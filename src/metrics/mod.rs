//! Every counter and histogram, as one struct of handles that is passed down.
//!
//! Label values are names from the configuration, the code and, up to [`MAX_POLICIES`], the rules,
//! never text of a request, so their number is bounded.

mod handles;
mod labels;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use handles::Handles;
use labels::{
    Build, Bundle, BundleOutcome, Decision, Face, Issuer, Listener, ListenerOutcome,
    ListenerReason, Operator, Policy, Queue, Refusal, Sink, Stage, StorePart,
};

/// Policies of all bundles that are counted one by one; later ones are counted together.
pub const MAX_POLICIES: usize = 2000;

type Seconds = Gauge<f64, AtomicU64>;
type Buckets = fn() -> Histogram;

/// What Doorward counts. Only `admin` renders it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Family<Decision, Counter>,
    refusals: Family<Refusal, Counter>,
    policies: Family<Policy, Counter>,
    policies_seen: AtomicUsize,
    operator_refusals: Family<Operator, Counter>,
    records_dropped: Counter,
    log_failing: Gauge,
    store_failing: Family<StorePart, Gauge>,
    sink_records: Family<Sink, Counter>,
    sink_missed: Family<Sink, Counter>,
    sink_failing: Family<Sink, Gauge>,
    sink_behind: Family<Sink, Gauge>,
    members_dropped: Family<Face, Counter>,
    latency: Family<Face, Histogram, Buckets>,
    stages: Family<Stage, Histogram, Buckets>,
    reloads: Family<BundleOutcome, Counter>,
    bundles: Family<Bundle, Gauge>,
    key_age: Family<Issuer, Seconds>,
    keys: Family<Issuer, Gauge>,
    token_cache: Family<labels::Cache, Counter>,
    queues: Family<Queue, Gauge>,
    queue_limits: Family<Queue, Gauge>,
    connections: Family<Listener, Gauge>,
    connections_closed: Family<ListenerReason, Counter>,
    certificates: Family<ListenerOutcome, Counter>,
    degraded: Gauge,
    known_decisions: Handles<(&'static str, &'static str), Counter>,
    known_policies: Handles<Box<str>, Counter>,
    known_latency: Handles<&'static str, Histogram>,
    known_stages: Handles<&'static str, Histogram>,
}

impl Metrics {
    /// All of them, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("doorward");
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build::this()).set(1);
        registry.register("build_info", "The version that runs", build);
        // 25 µs, doubled up to 0.8 s.
        let latency = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(25e-6, 2.0, 16))) as Buckets,
        );
        // 1 µs, doubled up to 0.5 s.
        let stages = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(1e-6, 2.0, 20))) as Buckets,
        );
        let this = Self {
            decisions: Family::default(),
            refusals: Family::default(),
            policies: Family::default(),
            policies_seen: AtomicUsize::new(0),
            operator_refusals: Family::default(),
            records_dropped: Counter::default(),
            log_failing: Gauge::default(),
            store_failing: Family::default(),
            sink_records: Family::default(),
            sink_missed: Family::default(),
            sink_failing: Family::default(),
            sink_behind: Family::default(),
            members_dropped: Family::default(),
            latency,
            stages,
            reloads: Family::default(),
            bundles: Family::default(),
            key_age: Family::default(),
            keys: Family::default(),
            token_cache: Family::default(),
            queues: Family::default(),
            queue_limits: Family::default(),
            connections: Family::default(),
            connections_closed: Family::default(),
            certificates: Family::default(),
            degraded: Gauge::default(),
            known_decisions: Handles::default(),
            known_policies: Handles::default(),
            known_latency: Handles::default(),
            known_stages: Handles::default(),
            registry: Registry::default(),
        };
        this.register(&mut registry);
        Self { registry, ..this }
    }

    fn register(&self, to: &mut Registry) {
        let it = self;
        to.register("decisions", "Decisions made", it.decisions.clone());
        let help = "Requests that could not be decided";
        to.register("refusals", help, it.refusals.clone());
        let help = "Decisions that a policy determined, or in which it failed";
        to.register("policies", help, it.policies.clone());
        let help = "Records that the decision log lost";
        to.register("records_dropped", help, it.records_dropped.clone());
        let help = "Whether the decision log cannot be written";
        to.register("decision_log_failing", help, it.log_failing.clone());
        let help = "Whether a part of the store fails";
        to.register("store_failing", help, it.store_failing.clone());
        let help = "Requests of operators that were refused";
        to.register("operator_refusals", help, it.operator_refusals.clone());
        let help = "Entries of the decision log that a receiver was sent";
        to.register("sink_records", help, it.sink_records.clone());
        let help = "Entries of the decision log that a receiver will never have";
        to.register("sink_missed", help, it.sink_missed.clone());
        let help = "Whether a receiver of the decision log cannot be sent anything";
        to.register("sink_failing", help, it.sink_failing.clone());
        let help = "Entries of the decision log that a receiver has not yet";
        to.register("sink_behind", help, it.sink_behind.clone());
        let help = "Members of requests left out because the schema does not declare them";
        to.register("members_dropped", help, it.members_dropped.clone());
        let help = "From the arrival of a request to its record";
        to.register("answer_latency_seconds", help, it.latency.clone());
        let help = "The stages of an answer";
        to.register("stage_seconds", help, it.stages.clone());
        let help = "Contents of a bundle that were published or refused";
        to.register("reloads", help, it.reloads.clone());
        let help = "The content that each bundle serves";
        to.register("bundle_info", help, it.bundles.clone());
        let help = "Time since an issuer's keys were last read";
        to.register("key_age_seconds", help, it.key_age.clone());
        to.register("keys", "Keys that can verify tokens", it.keys.clone());
        let help = "Lookups of tokens that were verified before";
        to.register("token_cache", help, it.token_cache.clone());
        to.register("queue_depth", "What waits, by queue", it.queues.clone());
        let help = "How much may wait, by queue";
        to.register("queue_limit", help, it.queue_limits.clone());
        to.register("connections", "Open connections", it.connections.clone());
        let help = "Connections that were closed before they asked anything";
        to.register("connections_refused", help, it.connections_closed.clone());
        let help = "Certificates of a listener that were taken up or refused";
        to.register("certificates", help, it.certificates.clone());
        let help = "What is not as it should be, though answers are given";
        to.register("degraded", help, it.degraded.clone());
    }

    /// Counts a decision.
    pub fn decision(
        &self,
        bundle: &str,
        outcome: &'static str,
        cause: &'static str,
        face: &'static str,
    ) {
        let known = &self.known_decisions;
        if known.with(bundle, &(cause, face), |counter| {
            counter.inc();
        }) {
            return;
        }
        let labels = Decision {
            bundle: bundle.to_owned(),
            outcome,
            cause,
            face,
        };
        let counter = self.decisions.get_or_create_owned(&labels);
        counter.inc();
        known.keep(bundle, (cause, face), counter);
    }

    /// Counts a refusal by its code.
    pub fn refusal(&self, code: &'static str, face: &'static str) {
        self.refusals.get_or_create(&Refusal { code, face }).inc();
    }

    /// Counts what a receiver of the decision log was sent, and what it will never have.
    pub fn sink(&self, sink: &'static str, sent: u64, missed: u64) {
        let label = Sink { sink };
        self.sink_records.get_or_create(&label).inc_by(sent);
        self.sink_missed.get_or_create(&label).inc_by(missed);
    }

    /// Tells how a receiver of the decision log does.
    pub fn sink_state(&self, sink: &'static str, failing: bool, behind: u64) {
        let label = Sink { sink };
        let place = self.sink_failing.get_or_create(&label);
        place.set(i64::from(failing));
        let behind = i64::try_from(behind).unwrap_or(i64::MAX);
        self.sink_behind.get_or_create(&label).set(behind);
    }

    /// Counts a policy that determined a decision (`determined`) or failed in it (`errored`).
    pub fn policy(&self, bundle: &str, policy: &str, result: &'static str) {
        let (known, frequent) = (&self.known_policies, result == "determined");
        if frequent
            && known.with(bundle, policy, |counter| {
                counter.inc();
            })
        {
            return;
        }
        let mut labels = Policy {
            bundle: bundle.to_owned(),
            policy: policy.to_owned(),
            result,
        };
        let counter = self.policies.get(&labels).map(|counter| counter.clone());
        if let Some(counter) = counter {
            counter.inc();
            if frequent {
                known.keep(bundle, policy.into(), counter);
            }
            return;
        }
        if self.policies_seen.fetch_add(1, Ordering::Relaxed) >= MAX_POLICIES {
            self.policies_seen.store(MAX_POLICIES, Ordering::Relaxed);
            "(more)".clone_into(&mut labels.policy);
        }
        self.policies.get_or_create(&labels).inc();
    }

    /// Counts records that the decision log lost.
    pub fn records_dropped(&self, count: u64) {
        self.records_dropped.inc_by(count);
    }

    /// Says whether the decision log cannot be written.
    pub fn log_failing(&self, failing: bool) {
        self.log_failing.set(i64::from(failing));
    }

    /// Says whether a part of the store fails.
    pub fn store_failing(&self, part: &'static str, failing: bool) {
        let gauge = self.store_failing.get_or_create(&StorePart { part });
        gauge.set(i64::from(failing));
    }

    /// Counts a request of an operator that was refused.
    pub fn operator_refusal(&self, code: &'static str) {
        self.operator_refusals
            .get_or_create(&Operator { code })
            .inc();
    }

    /// Counts members of requests that were left out.
    pub fn members_dropped(&self, face: &'static str, count: u64) {
        self.members_dropped
            .get_or_create(&Face { face })
            .inc_by(count);
    }

    /// Observes how long a request took, in seconds.
    pub fn latency(&self, face: &'static str, seconds: f64) {
        let known = &self.known_latency;
        if !known.with("", &face, |histogram| histogram.observe(seconds)) {
            let histogram = self.latency.get_or_create_owned(&Face { face });
            histogram.observe(seconds);
            known.keep("", face, histogram);
        }
    }

    /// Observes how long a stage of an answer took, in seconds.
    pub fn stage(&self, stage: &'static str, seconds: f64) {
        let known = &self.known_stages;
        if !known.with("", &stage, |histogram| histogram.observe(seconds)) {
            let histogram = self.stages.get_or_create_owned(&Stage { stage });
            histogram.observe(seconds);
            known.keep("", stage, histogram);
        }
    }

    /// Counts content of a bundle that was `published` or `refused`.
    pub fn reload(&self, bundle: &str, outcome: &'static str) {
        let bundle = bundle.to_owned();
        let labels = BundleOutcome { bundle, outcome };
        self.reloads.get_or_create(&labels).inc();
    }

    /// Says which content, by its digest, each bundle serves.
    pub fn bundles(&self, served: &[(String, String)]) {
        self.bundles.clear();
        for (bundle, digest) in served.iter().cloned() {
            self.bundles
                .get_or_create(&Bundle { bundle, digest })
                .set(1);
        }
    }

    /// Says how old the keys of an issuer are, in seconds.
    pub fn key_age(&self, issuer: &str, seconds: f64) {
        let issuer = issuer.to_owned();
        self.key_age.get_or_create(&Issuer { issuer }).set(seconds);
    }

    /// Says how many keys of an issuer can verify tokens.
    pub fn keys(&self, issuer: &str, count: usize) {
        let issuer = issuer.to_owned();
        self.keys
            .get_or_create(&Issuer { issuer })
            .set(whole(count));
    }

    /// Says how often a token was one verified before, and how often not, since the start.
    pub fn token_cache(&self, hits: u64, misses: u64) {
        for (result, count) in [("hit", hits), ("miss", misses)] {
            let counter = self.token_cache.get_or_create(&labels::Cache { result });
            counter.inner().store(count, Ordering::Relaxed);
        }
    }

    /// Says how much waits in a queue, and how much may.
    pub fn queue(&self, queue: &'static str, depth: usize, limit: usize) {
        self.queues
            .get_or_create(&Queue { queue })
            .set(whole(depth));
        self.queue_limits
            .get_or_create(&Queue { queue })
            .set(whole(limit));
    }

    /// Says how many connections a listener has.
    pub fn connections(&self, listener: &'static str, count: usize) {
        let gauge = self.connections.get_or_create(&Listener { listener });
        gauge.set(whole(count));
    }

    /// Has a listener's counters at zero, so that their first step is seen.
    pub fn listener(&self, listener: &'static str) {
        self.connections(listener, 0);
        for reason in ["accept", "handshake", "handshake_timeout", "too_many"] {
            let labels = ListenerReason { listener, reason };
            self.connections_closed.get_or_create(&labels).inc_by(0);
        }
    }

    /// Counts a connection that was closed before it asked anything.
    pub fn connection_refused(&self, listener: &'static str, reason: &'static str) {
        let labels = ListenerReason { listener, reason };
        self.connections_closed.get_or_create(&labels).inc();
    }

    /// Counts a certificate of a listener that was `published` or `refused`.
    pub fn certificate(&self, listener: &'static str, outcome: &'static str) {
        let labels = ListenerOutcome { listener, outcome };
        self.certificates.get_or_create(&labels).inc();
    }

    /// Says how many things are not as they should be.
    pub fn degraded(&self, count: usize) {
        self.degraded.set(whole(count));
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

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
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
        metrics.stage("decide", 0.000_03);
        metrics.policy("orders", "own", "determined");
        metrics.policy("orders", "own", "determined");
        metrics.reload("orders", "refused");
        metrics.key_age("corp", 61.0);
        metrics.queue("records", 7, 100);
        metrics.token_cache(3, 1);
        metrics.token_cache(5, 2);
        metrics.connections("grpc", 2);
        metrics.store_failing("ledger", true);
        metrics.operator_refusal("caller_lacks_right");
        metrics.bundles(&[("orders".to_owned(), "cd".to_owned())]);
        metrics.bundles(&[("orders".to_owned(), "ab".to_owned())]);
        let text = metrics.render();
        for line in [
            "doorward_decisions_total{bundle=\"orders\",outcome=\"allow\",cause=\"permitted\",face=\"grpc\"} 2",
            "doorward_refusals_total{code=\"malformed\",face=\"grpc\"} 1",
            "doorward_records_dropped_total 3",
            "doorward_members_dropped_total{face=\"authzen\"} 2",
            "doorward_answer_latency_seconds_bucket{le=\"0.00005\",face=\"grpc\"} 1",
            "doorward_stage_seconds_bucket{le=\"0.000032\",stage=\"decide\"} 1",
            "doorward_policies_total{bundle=\"orders\",policy=\"own\",result=\"determined\"} 2",
            "doorward_reloads_total{bundle=\"orders\",outcome=\"refused\"} 1",
            "doorward_key_age_seconds{issuer=\"corp\"} 61.0",
            "doorward_token_cache_total{result=\"hit\"} 5",
            "doorward_queue_depth{queue=\"records\"} 7",
            "doorward_connections{listener=\"grpc\"} 2",
            "doorward_store_failing{part=\"ledger\"} 1",
            "doorward_operator_refusals_total{code=\"caller_lacks_right\"} 1",
            "doorward_bundle_info{bundle=\"orders\",digest=\"ab\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "no `{line}` in:\n{text}");
        }
        assert!(
            !text.contains("\"cd\""),
            "digests of the past are gone:\n{text}"
        );
    }

    #[test]
    fn policies_beyond_the_bound_are_counted_together() {
        let metrics = Metrics::new();
        for n in 0..MAX_POLICIES + 5 {
            metrics.policy("orders", &n.to_string(), "determined");
        }
        metrics.policy("orders", "0", "determined");
        let text = metrics.render();
        let series = text
            .lines()
            .filter(|it| it.starts_with("doorward_policies_total{"));
        assert_eq!(series.count(), MAX_POLICIES + 1);
        for line in [
            "doorward_policies_total{bundle=\"orders\",policy=\"0\",result=\"determined\"} 2",
            "doorward_policies_total{bundle=\"orders\",policy=\"(more)\",result=\"determined\"} 5",
        ] {
            assert!(text.lines().any(|it| it == line), "no `{line}`");
        }
    }
}

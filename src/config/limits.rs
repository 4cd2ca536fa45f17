//! `[limits]` and `[otlp]`: how much at once, how large, how long; and where traces go.

use std::time::Duration;

use serde::Deserialize;

/// Bounds on what peers can make the server hold or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Connections of one listener.
    pub connections: usize,
    /// Streams of one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Requests that may wait for a thread before more are refused.
    pub queued: usize,
    /// Questions that are held while something is awaited for them.
    pub checks: usize,
    /// Batches at once.
    pub batches: usize,
    /// Open streams of questions.
    pub streams: usize,
    /// Explanations at once.
    pub explanations: usize,
    /// Explanations of one caller in a minute, as many of them at once.
    pub explanations_per_minute: usize,
    /// Questions in a batch.
    pub batch: usize,
    /// Questions in an AuthZEN request.
    pub evaluations: usize,
    /// Bytes of a gRPC message.
    pub message: usize,
    /// Bytes of a message of Envoy's `ext_authz`.
    pub ext_authz_message: usize,
    /// The longest time for a question or a batch.
    pub deadline: Duration,
    /// How long a TLS handshake, the first bytes or a request's headers may take.
    pub handshake: Duration,
    /// How long a request may take to arrive.
    pub request: Duration,
    /// How old a connection gets before it is asked to end.
    pub connection_age: Duration,
    /// How long calls in flight may take once the server ends.
    pub drain: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 10_000,
            streams_per_connection: 128,
            queued: 4096,
            checks: 4096,
            batches: 64,
            streams: 1024,
            explanations: 2,
            explanations_per_minute: 60,
            batch: 1000,
            evaluations: 100,
            message: 256 * 1024,
            // The largest header list that a proxy lets through, and a body as far as it is sent
            // along, with room to spare: a larger message is a request that nobody decides.
            ext_authz_message: 1024 * 1024,
            deadline: Duration::from_secs(1),
            handshake: Duration::from_secs(5),
            request: Duration::from_secs(5),
            connection_age: Duration::from_secs(30 * 60),
            drain: Duration::from_secs(10),
        }
    }
}

/// `[limits]` as written; durations in milliseconds or seconds, as their names say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    connections: Option<u64>,
    streams_per_connection: Option<u64>,
    queued: Option<u64>,
    checks: Option<u64>,
    batches: Option<u64>,
    streams: Option<u64>,
    explanations: Option<u64>,
    explanations_per_minute: Option<u64>,
    batch: Option<u64>,
    evaluations: Option<u64>,
    message_bytes: Option<u64>,
    ext_authz_message_bytes: Option<u64>,
    deadline_ms: Option<u64>,
    handshake_ms: Option<u64>,
    request_ms: Option<u64>,
    connection_age_s: Option<u64>,
    drain_ms: Option<u64>,
}

impl RawLimits {
    /// # Errors
    /// A value out of its bounds, with them.
    pub(super) fn read(&self) -> Result<LimitsConfig, String> {
        let default = LimitsConfig::default();
        let count = |name, given: &Option<u64>, default: usize, most: u64| {
            let most_count = usize::try_from(most).unwrap_or(usize::MAX);
            match bounded(name, *given, 1, most)? {
                None => Ok::<_, String>(default),
                Some(it) => Ok(usize::try_from(it).unwrap_or(most_count)),
            }
        };
        let time = |name, given: &Option<u64>, default, least, most, unit: fn(u64) -> Duration| {
            Ok::<_, String>(bounded(name, *given, least, most)?.map_or(default, unit))
        };
        let ms = Duration::from_millis as fn(u64) -> Duration;
        let per_connection = count(
            "streams_per_connection",
            &self.streams_per_connection,
            128,
            1000,
        )?;
        Ok(LimitsConfig {
            connections: count(
                "connections",
                &self.connections,
                default.connections,
                1_000_000,
            )?,
            streams_per_connection: u32::try_from(per_connection)
                .unwrap_or(default.streams_per_connection),
            queued: count("queued", &self.queued, default.queued, 1_000_000)?,
            checks: count("checks", &self.checks, default.checks, 1_000_000)?,
            batches: count("batches", &self.batches, default.batches, 10_000)?,
            streams: count("streams", &self.streams, default.streams, 100_000)?,
            explanations: count(
                "explanations",
                &self.explanations,
                default.explanations,
                1000,
            )?,
            explanations_per_minute: count(
                "explanations_per_minute",
                &self.explanations_per_minute,
                default.explanations_per_minute,
                60_000,
            )?,
            batch: count("batch", &self.batch, default.batch, 10_000)?,
            evaluations: count("evaluations", &self.evaluations, default.evaluations, 1000)?,
            message: count(
                "message_bytes",
                &self.message_bytes,
                default.message,
                4 << 20,
            )?,
            ext_authz_message: count(
                "ext_authz_message_bytes",
                &self.ext_authz_message_bytes,
                default.ext_authz_message,
                16 << 20,
            )?,
            deadline: time(
                "deadline_ms",
                &self.deadline_ms,
                default.deadline,
                1,
                30_000,
                ms,
            )?,
            handshake: time(
                "handshake_ms",
                &self.handshake_ms,
                default.handshake,
                10,
                60_000,
                ms,
            )?,
            request: time(
                "request_ms",
                &self.request_ms,
                default.request,
                10,
                60_000,
                ms,
            )?,
            connection_age: time(
                "connection_age_s",
                &self.connection_age_s,
                default.connection_age,
                1,
                7 * 24 * 3600,
                Duration::from_secs,
            )?,
            drain: time("drain_ms", &self.drain_ms, default.drain, 0, 300_000, ms)?,
        })
    }
}

fn bounded(name: &str, given: Option<u64>, least: u64, most: u64) -> Result<Option<u64>, String> {
    match given {
        Some(it) if !(least..=most).contains(&it) => Err(format!(
            "`limits.{name}` is {it}; it must be {least} to {most}"
        )),
        given => Ok(given),
    }
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpConfig {
    /// The receiver of OTLP over gRPC, as `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// The share of requests that are traced when their asker does not say, 0 to 1.
    pub ratio: f64,
}

/// `[otlp]` as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawOtlp {
    pub(super) endpoint: Option<String>,
    ratio: Option<f64>,
}

impl RawOtlp {
    /// # Errors
    /// An endpoint that is no address, or a ratio that is none.
    pub(super) fn read(self) -> Result<Option<OtlpConfig>, String> {
        let Some(endpoint) = self.endpoint else {
            return match self.ratio {
                Some(_) => Err("`otlp.ratio` traces to nowhere: give `otlp.endpoint`".to_owned()),
                None => Ok(None),
            };
        };
        if !endpoint.starts_with("http://") {
            return Err(format!(
                "`otlp.endpoint` is `{endpoint}`: expected an address such as \
                 `http://127.0.0.1:4317` (a collector on this machine; it can forward over TLS)"
            ));
        }
        let ratio = self.ratio.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&ratio) {
            return Err(format!("`otlp.ratio` is {ratio}; it must be 0 to 1"));
        }
        Ok(Some(OtlpConfig { endpoint, ratio }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(toml: &str) -> Result<LimitsConfig, String> {
        toml::from_str::<RawLimits>(toml).unwrap().read()
    }

    #[test]
    fn limits_have_limits() {
        assert_eq!(limits(""), Ok(LimitsConfig::default()));
        let given = limits("batch = 50\ndeadline_ms = 200\nconnection_age_s = 60").unwrap();
        assert_eq!(given.batch, 50);
        assert_eq!(given.deadline, Duration::from_millis(200));
        assert_eq!(given.connection_age, Duration::from_secs(60));
        for (toml, says) in [
            ("batch = 0", "`limits.batch` is 0; it must be 1 to 10000"),
            ("batch = 10001", "1 to 10000"),
            ("streams_per_connection = 1001", "1 to 1000"),
            ("message_bytes = 5000000", "1 to 4194304"),
            ("ext_authz_message_bytes = 20000000", "1 to 16777216"),
            ("evaluations = 1001", "1 to 1000"),
            ("deadline_ms = 0", "1 to 30000"),
        ] {
            let why = limits(toml).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
        assert!(toml::from_str::<RawLimits>("deadline = 1").is_err());
    }

    #[test]
    fn traces_go_to_a_collector_or_nowhere() {
        let otlp = |toml: &str| toml::from_str::<RawOtlp>(toml).unwrap().read();
        assert_eq!(otlp(""), Ok(None));
        let given = otlp("endpoint = \"http://127.0.0.1:4317\"\nratio = 0.1");
        let given = given.unwrap().unwrap();
        assert_eq!(
            (given.endpoint.as_str(), given.ratio),
            ("http://127.0.0.1:4317", 0.1)
        );
        assert!(otlp("ratio = 0.5").is_err_and(|why| why.contains("nowhere")));
        assert!(otlp("endpoint = \"127.0.0.1:4317\"").is_err_and(|why| why.contains("`http://")));
        let ratio = "endpoint = \"http://a\"\nratio = 2";
        assert!(otlp(ratio).is_err_and(|why| why.contains("0 to 1")));
    }
}

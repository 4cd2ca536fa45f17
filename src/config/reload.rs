//! `[reload]` and `[bundle_limits]`: how rules come in, and how many may.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::model::SignedDuration;

/// How changed rules come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadConfig {
    /// How often a bundle's directory is looked at without a hint that it changed.
    pub poll: Duration,
    /// How long it must stay as it is before it counts.
    pub settle: Duration,
    /// The same after it lost a file; not to be configured, and less for tests alone.
    pub lost: Duration,
    /// Whether the operating system is asked for hints.
    pub events: bool,
    /// Whether a bundle must pass its own cases; a bundle may turn this on, never off.
    pub gate: bool,
    /// How long its cases may take.
    pub gate_budget: Duration,
}

impl Default for ReloadConfig {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(30),
            settle: Duration::from_millis(200),
            lost: Duration::from_secs(5),
            events: true,
            gate: true,
            gate_budget: Duration::from_secs(10),
        }
    }
}

/// How large a bundle may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleLimitsConfig {
    /// The greatest size of one policy, in bytes.
    pub policy_bytes: usize,
    /// The greatest size of a bundle's files together, in bytes.
    pub bundle_bytes: usize,
    /// The greatest number of policies.
    pub policies: usize,
    /// The number of policies that one request may meet before that is warned of.
    pub candidates: usize,
}

impl Default for BundleLimitsConfig {
    fn default() -> Self {
        Self {
            policy_bytes: 64 << 10,
            bundle_bytes: 64 << 20,
            policies: 200_000,
            candidates: 500,
        }
    }
}

/// `[reload]` as written, and as printed.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawReload {
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<SignedDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle: Option<SignedDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate_budget: Option<SignedDuration>,
}

/// `[bundle_limits]` as written, and as printed.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawBundleLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<usize>,
}

impl RawReload {
    /// Sets one key; `None` when there is none of that name.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let set = match key {
            "poll" => parsed(value, "a duration such as `30s`").map(|it| self.poll = Some(it)),
            "settle" => {
                parsed(value, "a duration such as `200ms`").map(|it| self.settle = Some(it))
            }
            "events" => parsed(value, "`true` or `false`").map(|it| self.events = Some(it)),
            "gate" => parsed(value, "`true` or `false`").map(|it| self.gate = Some(it)),
            "gate_budget" => {
                parsed(value, "a duration such as `10s`").map(|it| self.gate_budget = Some(it))
            }
            _ => return None,
        };
        Some(set)
    }

    /// Checks what was written.
    ///
    /// # Errors
    /// The key that is out of bounds.
    pub(super) fn read(&self) -> Result<ReloadConfig, String> {
        let default = ReloadConfig::default();
        let (ms, seconds) = (SignedDuration::from_millis, SignedDuration::from_secs);
        let given = |key, value: Option<SignedDuration>, or, least, most| match value {
            Some(value) if value < least || value > most => Err(format!(
                "`reload.{key}` is {value:#}; it may be from {least:#} to {most:#}"
            )),
            Some(value) => Ok(value.unsigned_abs()),
            None => Ok(or),
        };
        Ok(ReloadConfig {
            poll: given("poll", self.poll, default.poll, ms(100), seconds(3_600))?,
            settle: given("settle", self.settle, default.settle, ms(10), seconds(60))?,
            lost: default.lost,
            events: self.events.unwrap_or(default.events),
            gate: self.gate.unwrap_or(default.gate),
            gate_budget: given(
                "gate_budget",
                self.gate_budget,
                default.gate_budget,
                ms(100),
                seconds(600),
            )?,
        })
    }

    pub(super) fn shown(config: &ReloadConfig) -> Self {
        let signed = |duration| SignedDuration::try_from(duration).ok();
        Self {
            poll: signed(config.poll),
            settle: signed(config.settle),
            events: Some(config.events),
            gate: Some(config.gate),
            gate_budget: signed(config.gate_budget),
        }
    }
}

impl RawBundleLimits {
    /// Sets one key; `None` when there is none of that name.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let place = match key {
            "policy_bytes" => &mut self.policy_bytes,
            "bundle_bytes" => &mut self.bundle_bytes,
            "policies" => &mut self.policies,
            "candidates" => &mut self.candidates,
            _ => return None,
        };
        Some(parsed(value, "a number").map(|it| *place = Some(it)))
    }

    /// Checks what was written.
    ///
    /// # Errors
    /// The key that is out of bounds: what the parser is known to withstand bounds a policy, what a
    /// machine holds the rest.
    pub(super) fn read(&self) -> Result<BundleLimitsConfig, String> {
        let default = BundleLimitsConfig::default();
        let given = |key, value: Option<usize>, or, most| match value {
            Some(value) if value == 0 || value > most => Err(format!(
                "`bundle_limits.{key}` is {value}; it may be from 1 to {most}"
            )),
            Some(value) => Ok(value),
            None => Ok(or),
        };
        Ok(BundleLimitsConfig {
            policy_bytes: given(
                "policy_bytes",
                self.policy_bytes,
                default.policy_bytes,
                1 << 20,
            )?,
            bundle_bytes: given(
                "bundle_bytes",
                self.bundle_bytes,
                default.bundle_bytes,
                1 << 30,
            )?,
            policies: given("policies", self.policies, default.policies, 2_000_000)?,
            candidates: given("candidates", self.candidates, default.candidates, 2_000_000)?,
        })
    }

    pub(super) fn shown(config: &BundleLimitsConfig) -> Self {
        Self {
            policy_bytes: Some(config.policy_bytes),
            bundle_bytes: Some(config.bundle_bytes),
            policies: Some(config.policies),
            candidates: Some(config.candidates),
        }
    }
}

fn parsed<T: FromStr>(value: &str, expected: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("expected {expected}, not `{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_has_a_default_and_what_is_printed_reads_the_same() {
        let reload = RawReload::default().read().unwrap();
        assert_eq!(reload, ReloadConfig::default());
        assert_eq!(RawReload::shown(&reload).read(), Ok(reload));
        let limits = RawBundleLimits::default().read().unwrap();
        assert_eq!(limits, BundleLimitsConfig::default());
        assert_eq!(RawBundleLimits::shown(&limits).read(), Ok(limits));
    }

    #[test]
    fn values_out_of_bounds_are_refused_by_name() {
        for (key, value) in [
            ("poll", "1ms"),
            ("poll", "2h"),
            ("settle", "-1s"),
            ("settle", "2m"),
            ("gate_budget", "0s"),
        ] {
            let mut raw = RawReload::default();
            raw.set(key, value).unwrap().unwrap();
            assert!(raw.read().unwrap_err().contains(key), "{key} = {value}");
        }
        for (key, value) in [("policy_bytes", "0"), ("policies", "9000000")] {
            let mut raw = RawBundleLimits::default();
            raw.set(key, value).unwrap().unwrap();
            assert!(raw.read().unwrap_err().contains(key), "{key} = {value}");
        }
    }

    #[test]
    fn keys_are_set_one_by_one() {
        let mut raw = RawReload::default();
        raw.set("poll", "1m").unwrap().unwrap();
        raw.set("gate", "false").unwrap().unwrap();
        let read = raw.read().unwrap();
        assert_eq!((read.poll, read.gate), (Duration::from_secs(60), false));
        assert!(raw.set("lost", "0s").is_none() && raw.set("gate", "no").unwrap().is_err());
        assert!(
            RawBundleLimits::default()
                .set("policies", "many")
                .unwrap()
                .is_err()
        );
    }
}

//! `[audit]`: what becomes of records.

use std::{path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    raw::from_text,
    sink::{RawSink, SinkConfig},
};
use crate::model::SignedDuration;

/// What becomes of decision records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// How safe a record is before its answer leaves.
    pub mode: AuditMode,
    /// The folder of the log; `None`: `audit` in the data directory.
    pub dir: Option<PathBuf>,
    /// A segment of this size is ended, in bytes.
    pub segment_bytes: u64,
    /// A segment of this age is ended.
    pub segment_age: Duration,
    /// Segments older than this are removed; `None`: never.
    pub keep_age: Option<Duration>,
    /// Segments beyond this size together are removed, in bytes; `None`: never.
    pub keep_bytes: Option<u64>,
    /// Nothing is removed, whatever its age or size.
    pub hold: bool,
    /// The node signs after so many records.
    pub checkpoint_records: u64,
    /// The node signs after so long.
    pub checkpoint_every: Duration,
    /// Denies of one subject that are recorded one by one, in a second; 0: all of them.
    pub denies_per_second: u64,
    /// What is replaced by pseudonyms.
    pub redact: Vec<Redact>,
    /// Where it is sent on to.
    pub sink: SinkConfig,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            mode: AuditMode::BestEffort,
            dir: None,
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(24 * 3600),
            keep_age: None,
            keep_bytes: None,
            hold: false,
            checkpoint_records: 1000,
            checkpoint_every: Duration::from_secs(10),
            denies_per_second: 100,
            redact: Vec::new(),
            sink: SinkConfig::default(),
        }
    }
}

/// How safe a record must be before its answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMode {
    /// It is on the disk.
    Required,
    /// Records may be lost under pressure; losses are counted, and told in the log.
    BestEffort,
    /// None are kept.
    Off,
}

impl AuditMode {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::BestEffort => "best_effort",
            Self::Off => "off",
        }
    }
}

impl FromStr for AuditMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let modes = [Self::Required, Self::BestEffort, Self::Off];
        let named = modes.into_iter().find(|mode| mode.as_str() == text);
        named.ok_or_else(|| format!("expected `required`, `best_effort` or `off`, not `{text}`"))
    }
}

/// What is replaced by a pseudonym.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Redact {
    /// `entity:User`: the ids of all entities of a type, wherever they are named.
    Entity(String),
    /// `attribute:email`: an attribute of any entity.
    Attribute(String),
    /// `context:ip`: a member of the context.
    Context(String),
    /// `path`: the path of HTTP requests.
    Path,
    /// `headers`: declared headers of HTTP requests.
    Headers,
    /// `token`: ids of tokens.
    Token,
    /// `request_id`: the asker's own id of a request.
    RequestId,
}

impl FromStr for Redact {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("entity", name)) if !name.is_empty() => Ok(Self::Entity(name.to_owned())),
            Some(("attribute", name)) if !name.is_empty() => Ok(Self::Attribute(name.to_owned())),
            Some(("context", name)) if !name.is_empty() => Ok(Self::Context(name.to_owned())),
            None if text == "path" => Ok(Self::Path),
            None if text == "headers" => Ok(Self::Headers),
            None if text == "token" => Ok(Self::Token),
            None if text == "request_id" => Ok(Self::RequestId),
            _ => Err(format!(
                "expected `entity:TYPE`, `attribute:NAME`, `context:NAME`, `path`, `headers`, `token` or `request_id`, not `{}`",
                text.escape_debug()
            )),
        }
    }
}

impl std::fmt::Display for Redact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entity(name) => write!(f, "entity:{name}"),
            Self::Attribute(name) => write!(f, "attribute:{name}"),
            Self::Context(name) => write!(f, "context:{name}"),
            Self::Path => f.write_str("path"),
            Self::Headers => f.write_str("headers"),
            Self::Token => f.write_str("token"),
            Self::RequestId => f.write_str("request_id"),
        }
    }
}

/// `[audit]` as written, and as printed.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAudit {
    #[serde(deserialize_with = "from_text", serialize_with = "mode_text")]
    pub(super) mode: Option<AuditMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) segment_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_age: Option<SignedDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_age: Option<SignedDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_every: Option<SignedDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denies_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redact: Vec<String>,
    #[serde(skip_serializing_if = "RawSink::is_none")]
    pub(super) sink: RawSink,
}

fn mode_text<S: serde::Serializer>(mode: &Option<AuditMode>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(mode.map_or("best_effort", AuditMode::as_str))
}

impl RawAudit {
    pub(super) fn read(self) -> Result<AuditConfig, String> {
        let default = AuditConfig::default();
        let span = |name: &str, given: Option<SignedDuration>| match given {
            Some(span) if span >= SignedDuration::from_secs(1) => Ok(Some(span.unsigned_abs())),
            Some(span) => Err(format!("`audit.{name}` is {span:#}; the least is 1s")),
            None => Ok(None),
        };
        let segment_bytes = self.segment_bytes.unwrap_or(default.segment_bytes);
        if !(1 << 20..=1 << 30).contains(&segment_bytes) {
            return Err(format!(
                "`audit.segment_bytes` is {segment_bytes}; it must be from 1048576 to 1073741824"
            ));
        }
        let checkpoint_records = self
            .checkpoint_records
            .unwrap_or(default.checkpoint_records);
        if checkpoint_records == 0 {
            return Err("`audit.checkpoint_records` must be at least 1".to_owned());
        }
        let redact = self
            .redact
            .iter()
            .map(|rule| rule.parse().map_err(|why| format!("`audit.redact`: {why}")));
        if self.mode == Some(AuditMode::Off) && !self.sink.is_none() {
            let why = "`audit.sink` has nothing to send on: `audit.mode` is `off`";
            return Err(why.to_owned());
        }
        Ok(AuditConfig {
            mode: self.mode.unwrap_or(default.mode),
            dir: self.dir,
            segment_bytes,
            segment_age: span("segment_age", self.segment_age)?.unwrap_or(default.segment_age),
            keep_age: span("keep_age", self.keep_age)?,
            keep_bytes: self.keep_bytes,
            hold: self.hold.unwrap_or(default.hold),
            checkpoint_records,
            checkpoint_every: span("checkpoint_every", self.checkpoint_every)?
                .unwrap_or(default.checkpoint_every),
            denies_per_second: self.denies_per_second.unwrap_or(default.denies_per_second),
            redact: redact.collect::<Result<_, _>>()?,
            sink: self.sink.read()?,
        })
    }

    pub(super) fn shown(it: &AuditConfig) -> Self {
        let span = |span: Duration| SignedDuration::try_from(span).ok();
        Self {
            mode: Some(it.mode),
            dir: it.dir.clone(),
            segment_bytes: Some(it.segment_bytes),
            segment_age: span(it.segment_age),
            keep_age: it.keep_age.and_then(span),
            keep_bytes: it.keep_bytes,
            hold: Some(it.hold),
            checkpoint_records: Some(it.checkpoint_records),
            checkpoint_every: span(it.checkpoint_every),
            denies_per_second: Some(it.denies_per_second),
            redact: it.redact.iter().map(ToString::to_string).collect(),
            sink: RawSink::shown(&it.sink),
        }
    }

    /// Sets one key; `None`: there is none of this name.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        fn put<T: FromStr>(
            place: &mut Option<T>,
            value: &str,
            expected: &str,
        ) -> Result<(), String> {
            let parsed = value.parse();
            *place = Some(parsed.map_err(|_| format!("expected {expected}, not `{value}`"))?);
            Ok(())
        }
        let (number, span) = ("a number", "a time such as `10s`");
        Some(match key {
            "mode" => value.parse().map(|mode| self.mode = Some(mode)),
            "dir" => {
                self.dir = Some(PathBuf::from(value));
                Ok(())
            }
            "segment_bytes" => put(&mut self.segment_bytes, value, number),
            "segment_age" => put(&mut self.segment_age, value, span),
            "keep_age" => put(&mut self.keep_age, value, span),
            "keep_bytes" => put(&mut self.keep_bytes, value, number),
            "hold" => put(&mut self.hold, value, "`true` or `false`"),
            "checkpoint_records" => put(&mut self.checkpoint_records, value, number),
            "checkpoint_every" => put(&mut self.checkpoint_every, value, span),
            "denies_per_second" => put(&mut self.denies_per_second, value, number),
            _ => return self.sink.set(key.strip_prefix("sink.")?, value),
        })
    }
}

//! `[audit.sink]`: where the decision log is sent on to, as it is written.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::raw::from_text;

/// What stands for standard output in the place of a path.
const STANDARD_OUTPUT: &str = "-";

/// Where the decision log is sent on to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkConfig {
    /// A file, or standard output.
    pub file: Option<FileSink>,
    /// A receiver of OTLP logs over gRPC, as `http://127.0.0.1:4317`.
    pub otlp: Option<String>,
}

/// Lines of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSink {
    /// The file, which is appended to; `None`: standard output.
    pub path: Option<PathBuf>,
    /// How each entry is written.
    pub format: SinkFormat,
}

/// How an entry of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkFormat {
    /// A line of JSON, as `doorward audit export` prints it.
    #[default]
    Json,
    /// An event of OCSF, for decisions and refusals alone.
    Ocsf,
}

impl SinkFormat {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ocsf => "ocsf",
        }
    }
}

impl FromStr for SinkFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "ocsf" => Ok(Self::Ocsf),
            other => Err(format!("expected `json` or `ocsf`, not `{other}`")),
        }
    }
}

/// `[audit.sink]` as written, and as printed.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSink {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(
        deserialize_with = "from_text",
        serialize_with = "format_text",
        skip_serializing_if = "Option::is_none"
    )]
    format: Option<SinkFormat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp: Option<String>,
}

fn format_text<S: serde::Serializer>(it: &Option<SinkFormat>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(it.unwrap_or_default().as_str())
}

impl RawSink {
    /// Whether nothing is sent anywhere.
    pub(super) fn is_none(&self) -> bool {
        self.path.is_none() && self.format.is_none() && self.otlp.is_none()
    }

    pub(super) fn read(self) -> Result<SinkConfig, String> {
        let file = match (self.path, self.format) {
            (Some(path), format) => Some(FileSink {
                path: (path != Path::new(STANDARD_OUTPUT)).then_some(path),
                format: format.unwrap_or_default(),
            }),
            (None, Some(_)) => {
                return Err("`audit.sink.format` is of no file: give `audit.sink.path`".to_owned());
            }
            (None, None) => None,
        };
        if let Some(otlp) = self.otlp.as_ref().filter(|it| !it.starts_with("http://")) {
            return Err(format!(
                "`audit.sink.otlp` is `{otlp}`: expected an address such as \
                 `http://127.0.0.1:4317` (a collector on this machine; it can forward over TLS)"
            ));
        }
        Ok(SinkConfig {
            file,
            otlp: self.otlp,
        })
    }

    pub(super) fn shown(it: &SinkConfig) -> Self {
        let path = |file: &FileSink| file.path.clone().unwrap_or_else(|| STANDARD_OUTPUT.into());
        Self {
            path: it.file.as_ref().map(path),
            format: it.file.as_ref().map(|file| file.format),
            otlp: it.otlp.clone(),
        }
    }

    /// Makes a relative path relative to `dir`.
    pub(super) fn rebase(&mut self, dir: &Path) {
        if let Some(path) = &mut self.path
            && *path != Path::new(STANDARD_OUTPUT)
        {
            *path = dir.join(&*path);
        }
    }

    /// Sets one key; `None`: there is none of this name.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        match key {
            "path" => self.path = Some(PathBuf::from(value)),
            "otlp" => self.otlp = Some(value.to_owned()),
            "format" => return Some(value.parse().map(|format| self.format = Some(format))),
            _ => return None,
        }
        Some(Ok(()))
    }
}

//! `[ledger]`: how much of what was stored can still be told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::SignedDuration;

/// How the ledger is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerConfig {
    /// For so long what was stored can still be told; `None`: until the ledger is next compacted.
    pub keep_age: Option<Duration>,
}

/// `[ledger]` as written, and as printed.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLedger {
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_age: Option<SignedDuration>,
}

impl RawLedger {
    /// Sets one key; `None` when there is none of that name.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        (key == "keep_age").then(|| {
            let parsed = value.parse();
            let expected = |_| format!("expected a time such as `720h`, not `{value}`");
            self.keep_age = Some(parsed.map_err(expected)?);
            Ok(())
        })
    }

    /// Checks what was written.
    ///
    /// # Errors
    /// The key that is out of bounds.
    pub(super) fn read(&self) -> Result<LedgerConfig, String> {
        match self.keep_age {
            Some(age) if age < SignedDuration::from_secs(1) => Err(format!(
                "`ledger.keep_age` is {age:#}; the least is 1s, and none keeps nothing"
            )),
            age => Ok(LedgerConfig {
                keep_age: age.map(SignedDuration::unsigned_abs),
            }),
        }
    }

    pub(super) fn shown(config: &LedgerConfig) -> Self {
        let age = config.keep_age;
        Self {
            keep_age: age.and_then(|age| SignedDuration::try_from(age).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Result<u64, &str>) {
        let mut raw = RawLedger::default();
        let set = raw.set("keep_age", value).unwrap();
        match (set.and_then(|()| raw.read()), expected) {
            (Ok(read), Ok(seconds)) => {
                assert_eq!(read.keep_age, Some(Duration::from_secs(seconds)));
                assert_eq!(RawLedger::shown(&read).read(), Ok(read));
            }
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn the_past_is_kept_for_at_least_a_second_or_not_at_all() {
        check("720h", Ok(2_592_000));
        check("0s", Err("the least is 1s"));
        check("-1h", Err("the least is 1s"));
        check("many", Err("not `many`"));
        assert_eq!(RawLedger::default().read(), Ok(LedgerConfig::default()));
        assert!(RawLedger::default().set("keep", "1h").is_none());
    }
}

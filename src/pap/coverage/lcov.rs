//! Coverage as LCOV's trace files, which editors and code hosts read.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, sync::Arc};

use super::Coverage;
use crate::policy::Place;

/// One file's record.
#[derive(Default)]
struct Record {
    /// Hits by line.
    lines: BTreeMap<usize, u64>,
    /// The line of each condition, how often it was true, and how often false.
    conditions: Vec<(usize, u64, u64)>,
}

/// The trace file; `directory` is the bundle's, as seen from where the file is read.
///
/// A policy's first line was hit as often as the policy decided, a condition's as often as it was
/// evaluated; each condition is a branch taken when true and one taken when false.
pub fn lcov(coverage: &Coverage<'_>, directory: &Path) -> String {
    let mut records: BTreeMap<Arc<str>, Record> = BTreeMap::new();
    let mut hit = |place: &Place, times: u64| {
        let record = records.entry(Arc::clone(&place.file)).or_default();
        let lines = &mut record.lines;
        *lines.entry(place.line).or_default() += times;
    };
    for (place, _, times) in &coverage.principals {
        hit(place, *times);
    }
    for (route, times) in &coverage.routes {
        hit(&route.place, *times);
    }
    for used in &coverage.policies {
        hit(&used.policy.place, used.decided);
        for it in &used.conditions {
            hit(&it.condition.place, it.yes + it.no);
        }
    }
    for used in &coverage.policies {
        if let Some(record) = records.get_mut(&used.policy.place.file) {
            let branches = used.conditions.iter();
            let branches = branches.map(|it| (it.condition.place.line, it.yes, it.no));
            record.conditions.extend(branches);
        }
    }
    let mut out = String::new();
    for (file, record) in records {
        let path = directory.join(&*file);
        out.push_str(&record.told(&path.display().to_string()));
    }
    out
}

impl Record {
    fn told(&self, path: &str) -> String {
        let mut out = format!("TN:\nSF:{}\n", path.replace(['\n', '\r'], " "));
        let mut branches = 0_u64;
        let mut taken = 0_u64;
        for (block, (line, yes, no)) in self.conditions.iter().enumerate() {
            for (branch, times) in [yes, no].into_iter().enumerate() {
                // `-` says that the condition was never evaluated at all.
                let told = match yes + no {
                    0 => "-".to_owned(),
                    _ => times.to_string(),
                };
                branches += 1;
                taken += u64::from(*times > 0);
                // Writing to a string cannot fail.
                let _written = writeln!(out, "BRDA:{line},{block},{branch},{told}");
            }
        }
        if branches > 0 {
            let _written = write!(out, "BRF:{branches}\nBRH:{taken}\n");
        }
        for (line, times) in &self.lines {
            let _written = writeln!(out, "DA:{line},{times}");
        }
        let hit = self.lines.values().filter(|times| **times > 0).count();
        let _written = write!(out, "LF:{}\nLH:{hit}\nend_of_record\n", self.lines.len());
        out
    }
}

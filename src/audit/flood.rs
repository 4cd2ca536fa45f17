//! Refusals to strangers: counted in full, kept by example, so that garbage can neither fill the log
//! nor delay it.

use std::collections::HashMap;

use super::format::{Class, Refusals, Sample, Tally, moment};
use crate::model::{Record, RecordOutcome};

/// Classes that are told apart within one second.
const CLASSES: usize = 256;
/// Examples of one class within one second.
const SAMPLES_OF_CLASS: usize = 8;
/// Examples of all of them within one second: 64 times some 300 bytes.
const SAMPLES: usize = 64;
/// Texts of an example are cut to so many bytes.
const TEXT: usize = 256;

/// What strangers were refused since the last time it was taken.
#[derive(Debug, Default)]
pub(super) struct Flood {
    classes: HashMap<Class, (u64, Vec<Sample>)>,
    beyond: u64,
    samples: usize,
}

impl Flood {
    /// Counts a refusal, whose record ends here.
    pub(super) fn count(&mut self, record: Record) {
        let RecordOutcome::Refusal {
            refusal,
            reason,
            detail,
        } = record.outcome
        else {
            return;
        };
        let class = Class {
            face: record.face,
            refusal: refusal.to_owned(),
            reason: reason.to_owned(),
            caller: record.caller.map(|name| name.to_string()),
            peer: record.peer,
        };
        if self.classes.len() >= CLASSES && !self.classes.contains_key(&class) {
            self.beyond += 1;
            return;
        }
        let (count, samples) = self.classes.entry(class).or_default();
        *count += 1;
        if samples.len() < SAMPLES_OF_CLASS && self.samples < SAMPLES {
            self.samples += 1;
            samples.push(Sample {
                time: moment(record.time),
                id: *record.decision_id.as_bytes(),
                request_id: record.request_id.map(cut),
                detail: cut(detail),
            });
        }
    }

    /// Takes what was counted; nothing when there is nothing.
    pub(super) fn take(&mut self, time: crate::model::Timestamp) -> Option<Refusals> {
        let Self {
            classes, beyond, ..
        } = std::mem::take(self);
        let told = classes.into_iter().map(|(class, (count, samples))| Tally {
            class: Some(class),
            count,
            samples,
        });
        let others = (beyond > 0).then_some(Tally {
            class: None,
            count: beyond,
            samples: Vec::new(),
        });
        let tallies: Vec<Tally> = told.chain(others).collect();
        (!tallies.is_empty()).then_some(Refusals {
            time: moment(time),
            tallies,
        })
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push('…');
    }
    text
}

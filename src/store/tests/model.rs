//! Whatever happens to it, a store is what a plain map says.

use std::collections::BTreeMap;

use super::*;
use crate::ledger::testing::{Dice, Fault};

/// What the plain map knows of one state.
#[derive(Clone, Default)]
struct Model {
    entities: BTreeMap<String, (String, u64)>,
    revoked: Vec<String>,
    sequence: u64,
    /// Every revision that this history has given out.
    revisions: Vec<Revision>,
}

impl Model {
    fn apply(&mut self, record: &LedgerRecord) -> bool {
        self.sequence += 1;
        match record {
            LedgerRecord::Revocation(it) => match &it.what {
                Revoked::Token(jti) => self.revoked.push(jti.clone()),
                _ => unreachable!(),
            },
            LedgerRecord::Entities(all) => {
                let mut next = self.entities.clone();
                for change in &all.changes {
                    let old = next.get(&change.id);
                    let holds = match change.expect {
                        Expect::Anything => true,
                        Expect::Absent => old.is_none(),
                        Expect::Present => old.is_some(),
                        Expect::Unchanged(n) => old.is_some_and(|(_, changed)| *changed == n),
                    };
                    if !holds {
                        return false;
                    }
                    match &change.put {
                        Some(put) => next.insert(
                            change.id.clone(),
                            (put.facts.get().to_owned(), self.sequence),
                        ),
                        None => next.remove(&change.id),
                    };
                }
                self.entities = next;
            }
            _ => {}
        }
        true
    }

    #[track_caller]
    fn compare(&self, version: &Version, seed: u64) {
        assert_eq!(version.chain().sequence, self.sequence, "seed {seed}");
        let found = version.directory("b").cloned().unwrap_or_default();
        assert_eq!(found.len(), self.entities.len(), "seed {seed}");
        for (id, (facts, changed)) in &self.entities {
            let stored = found.get(&Key::new("T", id)).unwrap();
            let facts: serde_json::Value = serde_json::from_str(facts).unwrap();
            assert_eq!(stored.changed(), *changed, "seed {seed}, {id}");
            let stored: serde_json::Value =
                serde_json::from_str(stored.attributes().text()).unwrap();
            assert_eq!(stored, facts["attrs"], "seed {seed}, {id}");
        }
        let revocations = version.revocations();
        assert!(
            self.revoked
                .iter()
                .all(|jti| revocations.revoke(&claims(jti, "x", Some(0))))
        );
    }
}

fn change(dice: &mut Dice, model: &Model) -> Change {
    let id = format!("e{}", dice.below(12));
    let known = model.entities.get(&id).map_or(0, |(_, changed)| *changed);
    let expect = match dice.below(8) {
        0 => Expect::Absent,
        1 => Expect::Present,
        2 => Expect::Unchanged(known),
        _ => Expect::Anything,
    };
    let change = match dice.percent(30) {
        true => delete(&id),
        false => put(&id, &json!({ "n": dice.below(1000) }), &[]),
    };
    Change { expect, ..change }
}

/// Writes, deletes, batches, revocations, crashes, restores and reads at revisions, against a map.
#[test]
fn whatever_happens_the_store_is_what_a_plain_map_says() {
    let steps: u64 = std::env::var("LEDGER_STEPS").map_or(20_000, |it| it.parse().unwrap());
    let (mut done, mut seed) = (0, 0);
    while done < steps {
        seed += 1;
        let mut dice = Dice::new(seed);
        let data = tempfile::tempdir().unwrap();
        let mut disk = FakeDisk::default();
        let mut model = Model::default();
        let mut backup: Option<(FakeDisk, Model)> = None;
        let mut lost: Vec<Revision> = Vec::new();
        let mut running = Running::open(on(&disk, &data)).unwrap();
        for _ in 0..300 {
            done += 1;
            match dice.below(100) {
                0..80 => {
                    let record = match dice.percent(10) {
                        true => revocation(Revoked::Token(format!("t{}", dice.below(50))), at(0)),
                        false => {
                            let count = 1 + dice.below(3);
                            entities((0..count).map(|_| change(&mut dice, &model)).collect())
                        }
                    };
                    let written = running.write(&record).unwrap();
                    let applied = model.apply(&record);
                    assert_eq!(written.outcome == Outcome::Applied, applied, "seed {seed}");
                    model.revisions.push(written.revision);
                }
                80..88 => {
                    let n = usize::try_from(dice.below(1 + model.revisions.len() as u64)).unwrap();
                    if let Some(revision) = model.revisions.get(n) {
                        assert_eq!(running.reach(revision), Reach::Reached, "seed {seed}");
                    }
                    if let Some(revision) = lost.last() {
                        assert_eq!(running.reach(revision), Reach::Lost, "seed {seed}");
                    }
                }
                88..94 => {
                    // A write may be on its way when the power fails: it is there whole, or not.
                    let on_its_way = dice.percent(50).then(|| {
                        disk.fail(
                            if dice.percent(50) {
                                Fault::Sync
                            } else {
                                Fault::Write
                            },
                            0,
                        );
                        let record = entities(vec![change(&mut dice, &model)]);
                        let written = running.write(&record);
                        // The fault may have met a new segment in place of the record.
                        if let Ok(written) = &written {
                            model.apply(&record);
                            model.revisions.push(written.revision.clone());
                        }
                        written.is_err().then_some(record)
                    });
                    let on_its_way = on_its_way.flatten();
                    let chance = dice.below(101);
                    disk.crash(&mut || dice.percent(chance));
                    let _of_an_earlier_life = running.end();
                    running = Running::open(on(&disk, &data)).unwrap();
                    if let Some(record) = on_its_way
                        && running.store.pin().chain().sequence > model.sequence
                    {
                        model.apply(&record);
                    }
                }
                94..96 => {
                    RUNTIME.block_on(running.store.rotate());
                    running.store.compact().unwrap();
                }
                96..98 => backup = Some((disk.copy(), model.clone())),
                _ => {
                    let Some((copy, then)) = backup.take() else {
                        continue;
                    };
                    running.end().unwrap();
                    let since = model.revisions.split_off(then.revisions.len());
                    lost.extend(since);
                    (disk, model) = (copy, then);
                    let mut options = on(&disk, &data);
                    options.log.new_epoch = true;
                    running = Running::open(options).unwrap();
                }
            }
            model.compare(&running.store.pin(), seed);
        }
        let _ended = running.end();
    }
}

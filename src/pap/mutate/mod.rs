//! Whether the cases would notice: each policy is changed a little, one change at a time, and some
//! case must fail.

mod sites;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt, ops::Range, sync::Arc};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::{cases::run_case, pool::pool};
use crate::{
    bundle::{BundleFiles, CompileOptions, Snapshot},
    policy::{Place, core::TypeName},
};
pub use sites::mutants;
pub(super) use sites::string_length;

/// A bundle with one small change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The policy that is changed.
    pub policy: Arc<str>,
    /// Where.
    pub place: Place,
    /// What is changed.
    pub change: Alteration,
    /// The author's text.
    pub before: String,
    /// What stands there instead.
    pub after: String,
    /// Where that is in the file, in bytes.
    span: Range<usize>,
}

/// What a mutant changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alteration {
    /// A permit forbids, or a forbid permits.
    Effect,
    /// The head asks nothing of the principal, action or resource.
    Head,
    /// A condition holds always, or never.
    Drop,
    /// A condition holds when it did not.
    Negate,
}

impl fmt::Display for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Effect => "effect",
            Self::Head => "head",
            Self::Drop => "dropped",
            Self::Negate => "negated",
        })
    }
}

/// What came of the mutants.
#[derive(Debug, Default)]
pub struct MutationReport {
    /// How many some case noticed.
    pub noticed: usize,
    /// How many the schema does not allow in the first place.
    pub refused: usize,
    /// How many ask for nothing else, since the schema leaves no other choice.
    pub same: usize,
    /// Those that nothing noticed.
    pub survived: Vec<Mutant>,
    /// How many were not tried, since there were more than asked for.
    pub left_out: usize,
}

/// What came of one mutant.
enum Fate {
    Noticed,
    Refused,
    Same,
    Survived,
}

/// Tries at most `most` mutants of a bundle whose cases pass; of more, those that are spread evenly.
pub fn mutate(files: &BundleFiles, snapshot: &Snapshot, most: usize) -> MutationReport {
    let all = mutants(files, snapshot);
    let chosen = spread(&all, most);
    let fates: Vec<(&Mutant, Fate)> = pool(|| {
        let fates = chosen
            .par_iter()
            .map(|mutant| (*mutant, fate(files, snapshot, mutant)));
        fates.collect()
    });
    let mut report = MutationReport {
        left_out: all.len() - chosen.len(),
        ..MutationReport::default()
    };
    for (mutant, fate) in fates {
        match fate {
            Fate::Noticed => report.noticed += 1,
            Fate::Refused => report.refused += 1,
            Fate::Same => report.same += 1,
            Fate::Survived => report.survived.push(mutant.clone()),
        }
    }
    report
}

/// At most `most`, from the whole length.
fn spread(all: &[Mutant], most: usize) -> Vec<&Mutant> {
    let every = all.len().div_ceil(most.max(1)).max(1);
    all.iter().step_by(every).take(most).collect()
}

fn fate(files: &BundleFiles, before: &Snapshot, mutant: &Mutant) -> Fate {
    let Some(changed) = mutant.apply(files) else {
        return Fate::Refused;
    };
    match Snapshot::compile(&changed, &CompileOptions::default()) {
        Err(_) => Fate::Refused,
        Ok(snapshot) if mutant.asks_the_same(before, &snapshot) => Fate::Same,
        Ok(snapshot) => {
            let mut cases = snapshot.cases.iter().flat_map(|file| &file.cases);
            match cases.any(|case| run_case(&snapshot, case).is_some()) {
                true => Fate::Noticed,
                false => Fate::Survived,
            }
        }
    }
}

impl Mutant {
    /// Whether a head asked only for types that the schema demands anyway.
    fn asks_the_same(&self, before: &Snapshot, after: &Snapshot) -> bool {
        let names_entities = self.after != "action" && self.before.contains('"');
        let questions = |snapshot: &Snapshot| {
            let policy = snapshot.policies.get(&self.policy)?;
            let applies = policy.applies(&snapshot.schema).into_iter();
            let types =
                |names: Vec<&TypeName>| names.into_iter().cloned().collect::<BTreeSet<TypeName>>();
            let questions = applies.map(|it| {
                let (principals, resources) = (types(it.principals), types(it.resources));
                (it.action.uid.clone(), principals, resources)
            });
            Some(questions.collect::<BTreeSet<_>>())
        };
        self.change == Alteration::Head && !names_entities && questions(before) == questions(after)
    }

    /// The files with the change.
    fn apply(&self, files: &BundleFiles) -> Option<BundleFiles> {
        let text = files.get(&self.place.file)?;
        let (before, after) = (text.get(..self.span.start)?, text.get(self.span.end..)?);
        let mut changed = files.clone();
        changed.insert(
            Arc::clone(&self.place.file),
            format!("{before}{}{after}", self.after),
        );
        Some(changed)
    }
}

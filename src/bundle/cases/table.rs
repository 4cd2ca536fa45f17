//! Tables: subjects × actions × resources, an outcome in each cell.

use std::sync::Arc;

use serde_saphyr::Spanned;

use super::{
    Case, CaseQuestion, Expectation, ExpectedOutcome,
    fixtures::{Fixtures, Problem, entity_facts, members, timestamp},
    raw::{RawEntityRef, RawTable, Row, Words},
    read::Source,
};
use crate::{
    model::{EntityFacts, Members, Timestamp},
    policy::{Fault, Place},
};

const OUTCOMES: [(&str, Option<ExpectedOutcome>); 4] = [
    ("allow", Some(ExpectedOutcome::Allow)),
    ("deny", Some(ExpectedOutcome::Deny)),
    ("refused", Some(ExpectedOutcome::Refused)),
    // Nothing is asked.
    ("-", None),
];

/// A word with its place.
struct Word {
    text: String,
    place: Place,
}

/// What all cells of a table share.
struct Table<'f> {
    name: String,
    now: Timestamp,
    actions: Vec<Word>,
    resources: Vec<(String, EntityFacts)>,
    entities: Vec<EntityFacts>,
    context: Members,
    fixtures: &'f Fixtures,
}

/// Reads a table as the cases that its cells are.
pub(super) fn read(
    raw: Spanned<RawTable>,
    source: &Source<'_>,
    fixtures: &Fixtures,
    room: usize,
    cases: &mut Vec<Case>,
    faults: &mut Vec<Fault>,
) {
    let place = source.place(raw.referenced);
    let (mut found, before) = (Vec::new(), faults.len());
    let (table, rows) = match Table::head(raw.value, source, fixtures) {
        Ok(read) => read,
        Err(why) => return faults.push(why.at("table", place)),
    };
    let cells = [table.actions.len(), table.resources.len(), rows.len()]
        .into_iter()
        .fold(1, usize::saturating_mul);
    if cells > room {
        let message = format!("table `{}` is {cells} cases, more than may be", table.name);
        return faults.push(Fault::at("too_many_cases", place, message));
    }
    for (subject, row) in rows {
        table.row(&subject, row, source, &mut found, faults);
    }
    if found.is_empty() && faults.len() == before {
        let message = format!("table `{}` asks nothing", table.name);
        faults.push(Fault::at("table", place, message).help("give it rows with outcomes"));
    }
    cases.extend(found);
}

type Rows = Vec<(String, Spanned<Row>)>;

impl<'f> Table<'f> {
    fn head(
        raw: RawTable,
        source: &Source<'_>,
        fixtures: &'f Fixtures,
    ) -> Result<(Self, Rows), Problem> {
        let now = match &raw.now {
            Some(own) => Some(timestamp(own)?),
            None => fixtures.now,
        };
        let resources = words(raw.resources, source).into_iter().map(|word| {
            let facts = fixtures.resource(RawEntityRef::Name(word.text.clone()))?;
            Ok((word.text, facts))
        });
        let entities = raw.entities.into_iter().map(entity_facts);
        let table = Self {
            now: now.ok_or("needs `now`, here or at the top of the file")?,
            actions: words(raw.actions, source),
            resources: resources.collect::<Result<_, Problem>>()?,
            entities: entities.collect::<Result<_, _>>()?,
            context: members(raw.context),
            name: raw.name,
            fixtures,
        };
        if table.actions.is_empty() || table.resources.is_empty() {
            return Err(format!("table `{}` needs actions and resources", table.name).into());
        }
        Ok((table, raw.expect.0))
    }

    fn row(
        &self,
        subject: &str,
        row: Spanned<Row>,
        source: &Source<'_>,
        cases: &mut Vec<Case>,
        faults: &mut Vec<Fault>,
    ) {
        let place = source.place(row.referenced);
        let who = match self.fixtures.subject(subject) {
            Ok(who) => who,
            Err(why) => return faults.push(why.at("table", place)),
        };
        let mut each = match row.value {
            Row::Every(outcomes) => {
                let outcomes = words(Spanned::new(outcomes, row.referenced, row.defined), source);
                let outcomes = self.outcomes(&outcomes, &place, faults);
                for resource in &self.resources {
                    self.cells(subject, &who, resource, &outcomes, cases);
                }
                return;
            }
            Row::Each(each) => each,
        };
        let known = || self.resources.iter().map(|(name, _)| name.as_str());
        let before = faults.len();
        for (name, outcomes) in &each {
            if !known().any(|it| it == name) {
                let why = Problem::unknown("resource of this table", name, known());
                faults.push(why.at("table", source.place(outcomes.referenced)));
            }
        }
        if faults.len() > before {
            return;
        }
        for resource in &self.resources {
            match each.remove(&resource.0) {
                Some(outcomes) => {
                    let outcomes = words(outcomes, source);
                    let outcomes = self.outcomes(&outcomes, &place, faults);
                    self.cells(subject, &who, resource, &outcomes, cases);
                }
                None => {
                    let message = format!("row `{subject}` says nothing of `{}`", resource.0);
                    let help = "write `-` for each action that is not asked about";
                    faults.push(Fault::at("table", place.clone(), message).help(help));
                }
            }
        }
    }

    /// One outcome for each action, where something is asked.
    fn outcomes<'w>(
        &self,
        row: &'w [Word],
        place: &Place,
        faults: &mut Vec<Fault>,
    ) -> Vec<(&'w Place, &Word, ExpectedOutcome)>
    where
        Self: 'w,
    {
        if row.len() != self.actions.len() {
            let (have, want) = (row.len(), self.actions.len());
            let message = format!("a row of {have} outcomes, for {want} actions");
            let at = row.first().map_or(place, |word| &word.place);
            let help = "one of `allow`, `deny`, `refused` or `-` for each action";
            faults.push(Fault::at("table", at.clone(), message).help(help));
            return Vec::new();
        }
        let mut outcomes = Vec::new();
        for (action, cell) in self.actions.iter().zip(row) {
            match OUTCOMES.iter().find(|(word, _)| *word == cell.text) {
                Some((_, Some(outcome))) => outcomes.push((&cell.place, action, *outcome)),
                Some((_, None)) => {}
                None => {
                    let known = OUTCOMES.iter().map(|(word, _)| *word);
                    let why = Problem::unknown("outcome", &cell.text, known);
                    let length = cell.text.chars().count();
                    faults.push(why.at("table", cell.place.clone()).over(length));
                }
            }
        }
        outcomes
    }

    fn cells(
        &self,
        subject: &str,
        who: &Arc<super::SubjectSpec>,
        (resource, facts): &(String, EntityFacts),
        outcomes: &[(&Place, &Word, ExpectedOutcome)],
        cases: &mut Vec<Case>,
    ) {
        for (place, action, outcome) in outcomes {
            let action = &action.text;
            cases.push(Case {
                name: format!("{}: {subject} {action} {resource}", self.name),
                place: (*place).clone(),
                now: self.now,
                subject: Arc::clone(who),
                question: CaseQuestion::Named {
                    action: action.clone(),
                    properties: Members::new(),
                    resource: facts.clone(),
                },
                entities: self.entities.clone(),
                context: self.context.clone(),
                expect: Expectation::only(*outcome),
            });
        }
    }
}

/// The words with their places.
fn words(words: Spanned<Words>, source: &Source<'_>) -> Vec<Word> {
    match words.value {
        Words::List(list) => {
            let word = |it: Spanned<String>| Word {
                place: source.place(it.referenced),
                text: it.value,
            };
            list.into_iter().map(word).collect()
        }
        Words::Text(text) => {
            let start = source.place(words.referenced);
            // Quotes, folds and aliases move what is inside.
            let as_written = source.from(&start).starts_with(&text);
            let word = |word: &str| {
                let before = word.as_ptr() as usize - text.as_ptr() as usize;
                let before = text.get(..before).map_or(0, |it| it.chars().count());
                Word {
                    place: Place {
                        column: start.column + if as_written { before } else { 0 },
                        ..start.clone()
                    },
                    text: word.to_owned(),
                }
            };
            text.split_whitespace().map(word).collect()
        }
    }
}

//! Texts → cases, with what they include.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use serde_saphyr::Location;

use super::{
    Case, CaseQuestion, Cases, ExpectedOutcome,
    fixtures::{Fixtures, Problem, entity_facts, members, timestamp},
    raw::{RawAction, RawCase, RawFile},
    table,
};
use crate::{
    bundle::BundleFiles,
    model::Members,
    policy::{Fault, Lines, Place, suggestion},
};

/// The greatest number of cases of a bundle; a short table makes many.
const MAX_CASES: usize = 100_000;

/// One file, for telling places.
pub(super) struct Source<'t> {
    file: Arc<str>,
    text: &'t str,
    lines: Lines<'t>,
}

impl<'t> Source<'t> {
    fn new(file: &Arc<str>, text: &'t str) -> Self {
        Self {
            file: Arc::clone(file),
            text,
            lines: Lines::new(file, text),
        }
    }

    /// What is written from a place on.
    pub(super) fn from(&self, place: &Place) -> &'t str {
        let offset = self.lines.offset(place);
        offset.and_then(|at| self.text.get(at..)).unwrap_or("")
    }

    pub(super) fn place(&self, location: Location) -> Place {
        Place {
            file: Arc::clone(&self.file),
            line: usize::try_from(location.line()).unwrap_or(1),
            column: usize::try_from(location.column()).unwrap_or(1),
        }
    }
}

/// One file, read as far as it can be without others.
struct Parsed<'t> {
    source: Source<'t>,
    raw: RawFile,
    own: Fixtures,
}

/// Reads the cases of a bundle, file by file; those that only others include have none.
pub(in crate::bundle) fn compile(files: &BundleFiles, faults: &mut Vec<Fault>) -> Vec<Cases> {
    let mut parsed: BTreeMap<&str, Parsed<'_>> = BTreeMap::new();
    let mut broken: HashSet<&str> = HashSet::new();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("tests/")) {
        let source = Source::new(path, text);
        match serde_saphyr::from_str::<RawFile>(text) {
            Ok(mut raw) => {
                let own = Fixtures::of(&mut raw, &source, faults);
                parsed.insert(path, Parsed { source, raw, own });
            }
            Err(error) => {
                faults.push(yaml_fault(&source, &error));
                broken.insert(path);
            }
        }
    }
    let mut included: BTreeSet<String> = BTreeSet::new();
    let mut fixtures: BTreeMap<&str, Fixtures> = BTreeMap::new();
    for (path, file) in &parsed {
        let mut all = file.own.clone();
        let mut whole = true;
        for include in &file.raw.include {
            let place = file.source.place(include.referenced);
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let target = format!("{folder}/{}", include.value);
            match parsed.get(target.as_str()) {
                Some(other) if target != **path => all.include(&other.own, &place, faults),
                Some(_) => faults.push(Fault::at("case", place, "a file does not include itself")),
                None => {
                    whole = false;
                    if !broken.contains(target.as_str()) {
                        let prefix = format!("{folder}/");
                        let known = parsed.keys().filter_map(|path| path.strip_prefix(&*prefix));
                        let why = Problem::unknown("file", &include.value, known);
                        faults.push(why.at("case", place));
                    }
                }
            }
            included.insert(target);
        }
        // What a broken file would have defined is not known, so nothing is told to be unknown.
        if whole {
            fixtures.insert(path, all);
        }
    }
    let mut all: Vec<Cases> = Vec::new();
    for (path, file) in parsed {
        let empty = file.raw.cases.is_empty() && file.raw.tables.is_empty();
        match fixtures.get(path) {
            _ if empty && included.contains(path) => {}
            _ if empty => {
                let help = "write at least one case, or include the file from another";
                faults.push(Fault::in_file("no_cases", path, "has no cases").help(help));
            }
            Some(fixtures) => {
                let room = MAX_CASES.saturating_sub(all.iter().map(|it| it.cases.len()).sum());
                all.push(file.cases(fixtures, room, faults));
            }
            None => {}
        }
    }
    unique(&all, faults);
    all
}

fn unique(all: &[Cases], faults: &mut Vec<Fault>) {
    let mut names: BTreeMap<&str, &Place> = BTreeMap::new();
    for case in all.iter().flat_map(|cases| &cases.cases) {
        if let Some(first) = names.insert(&case.name, &case.place) {
            let message = format!("there is another case named `{}`, at {first}", case.name);
            faults.push(Fault::at("case", case.place.clone(), message));
        }
    }
}

impl Parsed<'_> {
    fn cases(self, fixtures: &Fixtures, room: usize, faults: &mut Vec<Fault>) -> Cases {
        let mut cases = Vec::with_capacity(self.raw.cases.len());
        for raw in self.raw.cases {
            let place = self.source.place(raw.referenced);
            match Case::read(raw.value, place.clone(), fixtures) {
                Ok(case) => cases.push(case),
                Err(why) => faults.push(why.at("case", place)),
            }
        }
        for raw in self.raw.tables {
            let left = room.saturating_sub(cases.len());
            table::read(raw, &self.source, fixtures, left, &mut cases, faults);
        }
        if cases.len() > room {
            let message = format!("the bundle has more than {MAX_CASES} cases");
            faults.push(Fault::in_file("too_many_cases", &self.source.file, message));
        }
        Cases {
            file: self.source.file,
            cases,
        }
    }
}

impl Case {
    fn read(raw: RawCase, place: Place, fixtures: &Fixtures) -> Result<Self, Problem> {
        let now = match &raw.now {
            Some(own) => Some(timestamp(own)?),
            None => fixtures.now,
        };
        let now = now.ok_or("needs `now`, here or at the top of the file")?;
        let question = match (raw.action, raw.resource, raw.request) {
            (Some(action), Some(resource), None) => {
                let (action, properties) = match action {
                    RawAction::Name(name) => (name, Members::new()),
                    RawAction::With(with) => (with.name, members(with.properties)),
                };
                CaseQuestion::Named {
                    action,
                    properties,
                    resource: fixtures.resource(resource)?,
                }
            }
            (None, None, Some(request)) => CaseQuestion::Http {
                method: request.method,
                host: request.host,
                path: request.path,
                headers: request.headers,
            },
            _ => return Err("needs either `action` and `resource`, or `request`".into()),
        };
        if raw.expect.decision != ExpectedOutcome::Refused && raw.expect.refusal.is_some() {
            return Err("expects a refusal's name, but not `decision: refused`".into());
        }
        let entities = raw.entities.into_iter().map(entity_facts);
        Ok(Self {
            name: raw.name,
            place,
            now,
            subject: fixtures.subject_of(raw.subject)?,
            question,
            entities: entities.collect::<Result<_, _>>()?,
            context: members(raw.context),
            expect: raw.expect,
        })
    }
}

fn yaml_fault(source: &Source<'_>, error: &serde_saphyr::Error) -> Fault {
    let (place, length) = match error.location() {
        Some(at) => (
            source.place(at),
            usize::try_from(at.span().len()).unwrap_or(0),
        ),
        None => (Place::start(&source.file), 0),
    };
    let message = error.without_snippet().to_string();
    // Its place is told already.
    let message = message
        .rsplit_once(" at line ")
        .map_or(&*message, |(it, _)| it);
    let help = suggestion(message);
    let fault = Fault::at("yaml", place, message).over(length);
    match help {
        Some(help) => fault.help(help),
        None => fault,
    }
}

//! Lints of the schema: parts that nothing uses.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use cedar_policy::SchemaFragment;
use serde_json::Value;
use smol_str::SmolStr;

use super::{Looked, needless};
use crate::{
    bundle::{BundleFiles, Snapshot},
    model::Effect,
    policy::{Fault, Lines, Place, RecordType, Standard, Type, allowed_lints, core::TypeName},
};

const CODE: &str = "unused_schema";
const FILE: &str = "schema.cedarschema";
const OURS: &str = "Doorward::";

pub(super) fn lints(
    looked: &[Looked<'_>],
    files: &BundleFiles,
    snapshot: &Snapshot,
    found: &mut Vec<Fault>,
) {
    let text = files.get(FILE).unwrap_or_default();
    let mut told = Told {
        allowed: Annotated::read(text),
        text,
        lines: Lines::new(&Arc::from(FILE), text),
        used: HashSet::new(),
        found,
    };
    told.types(looked, snapshot);
    told.actions(looked, snapshot);
    told.attributes(looked, snapshot);
    let Told {
        allowed,
        used,
        lines,
        ..
    } = told;
    for (path, code) in &allowed.codes {
        if !used.contains(&(path.clone(), code.clone())) {
            let place = place_of(text, &lines, path);
            found.push(needless(code).placed(&place));
        }
    }
    let malformed = allowed.faults.into_iter().map(|(path, why)| {
        let place = place_of(text, &lines, &path);
        Fault::at("needless_allow_lint", place, why)
    });
    found.extend(malformed);
}

struct Told<'f, 't> {
    text: &'t str,
    lines: Lines<'t>,
    allowed: Annotated,
    used: HashSet<(Vec<String>, String)>,
    found: &'f mut Vec<Fault>,
}

impl Told<'_, '_> {
    /// Tells of one part, by the words that lead to it, unless it is allowed.
    fn tell(&mut self, path: &[&str], message: String) {
        let path: Vec<String> = path.iter().map(|it| (*it).to_owned()).collect();
        let entry = (path, CODE.to_owned());
        if self.allowed.codes.contains(&entry) {
            self.used.insert(entry);
            return;
        }
        let place = place_of(self.text, &self.lines, &entry.0);
        let length = entry.0.last().map_or(0, |name| name.chars().count());
        let help = "take it away, or say why it stays: `@allow_lint(\"unused_schema: …\")`";
        let fault = Fault::at(CODE, place, message).over(length);
        self.found.push(fault.help(help));
    }

    fn types(&mut self, looked: &[Looked<'_>], snapshot: &Snapshot) {
        let schema = &snapshot.schema;
        let mut used: HashSet<TypeName> = HashSet::new();
        let mut open: Vec<TypeName> = Vec::new();
        for action in schema.actions() {
            open.extend(action.principals.iter().chain(&action.resources).cloned());
            refers(&action.context, &mut open);
        }
        for it in looked {
            open.extend(it.survey.types.iter().cloned());
            open.extend(it.policy.head_types());
        }
        while let Some(name) = open.pop() {
            if used.insert(name.clone())
                && let Some(def) = schema.entity_type(&name)
            {
                refers(&def.attributes, &mut open);
                open.extend(def.ancestors.iter().cloned());
            }
        }
        let mut unused: Vec<String> = schema
            .entity_types()
            .filter(|(name, _)| !used.contains(*name))
            .map(|(name, _)| name.to_string())
            .filter(|name| !name.starts_with(OURS))
            .collect();
        unused.sort();
        for name in unused {
            let message = format!("nothing uses entity type `{name}`");
            self.tell(&["entity", base(&name)], message);
        }
    }

    fn actions(&mut self, looked: &[Looked<'_>], snapshot: &Snapshot) {
        let permits = looked
            .iter()
            .filter(|it| it.policy.effect() == Effect::Permit)
            .flat_map(|it| it.applies.iter().map(|envs| &envs.action.uid));
        let permitted: HashSet<_> = permits.collect();
        if permitted.is_empty() {
            // That is told once, of the bundle.
            return;
        }
        for action in snapshot.schema.actions() {
            let is_asked = !action.principals.is_empty() && !action.resources.is_empty();
            if is_asked && !permitted.contains(&action.uid) {
                let id = AsRef::<str>::as_ref(action.uid.eid());
                let message = format!("no policy permits {}, so it is always denied", action.uid);
                self.tell(&["action", id], message);
            }
        }
    }

    fn attributes(&mut self, looked: &[Looked<'_>], snapshot: &Snapshot) {
        let read: BTreeSet<&SmolStr> = looked.iter().flat_map(|it| &it.survey.attributes).collect();
        let mut types: Vec<_> = snapshot.schema.entity_types().collect();
        types.sort_by(|a, b| a.0.cmp(b.0));
        for (name, def) in types {
            let name = name.to_string();
            for attribute in def.attributes.members.keys() {
                if !read.contains(attribute) && !name.starts_with(OURS) {
                    let message = format!("no policy reads attribute `{attribute}` of `{name}`");
                    self.tell(&["entity", base(&name), attribute], message);
                }
            }
        }
        for action in snapshot.schema.actions() {
            for member in action.context.members.keys() {
                if !read.contains(member) && Standard::named(member).is_none() {
                    let id = AsRef::<str>::as_ref(action.uid.eid());
                    let message = format!("no policy reads `context.{member}` of {}", action.uid);
                    self.tell(&["action", id, member], message);
                }
            }
        }
    }
}

fn refers(record: &RecordType, to: &mut Vec<TypeName>) {
    for member in record.members.values() {
        let mut ty = &member.ty;
        while let Type::Set(item) = ty {
            ty = item;
        }
        match ty {
            Type::Entity(name) => to.push(name.clone()),
            Type::Record(record) => refers(record, to),
            _ => {}
        }
    }
}

fn base(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

/// Where the words that lead to a part stand, one after the other.
fn place_of(text: &str, lines: &Lines<'_>, path: &[String]) -> Place {
    let (kind, rest) = path
        .split_first()
        .map_or(("", path), |(kind, rest)| (&**kind, rest));
    let mut at = 0;
    for (n, word) in rest.iter().enumerate() {
        let from = text.get(at..).unwrap_or_default();
        let found = match n {
            0 => declared(from, kind, word),
            _ => find_word(from.get(1..).unwrap_or_default(), word).map(|it| it + 1),
        };
        at += found.unwrap_or(0);
    }
    lines.place(at)
}

/// Where a declaration of that kind names `word`.
fn declared(text: &str, kind: &str, word: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(start) = find_word(text.get(at..)?, kind) {
        let start = at + start + kind.len();
        let rest = text.get(start..)?;
        let names = rest.get(..rest.find(['{', ';', '=']).unwrap_or(rest.len()))?;
        // What stands after `in` or `appliesTo` is named there, not declared.
        let end = ["in", "appliesTo"]
            .iter()
            .filter_map(|it| find_word(names, it))
            .min();
        if let Some(found) = find_word(names.get(..end.unwrap_or(names.len()))?, word) {
            return Some(start + found);
        }
        at = start;
    }
    None
}

/// Where a whole word stands.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let inside = |char: Option<char>| char.is_some_and(|it| it.is_alphanumeric() || it == '_');
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).and_then(|it| it.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|it| it.chars().next());
        !inside(before) && !inside(after)
    })
}

/// What the annotations of a schema allow, by the words that lead to the part.
#[derive(Default)]
struct Annotated {
    codes: Vec<(Vec<String>, String)>,
    faults: Vec<(Vec<String>, String)>,
}

impl Annotated {
    fn read(text: &str) -> Self {
        let mut read = Self::default();
        let fragment = SchemaFragment::from_cedarschema_str(text).ok();
        let json = fragment.and_then(|(fragment, _)| fragment.to_json_value().ok());
        for namespace in json
            .iter()
            .filter_map(Value::as_object)
            .flat_map(|it| it.values())
        {
            for (part, kind, members) in [
                ("entityTypes", "entity", "/shape/attributes"),
                ("actions", "action", "/appliesTo/context/attributes"),
            ] {
                for (name, def) in object(namespace.get(part)) {
                    read.annotation(&[kind, name], def);
                    let record = def.pointer(members);
                    for (member, def) in object(record) {
                        read.annotation(&[kind, name, member], def);
                    }
                }
            }
        }
        read
    }

    fn annotation(&mut self, path: &[&str], def: &Value) {
        let Some(text) = def
            .pointer("/annotations/allow_lint")
            .and_then(Value::as_str)
        else {
            return;
        };
        let path: Vec<String> = path.iter().map(|it| (*it).to_owned()).collect();
        match allowed_lints(text) {
            Ok(codes) => {
                let codes = codes
                    .into_iter()
                    .map(|it| (path.clone(), it.code.to_string()));
                self.codes.extend(codes);
            }
            Err(why) => self.faults.push((path, why)),
        }
    }
}

fn object(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

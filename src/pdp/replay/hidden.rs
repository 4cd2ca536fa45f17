//! Which of a record's facts are pseudonyms.

use crate::model::{
    AskedFacts, AskedQuestion, EntityFacts, EntityRef, Members, SubjectFacts, Value,
};

/// Hexadecimal digits of a pseudonym, behind its `~`.
const DIGITS: usize = 32;

/// The facts that a decision stands on and that are pseudonyms, by their paths. The ids of a token and
/// of a request are none of them.
pub(super) fn hidden(subject: &SubjectFacts, asked: &AskedFacts) -> Vec<String> {
    let mut found = Vec::new();
    entity("principal", &subject.entity, &mut found);
    match &asked.question {
        AskedQuestion::Named {
            properties,
            resource,
            ..
        } => {
            members("action", properties, &mut found);
            entity("resource", resource, &mut found);
        }
        AskedQuestion::Http {
            target, headers, ..
        } => {
            if target.strip_prefix('/').is_some_and(is_pseudonym) {
                found.push("the path".to_owned());
            }
            let hidden = headers.iter().filter(|(_, value)| is_pseudonym(value));
            found.extend(hidden.map(|(name, _)| format!("header {name}")));
        }
    }
    for facts in &asked.entities {
        entity(&facts.uid.to_string(), facts, &mut found);
    }
    members("context", &asked.context, &mut found);
    found
}

fn entity(name: &str, facts: &EntityFacts, found: &mut Vec<String>) {
    if is_pseudonym(&facts.uid.id) {
        found.push(format!("{name}'s id"));
    }
    if facts.parents.iter().any(is_named_by_one) {
        found.push(format!("{name}'s parents"));
    }
    members(name, &facts.attributes, found);
}

fn members(of: &str, members: &Members, found: &mut Vec<String>) {
    let hidden = members.iter().filter(|(_, value)| has_one(value));
    found.extend(hidden.map(|(name, _)| format!("{of}.{name}")));
}

fn has_one(value: &Value) -> bool {
    match value {
        Value::String(text) => is_pseudonym(text),
        Value::Entity(uid) => is_named_by_one(uid),
        Value::Set(values) => values.iter().any(has_one),
        Value::Record(members) => members.values().any(has_one),
        _ => false,
    }
}

fn is_named_by_one(uid: &EntityRef) -> bool {
    is_pseudonym(&uid.id)
}

fn is_pseudonym(text: &str) -> bool {
    let digits = text.strip_prefix('~').unwrap_or_default();
    digits.len() == DIGITS && digits.bytes().all(|it| it.is_ascii_hexdigit())
}

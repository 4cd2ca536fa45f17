//! Pseudonyms in place of facts, by rule.

use std::{collections::BTreeSet, sync::Arc};

use super::keys::Pseudonyms;
use crate::{
    config::Redact as Rule,
    model::{
        AskedFacts, AskedQuestion, EntityFacts, EntityRef, Facts, Members, SubjectFacts, Value,
    },
};

/// Replaces facts by rule.
#[derive(Debug)]
pub(super) struct Redaction {
    rules: BTreeSet<Rule>,
    pseudonyms: Pseudonyms,
}

impl Redaction {
    pub(super) fn new(rules: &[Rule], pseudonyms: Pseudonyms) -> Self {
        Self {
            rules: rules.iter().cloned().collect(),
            pseudonyms,
        }
    }

    /// Replaces what the rules name; whether anything was.
    pub(super) fn facts(&self, facts: &mut Facts) -> bool {
        let mut hit = false;
        if let Some(subject) = &mut facts.subject {
            let SubjectFacts {
                entity,
                fingerprint,
                token_id,
                ..
            } = Arc::make_mut(subject);
            hit |= self.entity(entity);
            if self.rules.contains(&Rule::Token) {
                hit |= self.text(fingerprint) | self.text(token_id);
            }
        }
        if let Some(asked) = &mut facts.asked {
            hit |= self.asked(asked);
        }
        hit
    }

    pub(super) fn request_id(&self, id: &mut Option<String>) -> bool {
        self.rules.contains(&Rule::RequestId) && self.text(id)
    }

    fn asked(&self, asked: &mut AskedFacts) -> bool {
        let AskedFacts {
            action: _,
            resource,
            question,
            entities,
            context,
            peer: _,
        } = asked;
        let mut hit = resource.as_mut().is_some_and(|uid| self.uid(uid));
        match question {
            AskedQuestion::Named {
                properties,
                resource,
                ..
            } => hit |= self.entity(resource) | self.members(properties, Rule::Context),
            AskedQuestion::Http {
                target, headers, ..
            } => {
                if self.rules.contains(&Rule::Path) {
                    *target = format!("/{}", self.pseudonyms.of(target));
                    hit = true;
                }
                if self.rules.contains(&Rule::Headers) {
                    for value in headers.values_mut() {
                        *value = self.pseudonyms.of(value);
                        hit = true;
                    }
                }
            }
        }
        for entity in entities {
            hit |= self.entity(entity);
        }
        hit | self.members(context, Rule::Context)
    }

    fn entity(&self, facts: &mut EntityFacts) -> bool {
        let mut hit = self.uid(&mut facts.uid);
        for parent in &mut facts.parents {
            hit |= self.uid(parent);
        }
        hit | self.members(&mut facts.attributes, Rule::Attribute)
    }

    fn members(&self, members: &mut Members, rule: fn(String) -> Rule) -> bool {
        let mut hit = false;
        for (name, value) in members {
            if self.rules.contains(&rule(name.clone())) {
                *value = Value::String(self.pseudonyms.of(&value.to_json().to_string()));
                hit = true;
            } else {
                hit |= self.value(value);
            }
        }
        hit
    }

    fn value(&self, value: &mut Value) -> bool {
        match value {
            Value::Entity(uid) => self.uid(uid),
            Value::Set(values) => values
                .iter_mut()
                .fold(false, |hit, it| self.value(it) | hit),
            Value::Record(members) => members
                .values_mut()
                .fold(false, |hit, it| self.value(it) | hit),
            _ => false,
        }
    }

    fn uid(&self, uid: &mut EntityRef) -> bool {
        let hit = self.rules.contains(&Rule::Entity(uid.type_name.clone()));
        if hit {
            uid.id = self.pseudonyms.of(&uid.id);
        }
        hit
    }

    fn text(&self, text: &mut Option<String>) -> bool {
        match text {
            Some(text) => {
                *text = self.pseudonyms.of(text);
                true
            }
            None => false,
        }
    }
}

//! The policies of a bundle, validated.

use std::sync::Arc;

use cedar_policy::{ValidationMode, Validator};

use super::{
    annotations::Annotations,
    core::{self, Entities, Rule, Uid},
    fault::{Fault, Place},
    index::Index,
    schema::Schema,
};
use crate::model::{Challenge, Effect};

/// One policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `@id`, else `stem#n`.
    pub id: Arc<str>,
    /// Where it is written.
    pub place: Place,
    /// `file:line`, for answers.
    pub(super) place_text: Arc<str>,
    pub(super) annotations: Annotations,
    pub(super) rule: Rule,
    /// Whether its conditions may depend on `context.now`.
    pub(super) reads_now: bool,
}

impl Policy {
    /// What it does.
    pub fn effect(&self) -> Effect {
        self.rule.effect
    }

    /// Its challenge, if it has one.
    pub fn challenge(&self) -> Option<&Challenge> {
        self.annotations.challenge.as_ref()
    }
}

/// The policies of a bundle, in the order of their ids.
#[derive(Clone, Debug)]
pub struct PolicySet {
    policies: Vec<Policy>,
    index: Index,
    cedar: cedar_policy::PolicySet,
    level: u32,
}

impl PolicySet {
    /// Parses files given as name and text, and validates them together against the schema.
    ///
    /// The smallest level (RFC 76) up to `max_level` that validates is kept: it says how deep the
    /// entities of a request must be loaded.
    ///
    /// # Errors
    /// Every fault found in any file.
    pub fn parse<'a>(
        files: impl IntoIterator<Item = (&'a Arc<str>, &'a str)>,
        schema: &Schema,
        max_level: u32,
    ) -> Result<Self, Vec<Fault>> {
        let files: Vec<(&Arc<str>, &str)> = files.into_iter().collect();
        let mut policies = Vec::new();
        let mut faults = Vec::new();
        for (file, text) in &files {
            let stem = file
                .rsplit('/')
                .next()
                .unwrap_or(file)
                .trim_end_matches(".cedar");
            match core::parse(file, stem, text) {
                Ok(statements) => {
                    for statement in statements {
                        match Policy::new(statement) {
                            Ok(policy) => policies.push(policy),
                            Err(fault) => faults.push(fault),
                        }
                    }
                }
                Err(found) => faults.extend(found),
            }
        }
        policies.sort_by(|a, b| a.id.cmp(&b.id));
        for pair in policies.windows(2) {
            if let [first, second] = pair
                && first.id == second.id
            {
                let message = format!("policy id `{}` is taken at {}", first.id, first.place);
                faults.push(Fault::at(
                    "duplicate_policy_id",
                    second.place.clone(),
                    message,
                ));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let cedar = core::cedar_set(policies.iter().map(|policy| &policy.rule))
            .map_err(|message| vec![Fault::general("duplicate_policy_id", message)])?;
        let mut set = Self {
            index: Index::new(&policies, schema),
            policies,
            cedar,
            level: 0,
        };
        set.level = set.validate(&files, schema, max_level)?;
        Ok(set)
    }

    fn validate(
        &self,
        files: &[(&Arc<str>, &str)],
        schema: &Schema,
        max_level: u32,
    ) -> Result<u32, Vec<Fault>> {
        let validator = Validator::new(schema.cedar().clone());
        let mut found = validator.validate(&self.cedar, ValidationMode::Strict);
        let mut rule = "validate";
        if found.validation_passed() {
            for level in 0..=max_level {
                found = validator.validate_with_level(&self.cedar, ValidationMode::Strict, level);
                if found.validation_passed() {
                    return Ok(level);
                }
            }
            rule = "level";
        }
        let faults = found.validation_errors().flat_map(|error| {
            let policy = self.get(AsRef::<str>::as_ref(error.policy_id()));
            let text = policy.and_then(|policy| {
                let file = files.iter().find(|(file, _)| **file == policy.place.file);
                file.map(|(file, text)| (*file, *text))
            });
            match text {
                Some((file, text)) => Fault::from_diagnostic(rule, file, text, error),
                None => vec![Fault::general(rule, error.to_string())],
            }
        });
        Err(faults.collect())
    }

    /// The policies, in the order of their ids.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The policies whose heads match, in the order of their ids.
    pub(super) fn matching<'s>(
        &'s self,
        principal: &Uid,
        action: &Uid,
        resource: &Uid,
        entities: &Entities,
    ) -> impl Iterator<Item = &'s Policy> + use<'s> {
        let found = self.index.matching(principal, action, resource, entities);
        found.into_iter().filter_map(|n| self.policies.get(n))
    }

    /// A policy by its id.
    pub fn get(&self, id: &str) -> Option<&Policy> {
        let n = self
            .policies
            .binary_search_by(|policy| (*policy.id).cmp(id))
            .ok()?;
        self.policies.get(n)
    }

    /// The policies as Cedar's own authorizer takes them.
    pub fn cedar(&self) -> &cedar_policy::PolicySet {
        &self.cedar
    }

    /// How many entity dereferences deep the policies look (RFC 76).
    pub fn level(&self) -> u32 {
        self.level
    }
}

impl Policy {
    fn new(statement: core::Statement) -> Result<Self, Fault> {
        let core::Statement {
            id,
            place,
            annotations,
            rule,
        } = statement;
        let pairs = annotations
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let annotations = Annotations::read(pairs)
            .map_err(|message| Fault::at("annotation", place.clone(), message))?;
        Ok(Self {
            id,
            place_text: format!("{}:{}", place.file, place.line).into(),
            reads_now: rule.reads_now(),
            place,
            annotations,
            rule,
        })
    }
}

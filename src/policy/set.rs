//! The policies of a bundle, validated.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    annotations::{AllowedLint, Annotations},
    core::{self, Body, Entity, Invalid, Laid, Layout, PolicyValidator, Rule, Uid},
    fault::{Fault, Lines, Place},
    guard::TextLimits,
    index::{Gist, Index, Party},
    schema::Schema,
};
use crate::model::{Challenge, Effect, Reason};

/// One policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `@id`, else `stem#n`; of a template's link, the link's own.
    pub id: Arc<str>,
    /// Where it is written; of a link, where its template is.
    pub place: Place,
    /// What answers say of it.
    pub(super) reason: Arc<Reason>,
    pub(super) annotations: Annotations,
    pub(super) rule: Rule,
    /// Where in its file Cedar's places count from.
    pub(super) base: usize,
}

impl Policy {
    fn new(id: Arc<str>, place: Place, base: usize, annotations: Annotations, rule: Rule) -> Self {
        Self {
            reason: Arc::new(Reason {
                policy_id: Arc::clone(&id),
                effect: rule.effect,
                reason: annotations.reason.clone(),
                advice: annotations.advice.clone(),
                place: format!("{}:{}", place.file, place.line).into(),
            }),
            id,
            place,
            base,
            annotations,
            rule,
        }
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        self.rule.effect
    }

    /// Its challenge, if it has one.
    pub fn challenge(&self) -> Option<&Challenge> {
        self.annotations.challenge.as_ref()
    }

    /// The lints that its author allows here, each with the reason.
    pub fn allowed_lints(&self) -> &[AllowedLint] {
        &self.annotations.allowed_lints
    }

    /// Whether its author allows that lint here.
    pub fn allows_lint(&self, code: &str) -> bool {
        self.allowed_lints().iter().any(|it| &*it.code == code)
    }

    /// What it obliges to, as a permit that decides.
    pub fn obligation(&self) -> Option<&str> {
        self.annotations.obligation.as_deref()
    }

    /// The author's text, with the entities that a link fills in.
    pub fn source(&self) -> String {
        self.rule.source()
    }

    /// Whether it applies to every request.
    pub fn is_unconditional(&self) -> bool {
        self.rule.is_unconditional()
    }

    /// Whether evaluating it can fail though it is well typed.
    pub fn may_error(&self) -> bool {
        self.rule.may_error()
    }
}

/// A template's link: which entities fill its slots.
#[derive(Clone, Debug)]
pub struct Link {
    /// The template's id.
    pub template: String,
    /// The id of the policy that comes of it.
    pub id: String,
    /// What `?principal` stands for.
    pub principal: Option<Uid>,
    /// What `?resource` stands for.
    pub resource: Option<Uid>,
    /// Where the link is written.
    pub place: Place,
}

#[derive(Debug)]
struct Template {
    place: Place,
    base: usize,
    annotations: Annotations,
    template: core::Template,
}

/// Policies as parsed, before a schema has seen them.
#[derive(Debug, Default)]
pub struct ParsedPolicies {
    policies: Vec<Policy>,
    templates: BTreeMap<Arc<str>, Template>,
    /// Where each id is taken, by a policy or a template.
    taken: HashMap<Arc<str>, Place>,
}

impl ParsedPolicies {
    /// Parses files given as name and text; what can be parsed is there even where others are at
    /// fault.
    pub fn parse<'a>(
        files: impl IntoIterator<Item = (&'a Arc<str>, &'a str)>,
        limits: TextLimits,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut parsed = Self::default();
        for (file, text) in files {
            let name = file.rsplit('/').next().unwrap_or(file);
            let stem = name.strip_suffix(".cedar").unwrap_or(name);
            for statement in core::parse(file, stem, text, limits.depth, faults) {
                let core::Statement {
                    id,
                    place,
                    base,
                    annotations,
                    body,
                } = statement;
                let pairs = annotations
                    .iter()
                    .map(|(name, text)| (name.as_str(), text.as_str()));
                let annotations = match Annotations::read(pairs) {
                    Ok(annotations) => annotations,
                    Err(message) => {
                        faults.push(Fault::at("annotation", place, message));
                        continue;
                    }
                };
                if let Some(first) = parsed.taken.get(&id) {
                    let message = format!("policy id `{id}` is taken at {first}");
                    faults.push(Fault::at("duplicate_policy_id", place, message));
                    continue;
                }
                parsed.taken.insert(Arc::clone(&id), place.clone());
                match body {
                    Body::Rule(rule) => {
                        parsed
                            .policies
                            .push(Policy::new(id, place, base, annotations, *rule));
                    }
                    Body::Template(template) => {
                        let template = Template {
                            place,
                            base,
                            annotations,
                            template,
                        };
                        parsed.templates.insert(id, template);
                    }
                }
            }
        }
        parsed
    }

    /// Makes a policy of every link. A template without any is at fault, since it would silently
    /// grant or deny nothing.
    pub fn link(&mut self, links: &[Link], faults: &mut Vec<Fault>) {
        let mut taken: HashSet<&str> = HashSet::new();
        let mut linked: HashSet<&str> = HashSet::new();
        let mut made = Vec::new();
        for link in links {
            match self.link_one(link, &mut taken) {
                Ok(policy) => made.push(policy),
                Err(message) => {
                    let message = format!("link `{}` {message}", link.id);
                    faults.push(Fault::at("link", link.place.clone(), message));
                }
            }
            linked.insert(&link.template);
        }
        for (id, template) in &self.templates {
            if !linked.contains(&**id) {
                let message = format!("template `{id}` is not linked, so it does nothing");
                let help =
                    "link it in `links.json`: {\"template\": …, \"id\": …, \"principal\": …}";
                faults.push(
                    Fault::at("unlinked_template", template.place.clone(), message).help(help),
                );
            }
        }
        self.policies.extend(made);
    }

    fn link_one<'l>(&self, link: &'l Link, taken: &mut HashSet<&'l str>) -> Result<Policy, String> {
        let Some(template) = self.templates.get(link.template.as_str()) else {
            return Err(match self.taken.contains_key(link.template.as_str()) {
                true => format!("names `{}`, which is no template", link.template),
                false => format!("names template `{}`, which does not exist", link.template),
            });
        };
        if let Some(place) = self.taken.get(link.id.as_str()) {
            return Err(format!("has an id that is taken at {place}"));
        }
        if !taken.insert(&link.id) {
            return Err("is there twice".into());
        }
        let rule =
            template
                .template
                .link(&link.id, link.principal.clone(), link.resource.clone())?;
        Ok(Policy::new(
            link.id.as_str().into(),
            template.place.clone(),
            template.base,
            template.annotations.clone(),
            rule,
        ))
    }

    /// Validates the policies against a schema.
    ///
    /// The smallest level (RFC 76) up to `max_level` that validates is kept: it says how deep the
    /// entities of a request must be loaded.
    ///
    /// # Errors
    /// Every policy at fault.
    pub fn validate<'a>(
        self,
        text_of: impl Fn(&str) -> Option<&'a str>,
        schema: &Schema,
        max_level: u32,
    ) -> Result<PolicySet, Vec<Fault>> {
        let Self {
            mut policies,
            templates,
            taken: _,
        } = self;
        policies.sort_by(|a, b| a.id.cmp(&b.id));
        let rules = policies.iter().map(|policy| &policy.rule);
        let level = PolicyValidator::new(schema.cedar())
            .level(rules, max_level)
            .map_err(|found| {
                let places: Places<'_> = policies
                    .iter()
                    .map(|policy| (&*policy.id, (&policy.place, policy.base)))
                    .chain(
                        templates
                            .iter()
                            .map(|(id, it)| (&**id, (&it.place, it.base))),
                    )
                    .collect();
                placed(&found, &places, text_of)
            })?;
        Ok(PolicySet {
            index: Index::new(&policies, schema),
            policies,
            level,
        })
    }
}

/// By id, where a statement is and where Cedar's places in it count from.
type Places<'p> = HashMap<&'p str, (&'p Place, usize)>;

fn placed<'a>(
    found: &[Invalid],
    places: &Places<'_>,
    text_of: impl Fn(&str) -> Option<&'a str>,
) -> Vec<Fault> {
    let mut lines: HashMap<&str, Lines<'a>> = HashMap::new();
    let mut faults = Vec::new();
    for Invalid {
        id,
        kind,
        diagnostic,
    } in found
    {
        let Some((place, base, text)) = places
            .get(id.as_str())
            .and_then(|(place, base)| Some((*place, *base, text_of(&place.file)?)))
        else {
            faults.push(Fault::general(kind, diagnostic.to_string()));
            continue;
        };
        let lines = lines
            .entry(&place.file)
            .or_insert_with(|| Lines::new(&place.file, text));
        faults.extend(Fault::from_diagnostic(kind, lines, base, &**diagnostic));
    }
    faults
}

/// The policies of a bundle, in the order of their ids.
#[derive(Clone, Debug)]
pub struct PolicySet {
    policies: Vec<Policy>,
    index: Index,
    level: u32,
}

impl PolicySet {
    /// The policies, in the order of their ids.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// What an entity is to the heads of these policies.
    pub fn party(&self, uid: &Uid, entity: Option<&Entity>) -> Party {
        self.index.party(uid, entity)
    }

    /// The policies whose heads match, in the order of their ids.
    pub(super) fn matching<'s>(
        &'s self,
        principal: &Party,
        action: &Uid,
        resource: &Party,
    ) -> impl Iterator<Item = (&'s Policy, Gist)> + use<'s> {
        let found = self.index.matching(principal, action, resource);
        let at = |n: u32| self.policies.get(usize::try_from(n).ok()?);
        let policies = found.into_iter();
        policies.filter_map(move |(n, gist)| Some((at(n)?, gist)))
    }

    /// The policies, each with where in the layout its conditions are.
    pub(super) fn laid(&self) -> impl Iterator<Item = (&Policy, Laid)> {
        let policies = self.policies.iter().enumerate();
        policies.map(|(n, policy)| (policy, self.index.laid(n)))
    }

    /// The conditions that a [`Gist`] refers to.
    pub(super) fn layout(&self) -> &Layout {
        self.index.layout()
    }

    /// How many policies one request for an action may meet: the most that go for one principal and
    /// one resource of which each is in a single group that policies name.
    pub fn most_candidates(&self, action: &Uid) -> usize {
        self.index.most_candidates(action)
    }

    /// A policy by its id.
    pub fn get(&self, id: &str) -> Option<&Policy> {
        let n = self
            .policies
            .binary_search_by(|policy| (*policy.id).cmp(id))
            .ok()?;
        self.policies.get(n)
    }

    /// Whether some conditions need Cedar's own evaluator, which wants entities in its own form.
    pub fn need_evaluator(&self) -> bool {
        !self.index.layout().is_plain()
    }

    /// The members that any of them names, of whatever they are.
    pub fn members_named(&self) -> HashSet<&str> {
        let rules = self.policies.iter().map(|policy| &policy.rule);
        let named = rules.flat_map(|rule| rule.members_named());
        named.map(|name| name.as_str()).collect()
    }

    /// How many entity dereferences deep the policies look (RFC 76).
    pub fn level(&self) -> u32 {
        self.level
    }
}

//! `[[principal]]`: which claims make which principal.

use std::collections::{BTreeMap, HashMap, HashSet};

use smol_str::SmolStr;
use wildmatch::WildMatch;

use super::{
    preset::Preset,
    raw::{OneOrMany, RawClaim, RawParent, RawPrincipal, RawTest},
    sources::{Source, Sources},
    template::Template,
};
use crate::{
    model::{Claims, IssuerName, Value},
    policy::{Place, RecordType, Schema, Type, core::TypeName},
};

/// Characters that no issuer's name has, so that one after `{issuer}` ends it.
const DELIMITERS: &[char] = &['|', ':', '/', '#', ' '];

/// The principal rules of a bundle, in order; the first whose tests hold applies.
#[derive(Debug, Default)]
pub struct Mapping {
    rules: Vec<PrincipalRule>,
    anonymous: Option<Anonymous>,
}

/// The `[[principal]]` table for those who present nothing.
#[derive(Debug)]
struct Anonymous {
    type_name: TypeName,
    id: String,
    place: Place,
}

/// One `[[principal]]` table for token holders.
#[derive(Debug)]
pub struct PrincipalRule {
    /// Where it is written.
    pub place: Place,
    /// The entity type it makes.
    pub type_name: TypeName,
    issuers: Option<Vec<IssuerName>>,
    tests: Vec<ClaimTest>,
    shared_ids: bool,
    /// The id, of claims and `{issuer}`.
    pub id: Template,
    /// Attributes by name, with the claim each comes from.
    pub attributes: Vec<(SmolStr, ClaimPath, Type)>,
    /// Where its parents come from.
    pub parents: Vec<ParentRule>,
    /// Whether the principal must be a stored entity.
    pub stored_required: bool,
}

/// A claim, whole or split into a set.
#[derive(Clone, Debug)]
pub struct ClaimPath {
    /// The claim's literal name, or a JSON pointer.
    pub claim: String,
    /// What separates the items of a text.
    pub split: Option<String>,
}

impl ClaimPath {
    /// The claim's value; a text with `split` becomes a set of its parts.
    pub fn read(&self, claims: &Claims) -> Option<Value> {
        let value = claims.get(&self.claim)?;
        match (&self.split, value) {
            (Some(separator), Value::String(text)) => {
                let parts = text
                    .split(separator.as_str())
                    .filter(|part| !part.is_empty());
                Some(Value::Set(parts.map(Value::from).collect()))
            }
            _ => Some(value.clone()),
        }
    }
}

/// One source of parents.
#[derive(Debug)]
pub struct ParentRule {
    /// The parents' type.
    pub type_name: TypeName,
    /// The claim that lists their ids.
    pub claim: ClaimPath,
    allow: Option<Vec<WildMatch>>,
}

impl ParentRule {
    /// Whether a parent of this id counts.
    pub fn allows(&self, id: &str) -> bool {
        self.allow
            .as_ref()
            .is_none_or(|allow| allow.iter().any(|pattern| pattern.matches(id)))
    }
}

/// A condition on claims.
#[derive(Debug)]
pub struct ClaimTest {
    claim: String,
    kind: TestKind,
}

/// What a claim must be.
#[derive(Debug)]
pub enum TestKind {
    /// There.
    Present,
    /// This value.
    Equals(Value),
    /// The same as another claim.
    EqualsClaim(String),
    /// A list, or space-separated text, with this item.
    Contains(Value),
}

impl ClaimTest {
    fn holds(&self, claims: &Claims) -> bool {
        let Some(value) = claims.get(&self.claim) else {
            return false;
        };
        match &self.kind {
            TestKind::Present => true,
            TestKind::Equals(expected) => value == expected,
            TestKind::EqualsClaim(other) => claims.get(other) == Some(value),
            TestKind::Contains(item) => match (value, item) {
                (Value::Set(items), _) => items.contains(item),
                (Value::String(text), Value::String(item)) => {
                    text.split(' ').any(|part| part == item)
                }
                _ => false,
            },
        }
    }
}

impl Mapping {
    /// Compiles the tables against the schema. `issuers` are those trusted for the bundle, when known.
    ///
    /// # Errors
    /// Per table, what is wrong.
    pub(super) fn compile(
        tables: Vec<RawPrincipal>,
        written: &[Place],
        schema: &Schema,
        issuers: Option<&[IssuerName]>,
    ) -> Result<Self, Vec<(usize, String)>> {
        let mut mapping = Self::default();
        let mut faults = Vec::new();
        let mut places = Vec::new();
        for ((n, table), place) in tables.into_iter().enumerate().zip(written) {
            if table.anonymous {
                match Anonymous::compile(table, place, schema) {
                    Ok(_) if mapping.anonymous.is_some() => {
                        faults.push((n, "there is an anonymous principal already".into()));
                    }
                    Ok(anonymous) => mapping.anonymous = Some(anonymous),
                    Err(message) => faults.push((n, message)),
                }
                continue;
            }
            match PrincipalRule::compile(table, place, schema) {
                Ok(rule) => {
                    mapping.rules.push(rule);
                    places.push(n);
                }
                Err(message) => faults.push((n, message)),
            }
        }
        for (rule, message) in mapping.issuer_faults(issuers) {
            faults.push((places.get(rule).copied().unwrap_or_default(), message));
        }
        if faults.is_empty() {
            Ok(mapping)
        } else {
            Err(faults)
        }
    }

    /// The rule for a token's claims.
    pub fn rule_for(&self, claims: &Claims) -> Option<&PrincipalRule> {
        self.rules.iter().find(|rule| {
            let trusted = rule.issuers.as_ref();
            trusted.is_none_or(|issuers| issuers.contains(&claims.issuer))
                && rule.tests.iter().all(|test| test.holds(claims))
        })
    }

    /// The principal of those who present nothing.
    pub fn anonymous(&self) -> Option<(&TypeName, &str)> {
        self.anonymous
            .as_ref()
            .map(|it| (&it.type_name, it.id.as_str()))
    }

    /// Where each principal is written: the rules in order, then the anonymous one.
    pub fn places(&self) -> impl Iterator<Item = (&Place, &TypeName)> {
        let rules = self.rules.iter().map(|rule| (&rule.place, &rule.type_name));
        rules.chain(self.anonymous_place())
    }

    /// Where the anonymous principal is written, and its type.
    pub fn anonymous_place(&self) -> Option<(&Place, &TypeName)> {
        let anonymous = self.anonymous.as_ref();
        anonymous.map(|it| (&it.place, &it.type_name))
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[PrincipalRule] {
        &self.rules
    }

    /// The types of principals.
    pub fn principal_types(&self) -> impl Iterator<Item = &TypeName> {
        let rules = self.rules.iter().map(|rule| &rule.type_name);
        rules.chain(self.anonymous.iter().map(|it| &it.type_name))
    }

    /// A claim may only state what is the token's to state.
    pub(super) fn source_faults(&self, sources: &Sources) -> Vec<String> {
        let mut faults = Vec::new();
        for rule in &self.rules {
            let name = &rule.type_name;
            for (attribute, _, _) in &rule.attributes {
                let owner = sources.of_attribute(name, attribute);
                if owner != Source::Token {
                    faults.push(format!(
                        "`{name}.{attribute}` is a fact of the {owner}, so no claim states it"
                    ));
                }
            }
            for parent in &rule.parents {
                let owner = sources.of_parent(name, &parent.type_name);
                if owner != Source::Token {
                    let parent = &parent.type_name;
                    faults.push(format!("that a `{name}` is in a `{parent}` is a fact of the {owner}, so no claim states it"));
                }
            }
        }
        faults
    }

    /// `sub` is unique per issuer only, so no two issuers may yield the same entity by accident.
    fn issuer_faults(&self, trusted: Option<&[IssuerName]>) -> Vec<(usize, String)> {
        let mut faults = Vec::new();
        let mut by_type: HashMap<&TypeName, (HashSet<&IssuerName>, Vec<usize>)> = HashMap::new();
        for (n, rule) in self.rules.iter().enumerate() {
            let issuers = match (&rule.issuers, trusted) {
                (Some(issuers), _) => issuers.as_slice(),
                (None, Some(trusted)) if trusted.len() > 1 => {
                    let message =
                        "more than one issuer is trusted: say which with `issuers = [...]`";
                    faults.push((n, message.to_owned()));
                    continue;
                }
                (None, trusted) => trusted.unwrap_or_default(),
            };
            if let (Some(named), Some(trusted)) = (&rule.issuers, trusted) {
                for unknown in named.iter().filter(|name| !trusted.contains(name)) {
                    faults.push((
                        n,
                        format!("issuer `{unknown}` is not trusted for this bundle"),
                    ));
                }
            }
            let (all, rules) = by_type.entry(&rule.type_name).or_default();
            all.extend(issuers);
            rules.push(n);
        }
        for (type_name, (issuers, rules)) in by_type {
            if issuers.len() < 2 {
                continue;
            }
            for n in rules {
                let apart = |rule: &PrincipalRule| {
                    rule.shared_ids || rule.id.starts_with("issuer", DELIMITERS)
                };
                if !self.rules.get(n).is_some_and(apart) {
                    let message = format!(
                        "more than one issuer makes a `{type_name}`, and `sub` is unique per issuer only: \
                         start the id with `{{issuer}}|`, or say `shared_ids = true`"
                    );
                    faults.push((n, message));
                }
            }
        }
        faults
    }
}

impl PrincipalRule {
    fn compile(table: RawPrincipal, place: &Place, schema: &Schema) -> Result<Self, String> {
        let (type_name, attribute_types) = principal_type(&table.type_name, schema)?;
        let preset = table.preset.map(Preset::of);
        let id = match (&table.id, &preset) {
            (Some(id), _) => id.as_str(),
            (None, Some(preset)) => preset.id,
            (None, None) => return Err("lacks `id` (such as `\"{sub}\"`)".into()),
        };
        let id = Template::parse(id).map_err(|message| format!("`id` {message}"))?;
        if id.holes().next().is_none() {
            return Err(
                "`id` is the same for everyone: it needs a claim, as in `\"{sub}\"`".into(),
            );
        }
        let mut claims: BTreeMap<String, RawClaim> = table.attributes;
        for (attribute, claim) in preset.iter().flat_map(|preset| preset.attributes) {
            if attribute_types.members.contains_key(*attribute) {
                let claim = RawClaim::Path((*claim).to_owned());
                claims.entry((*attribute).to_owned()).or_insert(claim);
            }
        }
        let attributes = claims
            .into_iter()
            .map(|(name, claim)| attribute(&name, claim, attribute_types))
            .collect::<Result<_, _>>()?;
        let parents = match (table.parents, &preset) {
            (Some(parents), _) => parents
                .into_iter()
                .map(|parent| ParentRule::compile(parent, &type_name, schema))
                .collect::<Result<_, _>>()?,
            (None, Some(preset)) => {
                let parents = preset.parents();
                parents
                    .filter_map(|parent| ParentRule::compile(parent, &type_name, schema).ok())
                    .collect()
            }
            (None, None) => Vec::new(),
        };
        let tests = table.when.map(OneOrMany::into_vec).unwrap_or_default();
        Ok(Self {
            place: place.clone(),
            issuers: table
                .issuers
                .map(|names| names.into_iter().map(IssuerName::new).collect()),
            tests: tests
                .into_iter()
                .map(claim_test)
                .collect::<Result<_, _>>()?,
            shared_ids: table.shared_ids,
            stored_required: table.stored.is_some(),
            type_name,
            id,
            attributes,
            parents,
        })
    }
}

impl ParentRule {
    fn compile(parent: RawParent, child: &TypeName, schema: &Schema) -> Result<Self, String> {
        let type_name = schema
            .type_name(&parent.type_name)
            .ok_or_else(|| format!("the schema has no entity type `{}`", parent.type_name))?;
        let allowed = schema
            .entity_type(child)
            .is_some_and(|def| def.ancestors.contains(type_name));
        if !allowed {
            return Err(format!(
                "the schema does not allow a `{child}` in a `{type_name}`"
            ));
        }
        let allow = parent.allow.as_ref();
        Ok(Self {
            type_name: type_name.clone(),
            claim: ClaimPath {
                claim: parent.claim,
                split: parent.split,
            },
            allow: allow.map(|patterns| {
                patterns
                    .iter()
                    .map(|pattern| WildMatch::new(pattern))
                    .collect()
            }),
        })
    }
}

fn principal_type<'s>(
    name: &str,
    schema: &'s Schema,
) -> Result<(TypeName, &'s RecordType), String> {
    let type_name = schema
        .type_name(name)
        .ok_or_else(|| format!("the schema has no entity type `{name}`"))?;
    let def = schema.entity_type(type_name).ok_or("has no definition")?;
    if !schema
        .actions()
        .iter()
        .any(|action| action.principals.contains(type_name))
    {
        return Err(format!(
            "no action applies to a principal of type `{type_name}`"
        ));
    }
    Ok((type_name.clone(), &def.attributes))
}

fn attribute(
    name: &str,
    claim: RawClaim,
    types: &RecordType,
) -> Result<(SmolStr, ClaimPath, Type), String> {
    let (name, member) = types
        .members
        .get_key_value(name)
        .ok_or_else(|| format!("the schema has no attribute `{name}` for it"))?;
    let path = match claim {
        RawClaim::Path(claim) => ClaimPath { claim, split: None },
        RawClaim::Split(split) => ClaimPath {
            claim: split.claim,
            split: split.split,
        },
    };
    if path.split.as_ref().is_some_and(String::is_empty) {
        return Err(format!("`{name}`: `split` is empty"));
    }
    Ok((name.clone(), path, member.ty.clone()))
}

fn claim_test(test: RawTest) -> Result<ClaimTest, String> {
    let kind = match (test.equals, test.equals_claim, test.contains) {
        (None, None, None) => TestKind::Present,
        (Some(value), None, None) => TestKind::Equals(value.into()),
        (None, Some(claim), None) => TestKind::EqualsClaim(claim),
        (None, None, Some(value)) => TestKind::Contains(value.into()),
        _ => return Err("a test has one of `equals`, `equals_claim` and `contains`".into()),
    };
    Ok(ClaimTest {
        claim: test.claim,
        kind,
    })
}

impl Anonymous {
    fn compile(table: RawPrincipal, place: &Place, schema: &Schema) -> Result<Self, String> {
        let (type_name, attributes) = principal_type(&table.type_name, schema)?;
        if attributes.members.values().any(|member| member.required) {
            return Err(format!(
                "`{type_name}` has required attributes, which nobody in particular lacks"
            ));
        }
        let stateless = table.issuers.is_none()
            && table.when.is_none()
            && table.attributes.is_empty()
            && table.parents.is_none()
            && table.preset.is_none()
            && table.stored.is_none()
            && !table.shared_ids;
        if !stateless {
            return Err("an anonymous principal has only a `type` and an `id`".into());
        }
        let id = table.id.unwrap_or_else(|| "anonymous".to_owned());
        schema
            .uid_of(&type_name, &id)
            .map_err(|fault| fault.message)?;
        Ok(Self {
            type_name,
            id,
            place: place.clone(),
        })
    }
}

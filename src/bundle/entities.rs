//! `entities.json`: entities that change with the rules.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use smol_str::SmolStr;

use super::sources::{Source, Sources};
use crate::{
    model::{EntityFacts, EntityRef, JsonLimits, Members, Value, parse_json},
    policy::{
        Fault, Map, Schema,
        core::{Above, CedarValue, Entity, TypeName, Uid},
        typed_members,
    },
};

const FILE: &str = "entities.json";
const LIMITS: JsonLimits = JsonLimits {
    depth: 64,
    values: 10_000_000,
};
/// Bounds on the hierarchy: the closure of a deep or wide one costs memory out of proportion.
pub(crate) const MAX_ANCESTORS: usize = 1_000;

/// Entities by name, each listing all of its ancestors.
#[derive(Debug, Default)]
pub struct EntityStore {
    entities: Map<Uid, Arc<Entity>>,
}

impl EntityStore {
    /// An entity by name.
    pub fn get(&self, uid: &Uid) -> Option<&Arc<Entity>> {
        self.entities.get(uid)
    }

    /// Every entity.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.entities.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// Types the facts by the schema, and closes the hierarchy.
    ///
    /// # Errors
    /// Every entity at fault.
    pub(super) fn compile(
        facts: &[EntityFacts],
        schema: &Schema,
        sources: &Sources,
    ) -> Result<Self, Vec<Fault>> {
        let mut typed: HashMap<Uid, Typed> = HashMap::new();
        let mut faults = Vec::new();
        for (n, entity) in facts.iter().enumerate() {
            match Typed::read(entity, schema, sources) {
                Ok((uid, entity)) => {
                    if typed.insert(uid.clone(), entity).is_some() {
                        faults.push(fault(
                            "duplicate_entity",
                            n,
                            &format!("`{uid}` is there twice"),
                        ));
                    }
                }
                Err(message) => faults.push(fault("entity", n, &message)),
            }
        }
        let mut entities = Map::default();
        for (uid, entity) in &typed {
            match ancestors(uid, &typed) {
                Ok(ancestors) => {
                    let above = Above::new(entity.parents.iter().cloned().collect(), ancestors);
                    let closed = Entity::new(uid.clone(), entity.attributes.clone(), above);
                    entities.insert(uid.clone(), Arc::new(closed));
                }
                Err(message) => {
                    faults.push(Fault::in_file(
                        "hierarchy",
                        FILE,
                        format!("`{uid}` {message}"),
                    ));
                }
            }
        }
        match faults.is_empty() {
            true => Ok(Self { entities }),
            false => Err(faults),
        }
    }
}

struct Typed {
    attributes: BTreeMap<SmolStr, CedarValue>,
    parents: HashSet<Uid>,
}

impl Typed {
    fn read(
        facts: &EntityFacts,
        schema: &Schema,
        sources: &Sources,
    ) -> Result<(Uid, Self), String> {
        let name = entity_type(&facts.uid.type_name, schema)?;
        let def = schema.entity_type(name).ok_or("has no definition")?;
        let uid = schema
            .uid_of(name, &facts.uid.id)
            .map_err(|fault| fault.message)?;
        let at = |fault: crate::policy::TypeFault| fault.violation(&uid.to_string()).to_string();
        let attributes = typed_members(&facts.attributes, &def.attributes, schema).map_err(at)?;
        let attributes: BTreeMap<_, _> = attributes.into_iter().collect();
        for (attribute, member) in &def.attributes.members {
            let owner = sources.of_attribute(name, attribute);
            match attributes.contains_key(attribute) {
                true if !sources.may_be_stored(name, attribute) => {
                    return Err(format!("`{uid}.{attribute}` is a fact of the {owner}"));
                }
                false if owner == Source::Bundle && member.required => {
                    return Err(format!("`{uid}` lacks the attribute `{attribute}`"));
                }
                _ => {}
            }
        }
        let mut parents = HashSet::new();
        for parent in &facts.parents {
            let parent_name = entity_type(&parent.type_name, schema)?;
            if !def.ancestors.contains(parent_name) {
                return Err(format!("`{uid}` cannot be in a `{parent_name}`"));
            }
            let owner = sources.of_parent(name, parent_name);
            if owner != Source::Bundle {
                return Err(format!(
                    "that `{uid}` is in a `{parent_name}` is a fact of the {owner}"
                ));
            }
            parents.insert(
                schema
                    .uid_of(parent_name, &parent.id)
                    .map_err(|fault| fault.message)?,
            );
        }
        Ok((
            uid,
            Self {
                attributes,
                parents,
            },
        ))
    }
}

/// All ancestors of `uid`.
fn ancestors(uid: &Uid, typed: &HashMap<Uid, Typed>) -> Result<HashSet<Uid>, String> {
    let parents_of = |uid: &Uid| {
        typed
            .get(uid)
            .map(|entity| &entity.parents)
            .into_iter()
            .flatten()
    };
    let mut found: HashSet<Uid> = HashSet::new();
    let mut open: Vec<&Uid> = parents_of(uid).collect();
    while let Some(next) = open.pop() {
        if next == uid {
            return Err("is its own ancestor".into());
        }
        if found.insert(next.clone()) {
            open.extend(parents_of(next));
        }
        if found.len() > MAX_ANCESTORS {
            return Err(format!("has more than {MAX_ANCESTORS} ancestors"));
        }
    }
    Ok(found)
}

fn entity_type<'s>(name: &str, schema: &'s Schema) -> Result<&'s TypeName, String> {
    schema
        .type_name(name)
        .ok_or_else(|| format!("the schema has no entity type `{name}`"))
}

fn fault(rule: &'static str, n: usize, message: &str) -> Fault {
    Fault::in_file(rule, FILE, format!("entity {}: {message}", n + 1))
}

/// Reads `entities.json`: a list of `{uid, attrs, parents}` as in Cedar's own format, but typed by the
/// schema, without escapes, and with unknown members refused.
///
/// # Errors
/// Every entity at fault.
pub(super) fn parse(text: &str) -> Result<Vec<EntityFacts>, Vec<Fault>> {
    let whole = |message: String| vec![Fault::in_file("entities", FILE, message)];
    let value = parse_json(text.as_bytes(), LIMITS).map_err(|fault| whole(fault.to_string()))?;
    let Value::Set(items) = value else {
        return Err(whole("must be a list of entities".into()));
    };
    let mut facts = Vec::with_capacity(items.len());
    let mut faults = Vec::new();
    for (n, item) in items.into_iter().enumerate() {
        match entity_facts(item) {
            Ok(entity) => facts.push(entity),
            Err(message) => faults.push(fault("entity", n, &message)),
        }
    }
    if faults.is_empty() {
        Ok(facts)
    } else {
        Err(faults)
    }
}

/// Reads one entity of `{uid, attrs, parents}`, as `entities.json` and JSON lines have it.
///
/// # Errors
/// What is wrong with it.
pub fn entity_facts(value: Value) -> Result<EntityFacts, String> {
    let Value::Record(mut members) = value else {
        return Err("must be an object".into());
    };
    let uid = members.remove("uid").ok_or("lacks `uid`")?;
    let attributes = match members.remove("attrs") {
        None => Members::new(),
        Some(Value::Record(attributes)) => attributes,
        Some(_) => return Err("`attrs` must be an object".into()),
    };
    let parents = match members.remove("parents") {
        None => Vec::new(),
        Some(Value::Set(parents)) => parents,
        Some(_) => return Err("`parents` must be a list".into()),
    };
    if let Some((name, _)) = members.first_key_value() {
        return Err(format!(
            "has an unknown member `{name}` (known: `uid`, `attrs`, `parents`)"
        ));
    }
    Ok(EntityFacts {
        uid: entity_ref(&uid)?,
        attributes,
        parents: parents.iter().map(entity_ref).collect::<Result<_, _>>()?,
    })
}

pub(super) fn entity_ref(value: &Value) -> Result<EntityRef, String> {
    let expected = "an entity is written `{\"type\": …, \"id\": …}` or `Type::\"id\"`";
    match value {
        Value::String(text) => text.parse().map_err(|_| expected.to_owned()),
        Value::Record(members) if members.len() == 2 => {
            let text = |name| members.get(name).and_then(Value::as_str);
            match (text("type"), text("id")) {
                (Some(type_name), Some(id)) => Ok(EntityRef::new(type_name, id)),
                _ => Err(expected.into()),
            }
        }
        _ => Err(expected.into()),
    }
}

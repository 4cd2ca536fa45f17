//! Who owns which fact: each has one source, and a fact from elsewhere is refused.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::Deserialize;
use smol_str::SmolStr;

use super::raw::{RawElse, RawEntity, RawOwner};
use crate::policy::{Map, Schema, Set, core::TypeName};

/// Where a fact about an entity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The subject's verified token, or the caller that vouches for the subject.
    Token,
    /// The bundle's own `entities.json`.
    Bundle,
    /// The directory: what operators store for this bundle while it is served.
    Directory,
    /// The request.
    Request,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Bundle => "bundle",
            Self::Directory => "directory",
            Self::Request => "request",
        })
    }
}

/// The source of every fact that the schema allows.
#[derive(Debug, Default)]
pub struct Sources {
    types: Map<TypeName, TypeSources>,
    /// Types whose entities, or one of whose ancestors, the directory says something of.
    in_directory: Set<TypeName>,
}

#[derive(Debug)]
struct TypeSources {
    source: Source,
    attributes: Map<String, Source>,
    /// Attributes whose stored value stands where their owner states none.
    stored_else: Set<String>,
    parents: Map<TypeName, Source>,
    /// The attributes that must be there, in the order of their names, each with its source.
    required: Vec<(SmolStr, Source)>,
}

/// Who owns the facts about entities of one type.
#[derive(Clone, Copy, Debug)]
pub struct Owners<'s>(Option<&'s TypeSources>);

impl Sources {
    /// Reads the `[[entity]]` tables; what they leave open follows from who states facts at all.
    ///
    /// # Errors
    /// Per table (by its index, or none), what is wrong.
    pub(super) fn compile(
        tables: Vec<RawEntity>,
        schema: &Schema,
        principals: &HashSet<TypeName>,
        stored: &HashSet<TypeName>,
    ) -> Result<Self, Vec<(Option<usize>, String)>> {
        let mut types: Map<TypeName, TypeSources> = Map::default();
        let mut faults = Vec::new();
        for (n, table) in tables.into_iter().enumerate() {
            match compile_one(table, schema, principals, stored) {
                Ok((name, _)) if types.contains_key(&name) => {
                    faults.push((
                        Some(n),
                        format!("type `{name}` has two `[[entity]]` tables"),
                    ));
                }
                Ok((name, sources)) => {
                    types.insert(name, sources);
                }
                Err(message) => faults.push((Some(n), message)),
            }
        }
        for name in principals
            .intersection(stored)
            .filter(|name| !types.contains_key(*name))
        {
            let message = format!(
                "`{name}` is a principal and in `entities.json`: say in an `[[entity]]` table which source owns its facts"
            );
            faults.push((None, message));
        }
        for (name, def) in schema.entity_types() {
            let sources = types.entry(name.clone()).or_insert_with(|| TypeSources {
                source: default_source(name, principals, stored),
                attributes: Map::default(),
                stored_else: Set::default(),
                parents: Map::default(),
                required: Vec::new(),
            });
            let members = def.attributes.members.iter();
            let required = members.filter(|(_, member)| member.required);
            let owned = |name: &SmolStr| Owners(Some(&*sources)).of_attribute(name);
            let required = required.map(|(name, _)| (name.clone(), owned(name)));
            sources.required = required.collect();
        }
        match faults.is_empty() {
            true => Ok(Self {
                in_directory: in_directory(&types, schema),
                types,
            }),
            false => Err(faults),
        }
    }

    /// Who owns the facts about entities of one type: one look-up for all of them.
    pub fn owners(&self, entity: &TypeName) -> Owners<'_> {
        Owners(self.types.get(entity))
    }

    /// The source of an entity type's facts, unless one is set apart.
    pub fn of_type(&self, entity: &TypeName) -> Source {
        self.owners(entity).of_type()
    }

    /// Whether the directory says something of entities of a type, or of what they may be in.
    pub fn is_in_directory(&self, entity: &TypeName) -> bool {
        self.in_directory.contains(entity)
    }

    /// Whether the directory says something of entities of any type.
    pub fn uses_directory(&self) -> bool {
        !self.in_directory.is_empty()
    }

    /// The source of an attribute.
    pub fn of_attribute(&self, entity: &TypeName, attribute: &str) -> Source {
        self.owners(entity).of_attribute(attribute)
    }

    /// Whether the bundle's own value of an attribute stands where its owner states none.
    pub fn is_stored_else(&self, entity: &TypeName, attribute: &str) -> bool {
        self.owners(entity).is_stored_else(attribute)
    }

    /// The source of the parents of one type.
    pub fn of_parent(&self, entity: &TypeName, parent: &TypeName) -> Source {
        self.owners(entity).of_parent(parent)
    }

    /// Whether `entities.json` may state an attribute.
    pub(super) fn may_be_stored(&self, entity: &TypeName, attribute: &str) -> bool {
        self.of_attribute(entity, attribute) == Source::Bundle
            || self.is_stored_else(entity, attribute)
    }
}

impl<'s> Owners<'s> {
    /// The source of facts, unless one is set apart.
    pub fn of_type(self) -> Source {
        self.0.map_or(Source::Request, |sources| sources.source)
    }

    /// The source of an attribute.
    pub fn of_attribute(self, attribute: &str) -> Source {
        let own = self.0.and_then(|sources| sources.attributes.get(attribute));
        own.copied().unwrap_or_else(|| self.of_type())
    }

    /// The attributes of one source that must be there, in the order of their names.
    pub fn required_of(self, source: Source) -> impl Iterator<Item = &'s SmolStr> {
        let required = self.0.into_iter().flat_map(|sources| &sources.required);
        let of_source = required.filter(move |(_, owner)| *owner == source);
        of_source.map(|(name, _)| name)
    }

    /// Whether the bundle's own value of an attribute stands where its owner states none.
    pub fn is_stored_else(self, attribute: &str) -> bool {
        self.0
            .is_some_and(|sources| sources.stored_else.contains(attribute))
    }

    /// The source of the parents of one type.
    pub fn of_parent(self, parent: &TypeName) -> Source {
        let own = self.0.and_then(|sources| sources.parents.get(parent));
        own.copied().unwrap_or_else(|| self.of_type())
    }
}

fn in_directory(types: &Map<TypeName, TypeSources>, schema: &Schema) -> Set<TypeName> {
    let says = |sources: &TypeSources| {
        let apart = sources.attributes.values().chain(sources.parents.values());
        apart
            .chain([&sources.source])
            .any(|it| *it == Source::Directory)
    };
    let direct = |name: &TypeName| types.get(name).is_some_and(says);
    let all = schema.entity_types();
    all.filter(|(name, def)| direct(name) || def.ancestors.iter().any(direct))
        .map(|(name, _)| name.clone())
        .collect()
}

fn default_source(
    name: &TypeName,
    principals: &HashSet<TypeName>,
    stored: &HashSet<TypeName>,
) -> Source {
    if principals.contains(name) {
        Source::Token
    } else if stored.contains(name) {
        Source::Bundle
    } else {
        Source::Request
    }
}

fn compile_one(
    table: RawEntity,
    schema: &Schema,
    principals: &HashSet<TypeName>,
    stored: &HashSet<TypeName>,
) -> Result<(TypeName, TypeSources), String> {
    let (name, def) = schema
        .type_name(&table.type_name)
        .and_then(|name| Some((name, schema.entity_type(name)?)))
        .ok_or_else(|| format!("the schema has no entity type `{}`", table.type_name))?;
    let mut attributes = BTreeMap::new();
    let mut stored_else = Set::default();
    for (attribute, owner) in table.attributes {
        if !def.attributes.members.contains_key(attribute.as_str()) {
            return Err(format!("type `{name}` has no attribute `{attribute}`"));
        }
        let source = match owner {
            RawOwner::One(source) => source,
            RawOwner::Else(RawElse { source, otherwise }) => {
                if otherwise != Source::Bundle || source == Source::Bundle {
                    return Err(format!(
                        "attribute `{attribute}`: only \"bundle\" can stand in for another source"
                    ));
                }
                stored_else.insert(attribute.clone());
                source
            }
        };
        attributes.insert(attribute, source);
    }
    let mut parents = Map::default();
    for (parent, source) in table.parents {
        match schema.type_name(&parent) {
            Some(parent) if def.ancestors.contains(parent) => {
                parents.insert(parent.clone(), source);
            }
            _ => return Err(format!("entities of `{name}` are never in a `{parent}`")),
        }
    }
    let source = table
        .source
        .unwrap_or_else(|| default_source(name, principals, stored));
    let of_token = |source: &Source| *source == Source::Token;
    if !principals.contains(name)
        && (of_token(&source) || attributes.values().chain(parents.values()).any(of_token))
    {
        return Err(format!(
            "`{name}` is no principal, so no token states facts about it"
        ));
    }
    let sources = TypeSources {
        source,
        attributes: attributes.into_iter().collect(),
        stored_else,
        parents,
        required: Vec::new(),
    };
    Ok((name.clone(), sources))
}

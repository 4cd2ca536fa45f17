//! Random values and entities, in Doorward's words and in Cedar's.

use std::collections::BTreeSet;

use doorward::model::{EntityFacts, EntityRef, Members, Value};
use serde_json::{Map, Value as Json, json};

use super::{
    dice::Dice,
    shape::{Attribute, Owner, Shape, Ty},
};

/// An entity by its type and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    pub(crate) of: usize,
    pub(crate) n: usize,
}

/// Entities of each type that anything may name; not all of them are there.
pub(crate) const NAMED: usize = 4;

impl Name {
    pub(crate) fn id(self) -> String {
        format!("e{}", self.n)
    }

    pub(crate) fn text(self, shape: &Shape) -> String {
        format!("{}::\"{}\"", shape.type_name(self.of), self.id())
    }

    pub(crate) fn reference(self, shape: &Shape) -> EntityRef {
        EntityRef::new(shape.type_name(self.of), self.id())
    }

    fn json(self, shape: &Shape) -> Json {
        json!({ "type": shape.type_name(self.of), "id": self.id() })
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Val {
    Bool(bool),
    Long(i64),
    Text(String),
    /// An extension's value, by its constructor.
    Made(&'static str, String),
    Entity(Name),
    Set(Vec<Val>),
    Record(Vec<(String, Val)>),
}

pub(crate) const TEXTS: [&str; 4] = ["alpha", "beta", "a*b", ""];
pub(crate) const MOMENTS: [&str; 3] = [
    "2029-12-31T23:59:59.999Z",
    "2030-01-01T00:00:00.000Z",
    "2031-06-01T12:00:00.000Z",
];
pub(crate) const ADDRESSES: [&str; 3] = ["10.1.2.3", "192.168.0.0/16", "::1"];
pub(crate) const DECIMALS: [&str; 3] = ["-1.5", "0.0", "12.3456"];

impl Val {
    pub(crate) fn random(dice: &mut Dice, ty: &Ty) -> Self {
        let text = |dice: &mut Dice, of: &[&str]| (*dice.pick(of)).to_owned();
        match ty {
            Ty::Bool => Self::Bool(dice.chance(50)),
            Ty::Long => Self::Long(match dice.roll(12) {
                0 => i64::MAX,
                n => i64::try_from(n).unwrap() - 6,
            }),
            Ty::Text => Self::Text(text(dice, &TEXTS)),
            Ty::Moment => Self::Made("datetime", text(dice, &MOMENTS)),
            Ty::Ip => Self::Made("ip", text(dice, &ADDRESSES)),
            Ty::Decimal => Self::Made("decimal", text(dice, &DECIMALS)),
            Ty::Entity(of) => Self::Entity(Name {
                of: *of,
                n: dice.roll(NAMED),
            }),
            Ty::Set(item) => Self::Set(
                (0..dice.roll(4))
                    .map(|_| Self::random(dice, item))
                    .collect(),
            ),
            Ty::Record(members) => Self::Record(random_members(dice, members)),
        }
    }

    /// As a caller states it.
    fn ours(&self, shape: &Shape) -> Value {
        match self {
            Self::Bool(it) => Value::Bool(*it),
            Self::Long(it) => Value::Long(*it),
            Self::Text(it) | Self::Made(_, it) => Value::String(it.clone()),
            Self::Entity(it) if it.n.is_multiple_of(2) => Value::String(it.id()),
            Self::Entity(it) => Value::Entity(it.reference(shape)),
            Self::Set(items) => Value::Set(items.iter().map(|it| it.ours(shape)).collect()),
            Self::Record(members) => Value::Record(our_members(shape, members)),
        }
    }

    /// As `entities.json` has it: without escapes, for types come from the schema.
    fn stored(&self, shape: &Shape) -> Json {
        match self {
            Self::Bool(it) => json!(it),
            Self::Long(it) => json!(it),
            Self::Text(it) | Self::Made(_, it) => json!(it),
            Self::Entity(it) if it.n.is_multiple_of(2) => json!(it.id()),
            Self::Entity(it) => it.json(shape),
            Self::Set(items) => items.iter().map(|it| it.stored(shape)).collect(),
            Self::Record(members) => members_of(members, |it| it.stored(shape)),
        }
    }

    /// As Cedar has it, with its escapes.
    pub(crate) fn cedar(&self, shape: &Shape) -> Json {
        match self {
            Self::Bool(it) => json!(it),
            Self::Long(it) => json!(it),
            Self::Text(it) => json!(it),
            Self::Made(function, it) => json!({ "__extn": { "fn": function, "arg": it } }),
            Self::Entity(it) => json!({ "__entity": it.json(shape) }),
            Self::Set(items) => items.iter().map(|it| it.cedar(shape)).collect(),
            Self::Record(members) => members_of(members, |it| it.cedar(shape)),
        }
    }
}

pub(crate) fn random_members(dice: &mut Dice, declared: &[Attribute]) -> Vec<(String, Val)> {
    let mut members = Vec::new();
    for it in declared {
        if it.required || dice.chance(60) {
            members.push((it.name.clone(), Val::random(dice, &it.ty)));
        }
    }
    members
}

fn members_of(members: &[(String, Val)], json: impl Fn(&Val) -> Json) -> Json {
    let members = members.iter().map(|(name, it)| (name.clone(), json(it)));
    Json::Object(members.collect::<Map<_, _>>())
}

pub(crate) fn our_members(shape: &Shape, members: &[(String, Val)]) -> Members {
    let members = members.iter();
    members
        .map(|(name, it)| (name.clone(), it.ours(shape)))
        .collect()
}

/// What one owner states about one entity.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) name: Name,
    pub(crate) owner: Owner,
    pub(crate) attributes: Vec<(String, Val)>,
    pub(crate) parents: Vec<Name>,
}

impl Part {
    fn is_bare(&self) -> bool {
        self.attributes.is_empty() && self.parents.is_empty()
    }

    pub(crate) fn facts(&self, shape: &Shape) -> EntityFacts {
        EntityFacts {
            uid: self.name.reference(shape),
            attributes: our_members(shape, &self.attributes),
            parents: self.parents.iter().map(|it| it.reference(shape)).collect(),
        }
    }

    pub(crate) fn stored(&self, shape: &Shape) -> Json {
        json!({
            "uid": self.name.json(shape),
            "attrs": members_of(&self.attributes, |it| it.stored(shape)),
            "parents": self.parents.iter().map(|it| it.json(shape)).collect::<Vec<_>>(),
        })
    }
}

/// Everything that anyone states, in parts.
#[derive(Clone, Debug)]
pub(crate) struct Store(pub(crate) Vec<Part>);

impl Store {
    pub(crate) fn random(dice: &mut Dice, shape: &Shape) -> Self {
        let mut parts = Vec::new();
        for of in 0..shape.types.len() {
            for n in 0..NAMED {
                parts.extend(entity(dice, shape, Name { of, n }));
            }
        }
        Self(parts)
    }

    pub(crate) fn of(&self, owner: Owner) -> impl Iterator<Item = &Part> {
        self.0.iter().filter(move |part| part.owner == owner)
    }

    pub(crate) fn part(&self, owner: Owner, name: Name) -> Option<&Part> {
        self.of(owner).find(|part| part.name == name)
    }

    /// The same for a directory, in which nothing is in what is not there.
    pub(crate) fn in_directory(mut self, shape: &Shape) -> Self {
        let there: BTreeSet<Name> = self.of(Owner::Bundle).map(|part| part.name).collect();
        let counts = |it: &Name| shape.types[it.of].owner != Owner::Bundle || there.contains(it);
        for part in self.0.iter_mut().filter(|it| it.owner == Owner::Bundle) {
            part.parents.retain(counts);
        }
        self
    }

    /// What comes with a question: what the request states, and what its directory is supposed to have.
    pub(crate) fn given(&self, shape: &Shape) -> impl Iterator<Item = &Part> {
        let stored = self.of(Owner::Bundle).filter(|_| shape.in_directory);
        // Who says nothing about an entity that may be stored would be taken to store it.
        let stated = self.of(Owner::Request);
        let stated = stated.filter(|it| !shape.in_directory || !it.is_bare());
        stated.chain(stored)
    }

    /// The whole store as Cedar has it, when `who` asks: of those whose facts are in tokens, only who
    /// asks is known.
    pub(crate) fn cedar(&self, shape: &Shape, who: Name) -> Vec<Json> {
        let known = |part: &&Part| part.owner != Owner::Token || part.name == who;
        let known: Vec<&Part> = self.0.iter().filter(known).collect();
        let names: BTreeSet<Name> = known.iter().map(|part| part.name).collect();
        let united = names.into_iter().map(|name| {
            let parts = || known.iter().filter(|part| part.name == name);
            let attributes = parts().flat_map(|part| part.attributes.clone());
            let parents: BTreeSet<Name> = parts().flat_map(|part| part.parents.clone()).collect();
            json!({
                "uid": name.json(shape),
                "attrs": members_of(&attributes.collect::<Vec<_>>(), |it| it.cedar(shape)),
                "parents": parents.iter().map(|it| it.json(shape)).collect::<Vec<_>>(),
            })
        });
        united.collect()
    }
}

/// The parts of an entity, unless there is none: then others name what is not there.
fn entity(dice: &mut Dice, shape: &Shape, name: Name) -> Vec<Part> {
    if dice.chance(15) {
        return Vec::new();
    }
    let of = &shape.types[name.of];
    let part = |owner| Part {
        name,
        owner,
        attributes: Vec::new(),
        parents: Vec::new(),
    };
    let mut parts = vec![part(of.owner)];
    let place = |parts: &mut Vec<Part>, owner| match parts.iter().position(|it| it.owner == owner) {
        Some(at) => at,
        None => {
            parts.push(part(owner));
            parts.len() - 1
        }
    };
    for (attribute, value) in random_members(dice, &of.attributes) {
        let own = of.attribute_owners.iter().find(|(it, _)| *it == attribute);
        let at = place(&mut parts, own.map_or(of.owner, |(_, owner)| *owner));
        parts[at].attributes.push((attribute, value));
    }
    for parent in &of.parents {
        // Later ones only, so that nothing is its own ancestor.
        let first = if *parent == name.of { name.n + 1 } else { 0 };
        for n in first..NAMED {
            if dice.chance(30) {
                let own = of.parent_owners.iter().find(|(it, _)| it == parent);
                let at = place(&mut parts, own.map_or(of.owner, |(_, owner)| *owner));
                parts[at].parents.push(Name { of: *parent, n });
            }
        }
    }
    parts
}

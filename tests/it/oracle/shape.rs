//! Random schemas.

use std::fmt::Write;

use super::dice::Dice;

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    Bool,
    Long,
    Text,
    Moment,
    Ip,
    Decimal,
    /// An entity of one type.
    Entity(usize),
    Set(Box<Ty>),
    Record(Vec<Attribute>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) ty: Ty,
    pub(crate) required: bool,
}

/// Who states facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Token,
    Bundle,
    Request,
}

impl Owner {
    fn name(self, in_directory: bool) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Bundle if in_directory => "directory",
            Self::Bundle => "bundle",
            Self::Request => "request",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct EntityType {
    pub(crate) name: String,
    pub(crate) attributes: Vec<Attribute>,
    /// The types that its entities may be directly in; none comes before it.
    pub(crate) parents: Vec<usize>,
    pub(crate) owner: Owner,
    /// Owners of attributes and of parents, by name and type, where they differ.
    pub(crate) attribute_owners: Vec<(String, Owner)>,
    pub(crate) parent_owners: Vec<(usize, Owner)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) name: String,
    pub(crate) groups: Vec<usize>,
    pub(crate) principals: Vec<usize>,
    pub(crate) resources: Vec<usize>,
}

/// A schema: principals' types first, then resources', then those of their groups.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) namespace: Option<&'static str>,
    pub(crate) types: Vec<EntityType>,
    pub(crate) principals: usize,
    /// Groups of actions, each with the later ones that it is in.
    pub(crate) groups: Vec<Vec<usize>>,
    pub(crate) actions: Vec<Action>,
    pub(crate) context: Vec<Attribute>,
    /// Whether a directory has what the bundle would.
    pub(crate) in_directory: bool,
}

impl Shape {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let namespace = dice.chance(40).then_some("Shop");
        let (principals, resources, groups) =
            (dice.between(1, 2), dice.between(1, 2), dice.between(1, 3));
        let all = principals + resources + groups;
        let types = (0..all).map(|n| entity_type(dice, n, principals, principals + resources, all));
        let types: Vec<EntityType> = types.collect();
        let group_count = dice.between(1, 3);
        let later = |n: usize| (n + 1..group_count).collect::<Vec<_>>();
        let groups = (0..group_count).map(|n| dice.some(&later(n), 50)).collect();
        let who: Vec<usize> = (0..principals).collect();
        // Some principals are resources of others, or of themselves.
        let what: Vec<usize> =
            (usize::from(dice.chance(60)) * principals..principals + resources).collect();
        let all_groups: Vec<usize> = (0..group_count).collect();
        let actions = (0..dice.between(2, 4)).map(|n| Action {
            name: format!("a{n}"),
            groups: dice.some(&all_groups, 50),
            // No principal is without an action.
            principals: match n {
                0 => who.clone(),
                _ => dice.at_least_one(&who, 70),
            },
            resources: dice.at_least_one(&what, 60),
        });
        let actions = actions.collect();
        Self {
            namespace,
            types,
            principals,
            groups,
            actions,
            context: attributes(dice, 'c', 4, all, 1),
            in_directory: false,
        }
    }

    /// A name as policies say it.
    pub(crate) fn full(&self, name: &str) -> String {
        match self.namespace {
            Some(namespace) => format!("{namespace}::{name}"),
            None => name.to_owned(),
        }
    }

    pub(crate) fn type_name(&self, n: usize) -> String {
        self.full(&self.types[n].name)
    }

    pub(crate) fn action_type(&self) -> String {
        self.full("Action")
    }

    /// The types that entities of type `n` may be in, directly or not, and `n` itself.
    pub(crate) fn above(&self, n: usize) -> Vec<usize> {
        let mut found = vec![n];
        let mut next = 0;
        while let Some(n) = found.get(next).copied() {
            next += 1;
            for parent in &self.types[n].parents {
                if !found.contains(parent) {
                    found.push(*parent);
                }
            }
        }
        found
    }

    /// The groups that an action is in, directly or not.
    pub(crate) fn groups_of(&self, action: &Action) -> Vec<usize> {
        let mut found = action.groups.clone();
        let mut next = 0;
        while let Some(n) = found.get(next).copied() {
            next += 1;
            for group in &self.groups[n] {
                if !found.contains(group) {
                    found.push(*group);
                }
            }
        }
        found
    }

    /// `schema.cedarschema`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for it in &self.types {
            let parents = list(it.parents.iter().map(|n| self.types[*n].name.clone()));
            let within = match it.parents.is_empty() {
                true => String::new(),
                false => format!(" in {parents}"),
            };
            let attributes = self.record(&it.attributes);
            writeln!(text, "entity {}{within} = {attributes};", it.name).unwrap();
        }
        let within = |groups: &[usize]| match groups.is_empty() {
            true => String::new(),
            false => format!(" in {}", list(groups.iter().map(|n| format!("g{n}")))),
        };
        for (n, groups) in self.groups.iter().enumerate() {
            writeln!(text, "action g{n}{};", within(groups)).unwrap();
        }
        let names = |types: &[usize]| list(types.iter().map(|n| self.types[*n].name.clone()));
        for it in &self.actions {
            writeln!(
                text,
                "action {}{} appliesTo {{ principal: {}, resource: {}, context: {} }};",
                it.name,
                within(&it.groups),
                names(&it.principals),
                names(&it.resources),
                self.record(&self.context_members()),
            )
            .unwrap();
        }
        match self.namespace {
            Some(namespace) => format!("namespace {namespace} {{\n{text}}}\n"),
            None => text,
        }
    }

    /// The context's members with the standard one.
    pub(crate) fn context_members(&self) -> Vec<Attribute> {
        let now = Attribute {
            name: "now".to_owned(),
            ty: Ty::Moment,
            required: true,
        };
        [vec![now], self.context.clone()].concat()
    }

    fn record(&self, attributes: &[Attribute]) -> String {
        let members = attributes.iter().map(|it| {
            let mark = if it.required { "" } else { "?" };
            format!("{}{mark}: {}", it.name, self.ty(&it.ty))
        });
        format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
    }

    fn ty(&self, ty: &Ty) -> String {
        match ty {
            Ty::Bool => "Bool".to_owned(),
            Ty::Long => "Long".to_owned(),
            Ty::Text => "String".to_owned(),
            Ty::Moment => "datetime".to_owned(),
            Ty::Ip => "ipaddr".to_owned(),
            Ty::Decimal => "decimal".to_owned(),
            Ty::Entity(n) => self.types[*n].name.clone(),
            Ty::Set(item) => format!("Set<{}>", self.ty(item)),
            Ty::Record(members) => self.record(members),
        }
    }

    /// `bundle.toml`.
    pub(crate) fn rules(&self) -> String {
        let mut text = String::new();
        if let Some(namespace) = self.namespace {
            writeln!(text, "namespace = \"{namespace}\"").unwrap();
        }
        for it in &self.types[..self.principals] {
            writeln!(
                text,
                "[[principal]]\ntype = \"{}\"\nid = \"{{sub}}\"",
                it.name
            )
            .unwrap();
        }
        for it in &self.types {
            let (name, source) = (&it.name, it.owner.name(self.in_directory));
            writeln!(text, "[[entity]]\ntype = \"{name}\"\nsource = \"{source}\"").unwrap();
            let attributes = it.attribute_owners.iter();
            let attributes = attributes
                .map(|(name, owner)| format!("{name} = \"{}\"", owner.name(self.in_directory)));
            let parents = it.parent_owners.iter();
            let parents = parents.map(|(n, owner)| {
                format!(
                    "{} = \"{}\"",
                    self.types[*n].name,
                    owner.name(self.in_directory)
                )
            });
            for (key, owners) in [
                ("attributes", attributes.collect::<Vec<_>>()),
                ("parents", parents.collect()),
            ] {
                if !owners.is_empty() {
                    writeln!(text, "{key} = {{ {} }}", owners.join(", ")).unwrap();
                }
            }
        }
        text
    }
}

fn list(names: impl Iterator<Item = String>) -> String {
    format!("[{}]", names.collect::<Vec<_>>().join(", "))
}

fn entity_type(
    dice: &mut Dice,
    n: usize,
    principals: usize,
    resources: usize,
    all: usize,
) -> EntityType {
    let groups: Vec<usize> = (resources..all).collect();
    let mut parents = match n < resources {
        true => dice.at_least_one(&groups, 60),
        false => dice.some(&groups, 60),
    };
    parents.retain(|parent| *parent >= n);
    if dice.chance(30) && !parents.contains(&n) {
        parents.push(n);
    }
    let owner = match (n < principals, dice.roll(4)) {
        (true, 0 | 1) => Owner::Token,
        (_, 2) => Owner::Request,
        _ => Owner::Bundle,
    };
    let attributes = attributes(dice, 'x', 5, all, 1);
    let others = [Owner::Bundle, Owner::Request];
    let other = |dice: &mut Dice| *dice.pick(&others);
    // What is required of an entity comes with it.
    let optional = attributes.iter().filter(|it| !it.required);
    let optional: Vec<String> = optional.map(|it| it.name.clone()).collect();
    let set_apart = dice.some(&optional, 20).into_iter();
    let attribute_owners = set_apart.map(|name| (name, other(dice))).collect();
    let set_apart = dice.some(&parents, 15).into_iter();
    let parent_owners = set_apart.map(|parent| (parent, other(dice))).collect();
    EntityType {
        name: format!("T{n}"),
        attributes,
        parents,
        owner,
        attribute_owners,
        parent_owners,
    }
}

fn attributes(
    dice: &mut Dice,
    letter: char,
    most: usize,
    types: usize,
    depth: usize,
) -> Vec<Attribute> {
    (0..dice.between(2, most))
        .map(|n| Attribute {
            name: format!("{letter}{n}"),
            ty: ty(dice, types, depth),
            required: dice.chance(60),
        })
        .collect()
}

fn ty(dice: &mut Dice, types: usize, depth: usize) -> Ty {
    match dice.roll(if depth > 0 { 15 } else { 12 }) {
        0 => Ty::Bool,
        1..=3 => Ty::Long,
        4 | 5 => Ty::Text,
        6 => Ty::Moment,
        7 => Ty::Ip,
        8 => Ty::Decimal,
        9..=11 => Ty::Entity(dice.roll(types)),
        12 => Ty::Set(Box::new(Ty::Long)),
        13 => Ty::Set(Box::new(Ty::Entity(dice.roll(types)))),
        _ => Ty::Record(attributes(dice, 'y', 3, types, depth - 1)),
    }
}

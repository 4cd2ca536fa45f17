//! Random policies with every form of head, over one schema.

use super::{
    conditions::Paths,
    dice::Dice,
    shape::{Action, Shape},
    store::{NAMED, Name},
};

/// What a head asks of principal or resource; a slot stands for what each link fills in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scope {
    Any,
    Is(Filled),
    In(Filled),
    OfType(usize),
    OfTypeIn(usize, Filled),
}

/// An entity that is written, or that links fill in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filled {
    Written(Name),
    Slot,
}

/// What a head asks of the action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Actions {
    Any,
    Is(Doing),
    In(Doing),
    InSet(Vec<Doing>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Doing {
    Action(usize),
    Group(usize),
}

/// The entities of a link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) principal: Option<Name>,
    pub(crate) resource: Option<Name>,
}

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) id: String,
    pub(crate) forbids: bool,
    pub(crate) principal: Scope,
    pub(crate) actions: Actions,
    pub(crate) resource: Scope,
    pub(crate) clauses: String,
    /// Of a template; a policy has none.
    pub(crate) links: Vec<Link>,
}

impl Policy {
    pub(crate) fn random(dice: &mut Dice, shape: &Shape, n: usize) -> Self {
        // Some request for which it is meant, so that it can apply at all.
        let action = dice.roll(shape.actions.len());
        let Action {
            principals,
            resources,
            ..
        } = &shape.actions[action];
        let (who, what) = (*dice.pick(principals), *dice.pick(resources));
        let (mut principal, mut resource) = (scope(dice, shape, who), scope(dice, shape, what));
        let mut links = Vec::new();
        if dice.chance(20) {
            if dice.chance(70) {
                open(&mut principal);
            }
            if dice.chance(50) {
                open(&mut resource);
            }
            if principal.has_slot() || resource.has_slot() {
                links = (0..dice.between(1, 3))
                    .map(|_| Link {
                        principal: principal
                            .has_slot()
                            .then(|| above(dice, shape, who, &principal)),
                        resource: resource
                            .has_slot()
                            .then(|| above(dice, shape, what, &resource)),
                    })
                    .collect();
            }
        }
        let forbids = dice.chance(22);
        let paths = Paths::of(shape, who, what);
        let clauses = (0..match dice.roll(10) {
            0..=2 if !forbids => 0,
            0..=6 => 1,
            _ => 2,
        })
            .map(|_| {
                let word = if dice.chance(80) { "when" } else { "unless" };
                let (who, what) = (shape.type_name(who), shape.type_name(what));
                let condition = paths.condition(dice, 2);
                format!(" {word} {{ principal is {who} && resource is {what} && {condition} }}")
            })
            .collect();
        Self {
            id: format!("p{n}"),
            forbids,
            principal,
            actions: actions(dice, shape, action),
            resource,
            clauses,
            links,
        }
    }

    pub(crate) fn is_template(&self) -> bool {
        self.principal.has_slot() || self.resource.has_slot()
    }

    /// The id of a link.
    pub(crate) fn link_id(&self, n: usize) -> String {
        format!("{}-{n}", self.id)
    }

    pub(crate) fn text(&self, shape: &Shape) -> String {
        let effect = if self.forbids { "forbid" } else { "permit" };
        let doing = |it: &Doing| {
            let name = match it {
                Doing::Action(n) => shape.actions[*n].name.clone(),
                Doing::Group(n) => format!("g{n}"),
            };
            format!("{}::\"{name}\"", shape.action_type())
        };
        let action = match &self.actions {
            Actions::Any => "action".to_owned(),
            Actions::Is(it) => format!("action == {}", doing(it)),
            Actions::In(it) => format!("action in {}", doing(it)),
            Actions::InSet(all) => {
                let all: Vec<String> = all.iter().map(doing).collect();
                format!("action in [{}]", all.join(", "))
            }
        };
        let principal = self.principal.text(shape, "principal");
        let resource = self.resource.text(shape, "resource");
        format!(
            "{effect}({principal}, {action}, {resource}){};",
            self.clauses
        )
    }
}

impl Scope {
    pub(crate) fn has_slot(&self) -> bool {
        matches!(
            self,
            Self::Is(Filled::Slot) | Self::In(Filled::Slot) | Self::OfTypeIn(_, Filled::Slot)
        )
    }

    fn text(&self, shape: &Shape, of: &str) -> String {
        let filled = |it: &Filled| match it {
            Filled::Written(name) => name.text(shape),
            Filled::Slot => format!("?{of}"),
        };
        match self {
            Self::Any => of.to_owned(),
            Self::Is(it) => format!("{of} == {}", filled(it)),
            Self::In(it) => format!("{of} in {}", filled(it)),
            Self::OfType(n) => format!("{of} is {}", shape.type_name(*n)),
            Self::OfTypeIn(n, it) => format!("{of} is {} in {}", shape.type_name(*n), filled(it)),
        }
    }
}

fn scope(dice: &mut Dice, shape: &Shape, of: usize) -> Scope {
    let own = Filled::Written(Name {
        of,
        n: dice.roll(NAMED),
    });
    let containers = shape.above(of);
    let container = Filled::Written(Name {
        of: *dice.pick(&containers),
        n: dice.roll(NAMED),
    });
    match dice.roll(10) {
        0..=2 => Scope::Any,
        3 => Scope::Is(own),
        4..=6 => Scope::In(container),
        7 => Scope::OfType(of),
        _ => Scope::OfTypeIn(of, container),
    }
}

/// Opens a slot where the head has room for one.
fn open(scope: &mut Scope) {
    if let Scope::Is(filled) | Scope::In(filled) | Scope::OfTypeIn(_, filled) = scope {
        *filled = Filled::Slot;
    }
}

/// Something that fills a slot: an entity of the type, or one that it may be in.
fn above(dice: &mut Dice, shape: &Shape, of: usize, scope: &Scope) -> Name {
    let fits = match scope {
        Scope::Is(_) => vec![of],
        _ => shape.above(of),
    };
    Name {
        of: *dice.pick(&fits),
        n: dice.roll(NAMED),
    }
}

fn actions(dice: &mut Dice, shape: &Shape, action: usize) -> Actions {
    let groups = shape.groups_of(&shape.actions[action]);
    match dice.roll(10) {
        0..=2 => Actions::Any,
        3 | 4 => Actions::Is(Doing::Action(action)),
        5 => Actions::In(Doing::Action(action)),
        6 | 7 if !groups.is_empty() => Actions::In(Doing::Group(*dice.pick(&groups))),
        _ => {
            let all: Vec<usize> = (0..shape.actions.len()).collect();
            let others = dice.some(&all, 30).into_iter().map(Doing::Action);
            let mut set: Vec<Doing> = others.collect();
            if !groups.is_empty() && dice.chance(50) {
                set.push(Doing::Group(*dice.pick(&groups)));
            } else {
                set.push(Doing::Action(action));
            }
            Actions::InSet(set)
        }
    }
}

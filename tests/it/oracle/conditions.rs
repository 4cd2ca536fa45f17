//! Random conditions, well typed for one type of principal and one of resource.

use super::{
    dice::Dice,
    shape::{Attribute, Shape, Ty},
    store::{ADDRESSES, DECIMALS, MOMENTS, NAMED, Name, TEXTS},
};

/// How many entities are followed from a variable.
const DEPTH: usize = 3;

/// What conditions can look at: expressions by their types.
pub(crate) struct Paths<'s> {
    shape: &'s Shape,
    all: Vec<Path>,
}

struct Path {
    text: String,
    ty: Ty,
    /// Entities followed to get there.
    depth: usize,
    /// What must be there first: `x has a`.
    guards: Vec<String>,
}

impl<'s> Paths<'s> {
    pub(crate) fn of(shape: &'s Shape, principal: usize, resource: usize) -> Self {
        let mut all = Vec::new();
        for (text, ty) in [
            ("principal", Ty::Entity(principal)),
            ("resource", Ty::Entity(resource)),
            ("context", Ty::Record(shape.context_members())),
        ] {
            all.push(Path {
                text: text.to_owned(),
                ty,
                depth: 0,
                guards: Vec::new(),
            });
        }
        let mut next = 0;
        while next < all.len() && all.len() < 300 {
            let Path {
                text,
                ty,
                depth,
                guards,
            } = &all[next];
            let (members, depth): (&[Attribute], usize) = match ty {
                Ty::Entity(of) if *depth < DEPTH => (&shape.types[*of].attributes, depth + 1),
                Ty::Record(members) => (members, *depth),
                _ => (&[], 0),
            };
            let found: Vec<Path> = members
                .iter()
                .map(|it| {
                    let guard = (!it.required).then(|| format!("{text} has {}", it.name));
                    Path {
                        text: format!("{text}.{}", it.name),
                        ty: it.ty.clone(),
                        depth,
                        guards: guards.iter().cloned().chain(guard).collect(),
                    }
                })
                .collect();
            all.extend(found);
            next += 1;
        }
        Self { shape, all }
    }

    /// An expression that is a boolean.
    pub(crate) fn condition(&self, dice: &mut Dice, depth: usize) -> String {
        let inner = |dice: &mut Dice| self.condition(dice, depth.saturating_sub(1));
        match dice.roll(if depth == 0 { 6 } else { 12 }) {
            0..=5 => self.comparison(dice),
            6 | 7 => format!("({} && {})", inner(dice), inner(dice)),
            8 | 9 => format!("({} || {})", inner(dice), inner(dice)),
            10 => format!("!{}", inner(dice)),
            _ => format!(
                "(if {} then {} else {})",
                inner(dice),
                inner(dice),
                inner(dice)
            ),
        }
    }

    fn comparison(&self, dice: &mut Dice) -> String {
        let paths: Vec<&Path> = self.all.iter().filter(|it| it.text != "context").collect();
        let path = *dice.pick(&paths);
        let comparison = self.compare(dice, path);
        let mut terms = path.guards.clone();
        // Now and then a record's or entity's member is asked for, and no more.
        if dice.chance(10)
            && let Some(guard) = terms.pop()
        {
            terms.push(guard);
        } else {
            terms.push(comparison);
        }
        format!("({})", terms.join(" && "))
    }

    fn compare(&self, dice: &mut Dice, path: &Path) -> String {
        let it = &path.text;
        match &path.ty {
            Ty::Bool => it.clone(),
            Ty::Long => {
                let n = i64::try_from(dice.roll(12)).unwrap() - 6;
                let sign = *dice.pick(&["<", "<=", "==", "!=", ">=", ">"]);
                match dice.roll(8) {
                    // Overflows for what is above zero.
                    0 => format!("{it} + 9223372036854775807 {sign} {n}"),
                    1 => format!("-{it} {sign} {n}"),
                    2 => format!("{it} * 3 - 1 {sign} {n}"),
                    _ => format!("{it} {sign} {n}"),
                }
            }
            Ty::Text => match dice.roll(3) {
                0 => format!("{it} like \"*a*\""),
                _ => format!("{it} == \"{}\"", dice.pick(&TEXTS)),
            },
            Ty::Moment => match dice.roll(3) {
                0 => format!("{it} <= context.now"),
                1 => format!("{it}.toDate() < datetime(\"{}\")", dice.pick(&MOMENTS)),
                _ => format!("{it} > datetime(\"{}\")", dice.pick(&MOMENTS)),
            },
            Ty::Ip => match dice.roll(2) {
                0 => format!("{it}.isIpv4()"),
                _ => format!("ip(\"{}\").isInRange({it})", dice.pick(&ADDRESSES)),
            },
            Ty::Decimal => format!("{it}.lessThan(decimal(\"{}\"))", dice.pick(&DECIMALS)),
            Ty::Entity(of) => self.compare_entity(dice, path, *of),
            Ty::Set(item) => match (dice.roll(4), &**item) {
                (0, _) => format!("{it}.isEmpty()"),
                (1, Ty::Long) => format!("{it}.containsAny([1, 2, 3])"),
                (_, Ty::Long) => format!("{it}.contains({})", dice.roll(4)),
                (1, Ty::Entity(of)) => {
                    let (a, b) = (self.named(dice, *of), self.named(dice, *of));
                    format!("{it}.containsAny([{a}, {b}])")
                }
                (_, Ty::Entity(of)) => format!("{it}.contains({})", self.named(dice, *of)),
                (_, other) => unreachable!("a set of {other:?}"),
            },
            Ty::Record(members) => {
                let member = dice.pick(members);
                format!("{it} has {}", member.name)
            }
        }
    }

    fn compare_entity(&self, dice: &mut Dice, path: &Path, of: usize) -> String {
        let it = &path.text;
        let above = self.shape.above(of);
        let container = |dice: &mut Dice| {
            let of = *dice.pick(&above);
            self.named(dice, of)
        };
        // To ask whether it is in something is to follow it.
        match dice.roll(if path.depth < DEPTH { 8 } else { 3 }) {
            0 => format!("{it} == {}", self.named(dice, of)),
            1 => {
                let like = |other: &&Path| other.ty == path.ty && other.guards.is_empty();
                let like: Vec<&Path> = self.all.iter().filter(like).collect();
                match like.is_empty() {
                    true => format!("{it} == {it}"),
                    false => format!("{it} == {}", dice.pick(&like).text),
                }
            }
            2 => format!("{it} is {}", self.shape.type_name(of)),
            3 => {
                let of = *dice.pick(&above);
                format!(
                    "{it} in [{}, {}]",
                    self.named(dice, of),
                    self.named(dice, of)
                )
            }
            4 if !self.shape.types[of].attributes.is_empty() => {
                format!(
                    "{it} has {}",
                    dice.pick(&self.shape.types[of].attributes).name
                )
            }
            _ => format!("{it} in {}", container(dice)),
        }
    }

    fn named(&self, dice: &mut Dice, of: usize) -> String {
        let n = dice.roll(NAMED);
        Name { of, n }.text(self.shape)
    }
}

//! What would have to change for a condition to come out otherwise: candidates, not promises.
//!
//! They are derived from the condition itself: `a == b` suggests a value for either side, `in` a
//! parent, `contains` a member. Whoever uses one decides again to see whether it does what it should.

use std::collections::BTreeMap;

use cedar_policy_core::{
    ast::{BinaryOp, Expr, ExprKind, PatternElem, UnaryOp, Var},
    parser::Loc,
};
use smol_str::SmolStr;

use super::{
    CedarValue, Entities, Evaluator, Rule, Uid, find,
    parts::{Part, Shape, shape},
    value::{Scale, as_bool, as_entity, as_number, as_record, as_set, as_text, of_number},
};
use super::{bool, entity_value, string};
use crate::policy::{
    change::{Change, Edit, Root, Spot, member_at, some_value},
    schema::{ActionDef, Schema},
};

/// The most alternatives for one condition.
const MAX_WAYS: usize = 8;

/// One alternative: what must change together.
pub(in crate::policy) type Way = Vec<Change>;

/// A rule's conditions under one request, with the schema that says what may be there instead.
pub(in crate::policy) struct Ways<'a> {
    pub(in crate::policy) evaluator: &'a Evaluator<'a>,
    pub(in crate::policy) rule: &'a Rule,
    pub(in crate::policy) context: &'a BTreeMap<SmolStr, CedarValue>,
    pub(in crate::policy) entities: &'a Entities,
    pub(in crate::policy) schema: &'a Schema,
    pub(in crate::policy) action: &'a ActionDef,
}

/// How to go about an expression.
pub(in crate::policy) enum Plan<'r> {
    /// Any of these changes may do.
    Change(Vec<Way>),
    /// Each of these must hold, one after the other.
    All(Vec<Part<'r>>),
    /// The same, in any of these ways.
    Any(Vec<Vec<Part<'r>>>),
}

impl<'a> Ways<'a> {
    /// How a part can come to hold, which it does not.
    pub(in crate::policy) fn plan<'r>(&self, part: Part<'r>) -> Plan<'r> {
        let wanted = !part.negated;
        let goal = |expr, wanted: bool| Part {
            expr,
            negated: !wanted,
        };
        match (shape(part.expr), wanted) {
            (Shape::And(left, right), true) | (Shape::Or(left, right), false) => {
                Plan::All(vec![goal(left, wanted), goal(right, wanted)])
            }
            (Shape::And(left, right), false) | (Shape::Or(left, right), true) => Plan::Any(vec![
                vec![goal(left, wanted)],
                vec![goal(left, !wanted), goal(right, wanted)],
            ]),
            (Shape::Not(inner), _) => Plan::All(vec![goal(inner, !wanted)]),
            (Shape::If(test, then, otherwise), _) => Plan::Any(vec![
                vec![goal(test, true), goal(then, wanted)],
                vec![goal(test, false), goal(otherwise, wanted)],
            ]),
            (Shape::Atom, _) => {
                let mut ways = self.atom(part.expr, wanted);
                ways.retain(|way| {
                    let possible = |change: &Change| change.is_possible(self.schema, self.action);
                    !way.is_empty() && way.iter().all(possible)
                });
                ways.truncate(MAX_WAYS);
                Plan::Change(ways)
            }
        }
    }

    fn atom(&self, expr: &Expr, wanted: bool) -> Vec<Way> {
        match expr.expr_kind() {
            // `a > b` and `a is T in b`, as Cedar reads them.
            ExprKind::UnaryApp {
                op: UnaryOp::Not,
                arg,
            } => self.atom(arg, !wanted),
            ExprKind::And { right, .. } => self.atom(right, wanted),
            ExprKind::GetAttr { .. } => self.solve(expr, &bool(wanted), true),
            ExprKind::HasAttr { expr, attr } => self.has(expr, std::slice::from_ref(attr), wanted),
            ExprKind::ExtHasAttr { expr, attrs } => {
                let attrs: Vec<SmolStr> = attrs.iter().cloned().collect();
                self.has(expr, &attrs, wanted)
            }
            ExprKind::Like { expr, pattern } => {
                let witness: String = match wanted {
                    true => pattern
                        .iter()
                        .filter_map(|elem| match elem {
                            PatternElem::Char(char) => Some(*char),
                            PatternElem::Wildcard => None,
                        })
                        .collect(),
                    false => ["", "-"]
                        .iter()
                        .find(|text| !pattern.wildcard_match(text))
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                };
                self.solve(expr, &string(&witness), true)
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => self.binary(*op, arg1, arg2, wanted),
            ExprKind::UnaryApp {
                op: UnaryOp::IsEmpty,
                arg,
            } if wanted => {
                let members = self.value(arg);
                let members = members.as_ref().and_then(as_set).unwrap_or_default();
                let all = members
                    .into_iter()
                    .map(|it| self.edit(arg, Edit::Remove(it.clone()), false));
                all.collect::<Option<Way>>().into_iter().collect()
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                let name = fn_name.to_string();
                match (name.as_str(), args.as_slice(), wanted) {
                    (
                        "lessThanOrEqual" | "greaterThanOrEqual" | "isInRange",
                        [left, right],
                        true,
                    )
                    | ("lessThan" | "greaterThan", [left, right], false) => self.equal(left, right),
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr, wanted: bool) -> Vec<Way> {
        match (op, wanted) {
            (BinaryOp::Eq, true) => self.equal(left, right),
            (BinaryOp::Eq, false) => self.other(left, right),
            // `a < b` by one step, and the same with equality allowed.
            (BinaryOp::Less, true) => self.step(left, right, -1),
            (BinaryOp::Less, false) | (BinaryOp::LessEq, true) => self.equal(left, right),
            (BinaryOp::LessEq, false) => self.step(left, right, 1),
            (BinaryOp::In, _) => self.hierarchy(left, right, wanted),
            (BinaryOp::Contains, _) => self.contains(left, right, wanted),
            (BinaryOp::ContainsAll, _) => self.contains_all(left, right, wanted),
            (BinaryOp::ContainsAny, _) => self.contains_any(left, right, wanted),
            _ => Vec::new(),
        }
    }

    fn equal(&self, left: &Expr, right: &Expr) -> Vec<Way> {
        let mut ways = Vec::new();
        for (one, other) in [(left, right), (right, left)] {
            if let Some(value) = self.value(other) {
                ways.extend(self.solve(one, &value, is_literal(other)));
            }
        }
        ways
    }

    /// Another value on either side.
    fn other(&self, left: &Expr, right: &Expr) -> Vec<Way> {
        let mut ways = Vec::new();
        for expr in [left, right] {
            let Some(value) = self.value(expr) else {
                continue;
            };
            ways.extend(
                self.edit(expr, Edit::Unset, true)
                    .map(|change| vec![change]),
            );
            let other = match (as_bool(&value), as_text(&value), as_number(&value)) {
                (Some(it), ..) => Some(bool(!it)),
                (_, Some(text), _) => Some(string(if text.is_empty() { "-" } else { "" })),
                (.., Some((scale, number))) => number
                    .checked_add(1)
                    .and_then(|number| of_number(scale, number)),
                _ => None,
            };
            if let Some(other) = other {
                ways.extend(self.solve(expr, &other, false));
            }
        }
        ways
    }

    /// The left side is the right one and `by` steps.
    fn step(&self, left: &Expr, right: &Expr, by: i64) -> Vec<Way> {
        let mut ways = Vec::new();
        for (one, other, by) in [(left, right, by), (right, left, -by)] {
            let number = self.value(other).as_ref().and_then(as_number);
            let next = number.and_then(|(scale, it)| of_number(scale, it.checked_add(by)?));
            if let Some(next) = next {
                ways.extend(self.solve(one, &next, is_literal(other)));
            }
        }
        ways
    }

    /// Changes by which an expression has a value.
    fn solve(&self, expr: &Expr, target: &CedarValue, literal: bool) -> Vec<Way> {
        let number = as_number(target);
        let solved = |expr: &Expr, scale: Scale, number: Option<i64>, literal| {
            let value = number.and_then(|number| of_number(scale, number));
            value.map_or_else(Vec::new, |value| self.solve(expr, &value, literal))
        };
        let number_of = |expr: &Expr| self.value(expr).as_ref().and_then(as_number);
        match expr.expr_kind() {
            ExprKind::GetAttr { .. } => {
                let change = self.edit(expr, Edit::Set(target.clone()), literal);
                change.map(|change| vec![change]).into_iter().collect()
            }
            ExprKind::If {
                test_expr,
                then_expr,
                else_expr,
            } => match self.value(test_expr).as_ref().and_then(as_bool) {
                Some(true) => self.solve(then_expr, target, literal),
                Some(false) => self.solve(else_expr, target, literal),
                None => Vec::new(),
            },
            ExprKind::UnaryApp {
                op: UnaryOp::Neg,
                arg,
            } => {
                let negated = number.and_then(|(_, number)| number.checked_neg());
                solved(arg, Scale::Long, negated, literal)
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let Some((_, target)) = number else {
                    return Vec::new();
                };
                let mut ways = Vec::new();
                for (one, other, first) in [(arg1, arg2, true), (arg2, arg1, false)] {
                    let Some((_, known)) = number_of(other) else {
                        continue;
                    };
                    let wanted = match (op, first) {
                        (BinaryOp::Add, _) => target.checked_sub(known),
                        (BinaryOp::Sub, true) => target.checked_add(known),
                        (BinaryOp::Sub, false) => known.checked_sub(target),
                        (BinaryOp::Mul, _) => target
                            .checked_rem(known)
                            .filter(|rest| *rest == 0)
                            .and_then(|_| target.checked_div(known)),
                        _ => None,
                    };
                    let literal = literal && is_literal(other);
                    ways.extend(solved(one, Scale::Long, wanted, literal));
                }
                ways
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                let Some((_, target)) = number else {
                    return Vec::new();
                };
                let name = fn_name.to_string();
                match (name.as_str(), args.as_slice()) {
                    ("durationSince", [moment, since]) => {
                        let mut ways = Vec::new();
                        if let Some((_, since)) = number_of(since) {
                            let moment_is = since.checked_add(target);
                            ways.extend(solved(moment, Scale::Datetime, moment_is, false));
                        }
                        if let Some((_, moment)) = number_of(moment) {
                            let since_is = moment.checked_sub(target);
                            ways.extend(solved(since, Scale::Datetime, since_is, false));
                        }
                        // Whoever asks cannot turn the clock back; a later login is what helps.
                        ways.reverse();
                        ways
                    }
                    ("offset", [moment, by]) => match number_of(by) {
                        Some((_, by)) => {
                            solved(moment, Scale::Datetime, target.checked_sub(by), false)
                        }
                        None => Vec::new(),
                    },
                    ("toTime", [moment]) => {
                        const DAY: i64 = 24 * 60 * 60 * 1000;
                        let date = number_of(moment).map(|(_, it)| it - it.rem_euclid(DAY));
                        let moment_is = date.and_then(|date| date.checked_add(target));
                        solved(moment, Scale::Datetime, moment_is, false)
                    }
                    ("toMilliseconds", [length]) => {
                        solved(length, Scale::Duration, Some(target), literal)
                    }
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn has(&self, base: &Expr, attrs: &[SmolStr], wanted: bool) -> Vec<Way> {
        let Some(mut spot) = self.base(base) else {
            return Vec::new();
        };
        let mut here = match &spot.root {
            Root::Context if spot.path.is_empty() => None,
            _ => self.value(base),
        };
        let mut ways = Vec::new();
        for (n, attr) in attrs.iter().enumerate() {
            spot.path.push(attr.clone());
            spot.named = member(&spot.named, attr);
            let inner = self.member(&spot, here.as_ref(), attr);
            if !wanted && inner.is_some() {
                ways.push(vec![Change {
                    spot: spot.clone(),
                    edit: Edit::Unset,
                    literal: true,
                }]);
            }
            if wanted && inner.is_none() {
                let member = member_at(&spot, self.schema, self.action);
                let within = attrs.get(n + 1..).unwrap_or_default();
                let value = member.and_then(|it| some_value(&it.ty, within, self.schema));
                ways.extend(value.map(|value| {
                    vec![Change {
                        spot: spot.clone(),
                        edit: Edit::Set(value),
                        literal: true,
                    }]
                }));
                break;
            }
            here = inner;
        }
        ways
    }

    /// The member `attr` of a value, or of the context's root.
    fn member(&self, spot: &Spot, of: Option<&CedarValue>, attr: &SmolStr) -> Option<CedarValue> {
        match of {
            None if spot.root == Root::Context => self.context.get(attr).cloned(),
            None => None,
            Some(value) => match as_entity(value) {
                Some(uid) => super::attribute(find(self.entities, uid)?, attr).cloned(),
                None => as_record(value)?.get(attr).cloned(),
            },
        }
    }

    fn hierarchy(&self, child: &Expr, of: &Expr, wanted: bool) -> Vec<Way> {
        let (Some(child_value), Some(of_value)) = (self.value(child), self.value(of)) else {
            return Vec::new();
        };
        let Some(uid) = as_entity(&child_value) else {
            return Vec::new();
        };
        let groups: Vec<&Uid> = match as_set(&of_value) {
            Some(all) => all.into_iter().filter_map(as_entity).collect(),
            None => as_entity(&of_value).into_iter().collect(),
        };
        let named = text(child);
        let literal = is_literal(of);
        if !wanted {
            return self.leave(uid, &named, &groups).into_iter().collect();
        }
        let join =
            |group: &&Uid| vec![self.parent(uid, &named, Edit::Join((*group).clone()), literal)];
        let mut ways: Vec<Way> = groups.iter().map(join).collect();
        for group in &groups {
            // An entity is in itself.
            ways.extend(self.solve(child, &entity_value((*group).clone()), literal));
        }
        if let (Some(entity), [_]) = (find(self.entities, uid), groups.as_slice()) {
            let mut ancestors: Vec<&Uid> = entity.ancestors().collect();
            ancestors.sort();
            for ancestor in ancestors.into_iter().take(MAX_WAYS) {
                ways.extend(self.solve(of, &entity_value(ancestor.clone()), false));
            }
        }
        ways
    }

    /// Leaving every parent by which an entity is in one of `groups`.
    pub(in crate::policy) fn leave(&self, uid: &Uid, named: &str, groups: &[&Uid]) -> Option<Way> {
        let leads = |parent: &Uid| {
            let above = |group: &Uid| {
                find(self.entities, parent).is_some_and(|it| it.is_descendant_of(group))
            };
            groups.iter().any(|group| parent == *group || above(group))
        };
        if groups.contains(&uid) {
            return None;
        }
        let mut parents: Vec<&Uid> = find(self.entities, uid)?
            .parents()
            .filter(|it| leads(it))
            .collect();
        parents.sort();
        let leave = |parent: &Uid| self.parent(uid, named, Edit::Leave(parent.clone()), false);
        Some(parents.into_iter().map(leave).collect())
    }

    /// A change of an entity's parents.
    pub(in crate::policy) fn parent(
        &self,
        uid: &Uid,
        named: &str,
        edit: Edit,
        literal: bool,
    ) -> Change {
        let spot = Spot {
            root: Root::Entity(uid.clone()),
            path: Vec::new(),
            named: named.to_owned(),
        };
        Change {
            spot,
            edit,
            literal,
        }
    }

    fn contains(&self, set: &Expr, item: &Expr, wanted: bool) -> Vec<Way> {
        let Some(item_value) = self.value(item) else {
            return Vec::new();
        };
        let edit = match wanted {
            true => Edit::Insert(item_value.clone()),
            false => Edit::Remove(item_value.clone()),
        };
        let change = self.edit(set, edit, is_literal(item));
        let mut ways: Vec<Way> = change.map(|change| vec![change]).into_iter().collect();
        let members = self.value(set);
        let members = members.as_ref().and_then(as_set).unwrap_or_default();
        match wanted {
            true => {
                for member in members.into_iter().take(MAX_WAYS) {
                    ways.extend(self.solve(item, member, is_literal(set)));
                }
            }
            false => ways.extend(self.other(item, item)),
        }
        ways
    }

    fn contains_all(&self, set: &Expr, items: &Expr, wanted: bool) -> Vec<Way> {
        let (Some(set_value), Some(items_value)) = (self.value(set), self.value(items)) else {
            return Vec::new();
        };
        let (Some(have), Some(need)) = (as_set(&set_value), as_set(&items_value)) else {
            return Vec::new();
        };
        let (in_set, in_items) = (is_literal(set), is_literal(items));
        let missing = || need.iter().filter(|it| !have.contains(it));
        if !wanted {
            let remove = |it: &&CedarValue| self.edit(set, Edit::Remove((*it).clone()), in_items);
            return need.iter().filter_map(remove).map(|it| vec![it]).collect();
        }
        let insert: Option<Way> = missing()
            .map(|it| self.edit(set, Edit::Insert((*it).clone()), in_items))
            .collect();
        let remove: Option<Way> = missing()
            .map(|it| self.edit(items, Edit::Remove((*it).clone()), in_set))
            .collect();
        insert.into_iter().chain(remove).collect()
    }

    fn contains_any(&self, set: &Expr, items: &Expr, wanted: bool) -> Vec<Way> {
        let (Some(set_value), Some(items_value)) = (self.value(set), self.value(items)) else {
            return Vec::new();
        };
        let (Some(have), Some(may)) = (as_set(&set_value), as_set(&items_value)) else {
            return Vec::new();
        };
        let both = || have.iter().filter(|it| may.contains(it));
        if !wanted {
            let from = |expr: &Expr| {
                let remove = |it: &&CedarValue| self.edit(expr, Edit::Remove((*it).clone()), false);
                both().map(remove).collect::<Option<Way>>()
            };
            return [from(set), from(items)].into_iter().flatten().collect();
        }
        let mut ways = Vec::new();
        for (one, members, other) in [(set, &may, items), (items, &have, set)] {
            let insert =
                |it: &&CedarValue| self.edit(one, Edit::Insert((*it).clone()), is_literal(other));
            ways.extend(members.iter().filter_map(insert).map(|it| vec![it]));
        }
        ways
    }

    fn value(&self, expr: &Expr) -> Option<CedarValue> {
        self.evaluator.value(self.rule, expr)
    }

    /// An edit of what an expression names, if it names a place.
    fn edit(&self, expr: &Expr, edit: Edit, literal: bool) -> Option<Change> {
        let ExprKind::GetAttr { expr: base, attr } = expr.expr_kind() else {
            return None;
        };
        let mut spot = self.base(base)?;
        spot.path.push(attr.clone());
        spot.named = text(expr);
        Some(Change {
            spot,
            edit,
            literal,
        })
    }

    /// What an expression names as the owner of members: the context, an entity, or a record in one.
    fn base(&self, expr: &Expr) -> Option<Spot> {
        let named = text(expr);
        if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) {
            return Some(Spot {
                root: Root::Context,
                path: Vec::new(),
                named,
            });
        }
        let value = self.value(expr)?;
        match as_entity(&value) {
            // What is not known has no facts to change.
            Some(uid) => find(self.entities, uid).map(|_| Spot {
                root: Root::Entity(uid.clone()),
                path: Vec::new(),
                named,
            }),
            None => {
                let ExprKind::GetAttr { expr: outer, attr } = expr.expr_kind() else {
                    return None;
                };
                let mut spot = self.base(outer)?;
                spot.path.push(attr.clone());
                spot.named = named;
                Some(spot)
            }
        }
    }
}

/// Whether it says the same for every request.
fn is_literal(expr: &Expr) -> bool {
    !expr
        .subexpressions()
        .any(|inner| matches!(inner.expr_kind(), ExprKind::Var(_)))
}

/// The author's own text, on one line. Cedar gives all of `a.b.contains(c)` one place, so paths are
/// put together from their parts.
pub(super) fn text(expr: &Expr) -> String {
    if let ExprKind::GetAttr { expr: base, attr } = expr.expr_kind() {
        return member(&text(base), attr);
    }
    if let ExprKind::Var(var) = expr.expr_kind() {
        return var.to_string();
    }
    let text = expr.source_loc().and_then(Loc::snippet).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn member(of: &str, name: &str) -> String {
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    match name.chars().all(is_word) && !name.starts_with(|first: char| first.is_ascii_digit()) {
        true => format!("{of}.{name}"),
        false => format!("{of}[{name:?}]"),
    }
}

//! What would have to change for a condition to come out otherwise: candidates, not promises.
//!
//! They are derived from the condition itself: `a == b` suggests a value for either side, `in` a
//! parent, `contains` a member. Whoever uses one decides again to see whether it does what it should.

mod members;
mod solve;

use std::collections::BTreeMap;

use cedar_policy_core::{
    ast::{BinaryOp, Expr, ExprKind, PatternElem, UnaryOp, Var},
    parser::Loc,
};
use smol_str::SmolStr;

use super::{
    CedarValue, Entities, Evaluator, Rule, bool,
    parts::{Part, Shape, shape},
    string,
    value::{as_bool, as_entity, as_number, as_record, as_set, as_text, of_number},
};
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
                Some(uid) => self.entities.get(uid)?.attribute(attr).cloned(),
                None => as_record(value)?.get(attr).cloned(),
            },
        }
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
            Some(uid) => self.entities.get(uid).map(|_| Spot {
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

//! Changes by which an expression has a value: the expression is undone, step by step, down to a place.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, UnaryOp};

use super::{
    super::{
        CedarValue,
        value::{Scale, as_bool, as_number, of_number},
    },
    Edit, Way, Ways, is_literal,
};

impl Ways<'_> {
    /// Changes by which an expression has a value.
    pub(super) fn solve(&self, expr: &Expr, target: &CedarValue, literal: bool) -> Vec<Way> {
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
}

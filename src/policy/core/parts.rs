//! The parts of a rule's conditions: where they are written, and how each comes out.

use std::ops::Range;

use cedar_policy_core::{
    ast::{BinaryOp, Expr, ExprKind, UnaryOp},
    parser::Loc,
};

use super::{Evaluator, Rule, RuleError};

/// An expression within a rule's conditions.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Part<'r> {
    pub(super) expr: &'r Expr,
    /// Whether the rule needs it to be false, as what stands in `unless`.
    pub(in crate::policy) negated: bool,
}

/// How one condition came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Others decided before it was its turn.
    NotReached,
    /// True.
    True,
    /// False.
    False,
    /// It could not be evaluated; the kind of failure.
    Errored(&'static str),
}

impl<'r> Part<'r> {
    /// The author's own text.
    pub(in crate::policy) fn text(&self) -> &'r str {
        let loc = self.expr.source_loc();
        loc.and_then(Loc::snippet).unwrap_or_default()
    }

    /// The same part, needed to come out the other way.
    pub(in crate::policy) fn reversed(self) -> Self {
        Self {
            negated: !self.negated,
            ..self
        }
    }

    /// The conditions that it is made of.
    pub(in crate::policy) fn conditions(self) -> Vec<Part<'r>> {
        let mut found = Vec::new();
        atoms(self.expr, self.negated, &mut found);
        found
    }

    /// Where it is in the text that [`Rule::text`] gives, in bytes.
    pub(in crate::policy) fn span(&self) -> Range<usize> {
        self.expr
            .source_loc()
            .map_or(0..0, |loc| loc.start()..loc.end())
    }
}

impl Rule {
    /// The text that places in this rule count in, and which of it is the rule.
    pub(in crate::policy) fn text(&self) -> Option<(&str, Range<usize>)> {
        let loc = self.policy.loc()?;
        Some((&loc.src, loc.start()..loc.end()))
    }

    /// What must all come out for the rule to apply, in the order of the text: the operands of `&&`
    /// at the top of its `when`, those of `||` at the top of its `unless`.
    pub(in crate::policy) fn conjuncts(&self) -> Vec<Part<'_>> {
        let mut found = Vec::new();
        if let Some(conditions) = &self.conditions {
            conjuncts(conditions, true, &mut found);
        }
        found
    }

    /// Every condition that is true or false by itself, in the order of the text: what `&&`, `||`,
    /// `!` and `if` join.
    pub(in crate::policy) fn conditions(&self) -> Vec<Part<'_>> {
        let mut found = Vec::new();
        if let Some(conditions) = &self.conditions {
            atoms(conditions, false, &mut found);
        }
        found
    }
}

impl Evaluator<'_> {
    /// Whether a part is as its rule needs it.
    pub(in crate::policy) fn part_holds(
        &self,
        rule: &Rule,
        part: Part<'_>,
    ) -> Result<bool, RuleError> {
        Ok(self.holds(part.expr, &rule.slots)? != part.negated)
    }

    /// How each of [`Part::conditions`] comes out as the part is evaluated.
    pub(in crate::policy) fn outcomes_within(&self, rule: &Rule, part: Part<'_>) -> Vec<Truth> {
        let mut found = Vec::new();
        self.observe(rule, part.expr, true, &mut found);
        found
    }

    /// How each of [`Rule::conditions`] comes out as the rule is evaluated.
    pub(in crate::policy) fn outcomes(&self, rule: &Rule) -> Vec<Truth> {
        let mut found = Vec::new();
        if let Some(conditions) = &rule.conditions {
            self.observe(rule, conditions, true, &mut found);
        }
        found
    }

    fn observe(
        &self,
        rule: &Rule,
        expr: &Expr,
        reached: bool,
        found: &mut Vec<Truth>,
    ) -> Option<bool> {
        match shape(expr) {
            Shape::And(left, right) => match self.observe(rule, left, reached, found) {
                Some(true) => self.observe(rule, right, true, found),
                done => {
                    self.observe(rule, right, false, found);
                    done
                }
            },
            Shape::Or(left, right) => match self.observe(rule, left, reached, found) {
                Some(false) => self.observe(rule, right, true, found),
                done => {
                    self.observe(rule, right, false, found);
                    done
                }
            },
            Shape::Not(inner) => self.observe(rule, inner, reached, found).map(|it| !it),
            Shape::If(test, then, otherwise) => {
                let test = self.observe(rule, test, reached, found);
                let yes = self.observe(rule, then, test == Some(true), found);
                let no = self.observe(rule, otherwise, test == Some(false), found);
                if test? { yes } else { no }
            }
            Shape::Atom if reached => {
                let holds = self.holds(expr, &rule.slots);
                found.push(match &holds {
                    Ok(true) => Truth::True,
                    Ok(false) => Truth::False,
                    Err(error) => Truth::Errored(error.code),
                });
                holds.ok()
            }
            Shape::Atom => {
                found.push(Truth::NotReached);
                None
            }
        }
    }
}

/// How an expression is made of others that are true or false.
pub(super) enum Shape<'e> {
    And(&'e Expr, &'e Expr),
    Or(&'e Expr, &'e Expr),
    Not(&'e Expr),
    If(&'e Expr, &'e Expr, &'e Expr),
    Atom,
}

/// The shape that the author wrote: `a > b` is one condition, though Cedar reads it as `!(a <= b)`,
/// and so is `a is T in b`.
pub(super) fn shape(expr: &Expr) -> Shape<'_> {
    let same_place = |inner: &Expr| match (expr.source_loc(), inner.source_loc()) {
        (Some(outer), Some(inner)) => outer.span == inner.span,
        _ => false,
    };
    match expr.expr_kind() {
        ExprKind::And { left, right } => {
            let is_in = matches!(left.expr_kind(), ExprKind::Is { .. })
                && is_binary(right, BinaryOp::In)
                && same_place(left);
            match is_in {
                true => Shape::Atom,
                false => Shape::And(left, right),
            }
        }
        ExprKind::Or { left, right } => Shape::Or(left, right),
        ExprKind::UnaryApp {
            op: UnaryOp::Not,
            arg,
        } => match same_place(arg) {
            true => Shape::Atom,
            false => Shape::Not(arg),
        },
        ExprKind::If {
            test_expr,
            then_expr,
            else_expr,
        } => Shape::If(test_expr, then_expr, else_expr),
        _ => Shape::Atom,
    }
}

fn is_binary(expr: &Expr, wanted: BinaryOp) -> bool {
    matches!(expr.expr_kind(), ExprKind::BinaryApp { op, .. } if *op == wanted)
}

fn conjuncts<'r>(expr: &'r Expr, wanted: bool, found: &mut Vec<Part<'r>>) {
    match (shape(expr), wanted) {
        (Shape::And(left, right), true) | (Shape::Or(left, right), false) => {
            conjuncts(left, wanted, found);
            conjuncts(right, wanted, found);
        }
        (Shape::Not(inner), _) if is_unless(expr) || splits(inner, !wanted) => {
            conjuncts(inner, !wanted, found);
        }
        _ => found.push(Part {
            expr,
            negated: !wanted,
        }),
    }
}

/// Whether it has more than one conjunct.
fn splits(expr: &Expr, wanted: bool) -> bool {
    match (shape(expr), wanted) {
        (Shape::And(..), true) | (Shape::Or(..), false) => true,
        (Shape::Not(inner), _) => splits(inner, !wanted),
        _ => false,
    }
}

/// Whether it is a whole `unless` clause, which Cedar reads as a negation.
fn is_unless(expr: &Expr) -> bool {
    let text = expr.source_loc().and_then(Loc::snippet);
    text.is_some_and(|text| text.starts_with("unless"))
}

fn atoms<'r>(expr: &'r Expr, negated: bool, found: &mut Vec<Part<'r>>) {
    match shape(expr) {
        Shape::And(left, right) | Shape::Or(left, right) => {
            atoms(left, negated, found);
            atoms(right, negated, found);
        }
        Shape::Not(inner) => atoms(inner, !negated, found),
        Shape::If(test, then, otherwise) => {
            atoms(test, false, found);
            atoms(then, negated, found);
            atoms(otherwise, negated, found);
        }
        Shape::Atom => found.push(Part { expr, negated }),
    }
}

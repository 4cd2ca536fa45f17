//! Where a policy can be changed, as pieces of its author's text.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use super::{Alteration, Mutant};
use crate::{
    bundle::{BundleFiles, Snapshot},
    policy::{Lines, Place, Policy},
};

/// Every mutant of a bundle, in the order of its files.
pub fn mutants(files: &BundleFiles, snapshot: &Snapshot) -> Vec<Mutant> {
    let mut all = Vec::new();
    let mut seen: BTreeSet<&Place> = BTreeSet::new();
    for policy in snapshot.policies.policies() {
        // The links of a template have one text.
        if seen.insert(&policy.place)
            && let Some(text) = files.get(&policy.place.file)
        {
            let site = Site {
                policy,
                text,
                lines: Lines::new(&policy.place.file, text),
            };
            site.head(&mut all);
            site.conditions(&mut all);
        }
    }
    all.sort_by(|a, b| (&a.place, a.span.end).cmp(&(&b.place, b.span.end)));
    all
}

struct Site<'s> {
    policy: &'s Policy,
    text: &'s str,
    lines: Lines<'s>,
}

impl Site<'_> {
    fn add(&self, all: &mut Vec<Mutant>, change: Alteration, span: Range<usize>, after: String) {
        if let Some(before) = self.text.get(span.clone()) {
            all.push(Mutant {
                policy: Arc::clone(&self.policy.id),
                place: self.lines.place(span.start),
                change,
                before: before.to_owned(),
                after,
                span,
            });
        }
    }

    /// Effect and head.
    fn head(&self, all: &mut Vec<Mutant>) {
        let start = self.lines.offset(&self.policy.place);
        let Some(head) = start.and_then(|start| Head::find(self.text, start)) else {
            return;
        };
        let other = match self.text.get(head.effect.clone()) {
            Some("permit") => "forbid",
            _ => "permit",
        };
        self.add(all, Alteration::Effect, head.effect, other.to_owned());
        for (part, name) in head
            .parts
            .into_iter()
            .zip(["principal", "action", "resource"])
        {
            if self.text.get(part.clone()).is_some_and(|it| it != name) {
                self.add(all, Alteration::Head, part, name.to_owned());
            }
        }
    }

    /// Conditions: each conjunct is dropped, each condition within is negated; one that stands deeper
    /// is also made to hold always and never, for what it is dropped from may be `&&` or `||`.
    fn conditions(&self, all: &mut Vec<Mutant>) {
        let conjuncts = self.policy.conjuncts();
        for conjunct in &conjuncts {
            let after = match conjunct.negated {
                true => "false",
                false => "true",
            };
            self.add(
                all,
                Alteration::Drop,
                conjunct.span.clone(),
                after.to_owned(),
            );
        }
        for condition in self.policy.conditions() {
            let span = condition.span;
            if !conjuncts.iter().any(|it| it.span == span) {
                for after in ["true", "false"] {
                    self.add(all, Alteration::Drop, span.clone(), after.to_owned());
                }
            }
            let after = format!("!({})", condition.text);
            self.add(all, Alteration::Negate, span, after);
        }
    }
}

/// Where the parts of a head are.
struct Head {
    effect: Range<usize>,
    parts: [Range<usize>; 3],
}

impl Head {
    /// Reads the head of the statement that begins at `start`.
    fn find(text: &str, start: usize) -> Option<Self> {
        let mut scan = Scan { text, at: start };
        scan.trivia();
        while scan.take("@") {
            scan.word();
            scan.trivia();
            if scan.take("(") {
                scan.until_closed()?;
            }
            scan.trivia();
        }
        let effect = scan.word();
        scan.trivia();
        if !scan.take("(") {
            return None;
        }
        let mut parts = Vec::new();
        for _ in 0..3 {
            scan.trivia();
            let start = scan.at;
            scan.part()?;
            let part = text.get(start..scan.at)?;
            parts.push(start..start + part.trim_end().len());
            scan.take(",");
        }
        Some(Self {
            effect,
            parts: parts.try_into().ok()?,
        })
    }
}

/// Reads on in Cedar text, which has been parsed before.
struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl Scan<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    /// Space and comments.
    fn trivia(&mut self) {
        loop {
            let rest = self.rest();
            let space = rest.len() - rest.trim_start().len();
            let comment = match rest.get(space..) {
                Some(rest) if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                _ => 0,
            };
            self.at += space + comment;
            if comment == 0 {
                return;
            }
        }
    }

    fn word(&mut self) -> Range<usize> {
        let start = self.at;
        let rest = self.rest();
        let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_');
        self.at += end.unwrap_or(rest.len());
        start..self.at
    }

    /// Past the bracket that closes the one just read.
    fn until_closed(&mut self) -> Option<()> {
        let mut open = 1;
        while open > 0 {
            match self.step()? {
                '(' | '[' | '{' => open += 1,
                ')' | ']' | '}' => open -= 1,
                _ => {}
            }
        }
        Some(())
    }

    /// Up to the comma or bracket that ends this part of a head.
    fn part(&mut self) -> Option<()> {
        let mut open = 0;
        loop {
            let before = self.at;
            match self.step()? {
                ',' | ')' if open == 0 => {
                    self.at = before;
                    return Some(());
                }
                '(' | '[' | '{' => open += 1,
                ')' | ']' | '}' => open -= 1,
                _ => {}
            }
        }
    }

    /// One character; a string or a comment counts as one.
    fn step(&mut self) -> Option<char> {
        let rest = self.rest();
        let first = rest.chars().next()?;
        self.at += match first {
            '"' => string_length(rest),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            other => other.len_utf8(),
        };
        Some(first)
    }
}

/// The length of the string literal that `text` begins with.
pub(in crate::pap) fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

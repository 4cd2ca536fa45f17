//! An explanation for people.

use super::source::{Mark, Tone, marked};
use crate::{
    cli::output::{Style, shown},
    model::{EntityRef, Refusal},
    proto::v1::{
        Cause, Effect, EntityUid, Explanation, Outcome, PolicyFinding, Requirement, Seen, Span,
        Truth,
    },
};

/// An explanation for people.
pub(in crate::cli) fn explanation(it: &Explanation, style: Style) -> String {
    let head = match it.outcome() {
        Outcome::Allow => style.good("ALLOW"),
        Outcome::Deny | Outcome::Unspecified => style.bad("DENY"),
    };
    let mut out = format!("{head}  {}\n", because(it));
    let of = |uid: &Option<EntityUid>| uid.as_ref().map(named).unwrap_or_default();
    let asked = [of(&it.principal), of(&it.action), of(&it.resource)].join("  ");
    out.push_str(&format!("  {}\n", style.dim(&asked)));
    for finding in &it.determining {
        out.push_str(&policy(finding, "", style));
    }
    for (n, finding) in it.nearest.iter().enumerate() {
        let title = if n == 0 { "nearest " } else { "next " };
        out.push_str(&policy(finding, title, style));
    }
    out.push_str(&flips(it, style));
    if !it.values_shown {
        let why = "values are shown to callers with the right `explain_values`";
        out.push_str(&format!("\n{}\n", style.dim(why)));
    }
    let digest: String = it.bundle_digest.chars().take(12).collect();
    let bundle = format!("{} {digest}", shown(&it.bundle));
    if !bundle.trim().is_empty() {
        let bundle = style.dim(bundle.trim());
        out.push_str(&format!("\n  {:<9}{bundle}\n", "bundle"));
    }
    if !it.decision_id.is_empty() {
        let id = style.dim(&shown(&it.decision_id));
        out.push_str(&format!("  {:<9}{id}\n", "decision"));
    }
    out
}

/// A refusal of a question that nobody was asked.
pub(super) fn refusal(refusal: &Refusal, style: Style) -> String {
    let text = refusal.to_string();
    let head = style.bad("REFUSED");
    format!("{head}  {}: {}\n", refusal.reason(), shown(&text))
}

fn because(it: &Explanation) -> String {
    let action = it.action.as_ref().map(named).unwrap_or_default();
    let principal = it.principal.as_ref().map_or("", |uid| uid.r#type.as_str());
    match it.cause() {
        Cause::Permitted => "a policy permits it and none forbids it".to_owned(),
        Cause::Forbidden => "a policy forbids it".to_owned(),
        Cause::ForbidErrored => "a policy that may forbid it could not be evaluated".to_owned(),
        Cause::NothingPermits if !it.applicable => {
            format!(
                "the schema does not let a `{}` do `{action}`",
                shown(principal)
            )
        }
        Cause::NothingPermits => "no policy permits it".to_owned(),
        Cause::Unspecified => "for a cause this program does not know".to_owned(),
    }
}

fn named(uid: &EntityUid) -> String {
    shown(&EntityRef::new(uid.r#type.clone(), uid.id.clone()).to_string())
}

fn policy(it: &PolicyFinding, title: &str, style: Style) -> String {
    let effect = match it.effect() {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
        Effect::Unspecified => "policy",
    };
    let place = style.dim(&format!("{}:{}", shown(&it.file), it.line));
    let mut out = format!("\n{title}{effect} `{}`  {place}\n", shown(&it.policy_id));
    let mut line = |text: &str| out.push_str(&format!("  {}\n", shown(text)));
    for text in [&it.reason, &it.advice] {
        if !text.is_empty() {
            line(text);
        }
    }
    for slot in &it.slots {
        line(slot);
    }
    if it.result() == Truth::Errored {
        let words = [it.error_code.as_str(), it.error_message.as_str()].join(": ");
        line(&format!(
            "could not be evaluated: {}",
            words.trim_end_matches(": ")
        ));
    }
    let marks: Vec<Mark> = it
        .requirements
        .iter()
        .flat_map(|asked| marks(it, asked))
        .collect();
    out.push_str(&marked(&it.source, it.line, &marks, style));
    out
}

/// What is said about one thing that a policy asks for.
fn marks(policy: &PolicyFinding, asked: &Requirement) -> Vec<Mark> {
    let decided = policy.result() == Truth::Met;
    let seen: Vec<&Seen> = asked.seen.iter().collect();
    match asked.result() {
        // That it names the very principal, action or resource needs no word.
        Truth::Met if asked.head && !says_more(&seen) => return Vec::new(),
        // Of a policy that fails, what holds is not why.
        Truth::Met if !decided => return Vec::new(),
        Truth::NotReached | Truth::Unspecified => return Vec::new(),
        Truth::Met | Truth::Failed | Truth::Errored => {}
    }
    if asked.parts.is_empty() {
        let verdict = match (asked.result(), asked.negated) {
            (Truth::Met, false) => "",
            (Truth::Met, true) => "false",
            (Truth::Errored, _) => "could not be evaluated",
            (_, true) => "true, and must not be",
            (_, false) => "false",
        };
        let tone = match asked.result() {
            Truth::Met => Tone::Good,
            _ => Tone::Bad,
        };
        let says = said(verdict, &asked.error_code, &seen);
        return mark(asked.span, tone, says).into_iter().collect();
    }
    let parts = asked.parts.iter().filter_map(|part| {
        let span = part.span?;
        let (tone, verdict) = match part.result() {
            Truth::Met => (Tone::Good, "true"),
            Truth::Failed => (Tone::Bad, "false"),
            Truth::Errored => (Tone::Bad, "could not be evaluated"),
            Truth::NotReached | Truth::Unspecified => return None,
        };
        let range = usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?;
        let text: String = policy.source.get(range)?.split_whitespace().collect();
        let is_within = |seen: &&Seen| text.contains(&seen.path.replace(' ', ""));
        let seen: Vec<&Seen> = asked.seen.iter().filter(is_within).collect();
        mark(Some(span), tone, said(verdict, "", &seen))
    });
    parts.collect()
}

fn mark(span: Option<Span>, tone: Tone, says: Vec<String>) -> Option<Mark> {
    let Span { start, end } = span?;
    Some(Mark {
        start: usize::try_from(start).ok()?,
        end: usize::try_from(end).ok()?,
        tone,
        says,
    })
}

/// Whether what a head saw tells more than its own text: membership, or a value that differs.
fn says_more(seen: &[&Seen]) -> bool {
    seen.iter().any(|it| {
        it.value
            .as_deref()
            .is_some_and(|value| value.contains(", in "))
    })
}

fn said(verdict: &str, code: &str, seen: &[&Seen]) -> Vec<String> {
    let looked: Vec<String> = seen
        .iter()
        .filter_map(|it| match (&it.value, it.missing) {
            (Some(value), _) => Some(format!("`{}` is {}", shown(&it.path), shown(value))),
            (None, true) => Some(format!("`{}` is not there", shown(&it.path))),
            (None, false) => None,
        })
        .collect();
    let verdict = match code {
        "" => verdict.to_owned(),
        code => format!("{verdict} ({})", shown(code)),
    };
    let first = match (verdict.is_empty(), looked.first()) {
        (_, None) => verdict,
        (true, Some(looked)) => looked.clone(),
        (false, Some(looked)) => format!("{verdict}: {looked}"),
    };
    std::iter::once(first)
        .chain(looked.into_iter().skip(1))
        .collect()
}

fn flips(it: &Explanation, style: Style) -> String {
    if it.outcome() != Outcome::Deny {
        return String::new();
    }
    let mut out = String::from("\n");
    for (n, flip) in it.flips.iter().enumerate() {
        let lead = match n {
            0 => "it would be allowed if",
            _ => "                 or if",
        };
        out.push_str(&format!("{} {}\n", style.good(lead), shown(&flip.text)));
    }
    if it.flips.is_empty() {
        out.push_str("no change of up to three facts was found that would allow it\n");
    }
    if it.truncated {
        let more = "there may be more: not every permit and change was tried";
        out.push_str(&format!("{}\n", style.dim(more)));
    }
    out
}

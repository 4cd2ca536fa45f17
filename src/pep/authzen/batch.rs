//! Several questions in one request (§7).

use crate::{
    model::{Members, Outcome, Refusal, Value},
    pdp::{Answer, Refused},
};

/// The questions of a request.
#[derive(Debug)]
pub(super) struct Batch {
    /// What an item that does not say is about.
    pub(super) defaults: Members,
    /// What each question says.
    pub(super) items: Vec<Value>,
    /// How far to go; `None` for a single question.
    pub(super) semantic: Option<Semantic>,
}

/// `options.evaluations_semantic` (§7.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

impl Semantic {
    /// Whether nothing more is to be answered. What could not be decided counts as denied.
    pub(super) fn ends_with(self, answered: &Result<Answer, Refused>) -> bool {
        let permitted = answered
            .as_ref()
            .is_ok_and(|answer| answer.decision().outcome == Outcome::Allow);
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !permitted,
            Self::PermitOnFirstPermit => permitted,
        }
    }
}

/// Reads what a request asks, `most` questions if `many` are allowed; without a list, or with an empty one, it is itself the question.
///
/// # Errors
/// [`Refusal::Malformed`] and [`Refusal::TooLarge`].
pub(super) fn read(mut request: Members, many: bool, most: usize) -> Result<Batch, Refusal> {
    let single = |defaults| Batch {
        defaults,
        items: vec![Value::Record(Members::new())],
        semantic: None,
    };
    if !many {
        return Ok(single(request));
    }
    let semantic = semantic(request.get("options"))?;
    let items = match request.remove("evaluations") {
        None => return Ok(single(request)),
        Some(Value::Set(items)) if items.is_empty() => return Ok(single(request)),
        Some(Value::Set(items)) => items,
        Some(other) => return wrong("evaluations", "an array", &other),
    };
    if items.len() > most {
        return Err(Refusal::TooLarge {
            what: "evaluations",
            limit: most,
        });
    }
    for name in ["subject", "action", "resource", "context"] {
        match request.get(name) {
            None | Some(Value::Record(_)) => {}
            Some(other) => return wrong(name, "an object", other),
        }
    }
    Ok(Batch {
        defaults: request,
        items,
        semantic: Some(semantic),
    })
}

fn semantic(options: Option<&Value>) -> Result<Semantic, Refusal> {
    let said = match options {
        None => None,
        Some(Value::Record(options)) => options.get("evaluations_semantic"),
        Some(other) => return wrong("options", "an object", other),
    };
    match said.map(|said| (said, said.as_str())) {
        None | Some((_, Some("execute_all"))) => Ok(Semantic::ExecuteAll),
        Some((_, Some("deny_on_first_deny"))) => Ok(Semantic::DenyOnFirstDeny),
        Some((_, Some("permit_on_first_permit"))) => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => Err(Refusal::malformed(
            "options.evaluations_semantic",
            "unknown_semantic",
            "must be `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`",
        )),
    }
}

fn wrong<T>(field: &str, expected: &str, found: &Value) -> Result<T, Refusal> {
    let message = format!("must be {expected}, not {}", found.kind());
    Err(Refusal::malformed(field, "wrong_type", message))
}

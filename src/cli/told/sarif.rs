//! SARIF 2.1.0 (OASIS), as code scanning reads it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Teller, Weight};
use crate::policy::{Fault, Place};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// A log of one run.
pub(super) fn log(teller: Teller<'_>, told: &[(Weight, &Fault)]) -> Value {
    let rules: BTreeSet<&str> = told.iter().map(|(_, fault)| fault.rule).collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({ "id": id })).collect();
    let results: Vec<Value> = told
        .iter()
        .map(|(weight, fault)| result(teller, *weight, fault))
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "doorward",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(teller: Teller<'_>, weight: Weight, fault: &Fault) -> Value {
    let level = match weight {
        Weight::Error => "error",
        Weight::Warning => "warning",
    };
    let text = match &fault.help {
        Some(help) => format!("{}\n{help}", fault.message),
        None => fault.message.clone(),
    };
    let location = fault
        .place
        .as_ref()
        .map(|place| location(teller, place, fault.length));
    json!({
        "ruleId": fault.rule,
        "level": level,
        "message": { "text": text },
        "locations": location.into_iter().collect::<Vec<_>>(),
    })
}

fn location(teller: Teller<'_>, place: &Place, length: usize) -> Value {
    let mut region = json!({ "startLine": place.line, "startColumn": place.column });
    if let (Some((line, column)), Some(region)) =
        (end(teller, place, length), region.as_object_mut())
    {
        region.insert("endLine".into(), line.into());
        region.insert("endColumn".into(), column.into());
    }
    let uri = uri(&teller.path(&place.file));
    json!({ "physicalLocation": { "artifactLocation": { "uri": uri }, "region": region } })
}

/// Line and column after the last character at fault.
fn end(teller: Teller<'_>, place: &Place, length: usize) -> Option<(usize, usize)> {
    if length == 0 {
        return None;
    }
    let mut lines = teller.files.get(&place.file)?.lines();
    let mut line = place.line;
    let mut width = lines.nth(line.checked_sub(1)?)?.chars().count();
    // A line's end is a character too.
    let mut column = place.column.saturating_add(length);
    while column > width + 2 {
        column -= width + 1;
        line += 1;
        width = lines.next()?.chars().count();
    }
    Some((line, column))
}

/// A path as a relative reference (RFC 3986 §4.2).
fn uri(path: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    let encoded = path.bytes().map(|byte| match plain(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}

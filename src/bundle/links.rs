//! `links.json`: which entities fill the slots of which template.

use crate::{
    model::{EntityRef, JsonLimits, Value, parse_json},
    policy::{Fault, Link, Place, Schema, core::Uid},
};

use super::entities::entity_ref;

pub(super) const FILE: &str = "links.json";
const LIMITS: JsonLimits = JsonLimits {
    depth: 8,
    values: 10_000_000,
};

/// Reads `links.json`: a list of `{template, id, principal, resource}`, typed by the schema, with
/// unknown members refused.
///
/// The links that can be told are given even where others are at fault.
pub(super) fn parse(text: &str, schema: &Schema, faults: &mut Vec<Fault>) -> Vec<Link> {
    let items = match parse_json(text.as_bytes(), LIMITS) {
        Ok(Value::Set(items)) => items,
        Ok(_) => {
            faults.push(Fault::in_file("links", FILE, "must be a list of links"));
            return Vec::new();
        }
        Err(fault) => {
            faults.push(Fault::in_file("links", FILE, fault.to_string()));
            return Vec::new();
        }
    };
    let file = FILE.into();
    let lines = crate::policy::Lines::new(&file, text);
    let mut offsets = item_offsets(text).into_iter();
    let mut links = Vec::with_capacity(items.len());
    for (n, item) in items.into_iter().enumerate() {
        let place = lines.place(offsets.next().unwrap_or(0));
        match link(item, place.clone(), schema) {
            Ok(link) => links.push(link),
            Err(message) => {
                faults.push(Fault::at(
                    "link",
                    place,
                    format!("link {}: {message}", n + 1),
                ));
            }
        }
    }
    links
}

fn link(value: Value, place: Place, schema: &Schema) -> Result<Link, String> {
    let Value::Record(mut members) = value else {
        return Err("must be an object".into());
    };
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(_) => Err(format!("`{name}` must be text")),
        None => Err(format!("lacks `{name}`")),
    };
    let (template, id) = (text("template")?, text("id")?);
    let mut slot = |name: &str| {
        members
            .remove(name)
            .map(|value| {
                entity_ref(&value)
                    .and_then(|entity| typed(&entity, schema))
                    .map_err(|message| format!("`{name}`: {message}"))
            })
            .transpose()
    };
    let (principal, resource) = (slot("principal")?, slot("resource")?);
    if let Some((name, _)) = members.first_key_value() {
        return Err(format!(
            "has an unknown member `{name}` (known: `template`, `id`, `principal`, `resource`)"
        ));
    }
    Ok(Link {
        template,
        id,
        principal,
        resource,
        place,
    })
}

fn typed(entity: &EntityRef, schema: &Schema) -> Result<Uid, String> {
    let name = schema
        .type_name(&entity.type_name)
        .ok_or_else(|| format!("the schema has no entity type `{}`", entity.type_name))?;
    schema
        .uid_of(name, &entity.id)
        .map_err(|fault| format!("`{entity}` {}", fault.message))
}

/// Where the items of a list begin, in text that is known to be JSON.
fn item_offsets(text: &str) -> Vec<usize> {
    let (mut depth, mut in_string, mut escaped, mut expects) = (0_usize, false, false, false);
    let mut offsets = Vec::new();
    for (offset, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        if expects && depth == 1 && !byte.is_ascii_whitespace() && byte != b']' {
            offsets.push(offset);
            expects = false;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                expects |= depth == 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => expects |= depth == 1,
            _ => {}
        }
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_around_nested_lists_and_strings() {
        let text = r#" [ {"a": [1, 2], "b": "\"],{"} , "x,y",3, [] ]"#;
        let found: Vec<&str> = item_offsets(text)
            .into_iter()
            .map(|at| text.get(at..at + 1).unwrap())
            .collect();
        assert_eq!(found, ["{", "\"", "3", "["]);
        assert!(item_offsets("[]").is_empty());
    }
}

//! Files of cases as they are written.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_saphyr::Spanned;

use super::Expectation;

pub(super) type Json = serde_json::Map<String, serde_json::Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    #[serde(default)]
    pub(super) include: Vec<Spanned<String>>,
    pub(super) now: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) subjects: BTreeMap<String, Spanned<RawSubject>>,
    #[serde(default)]
    pub(super) resources: BTreeMap<String, Spanned<RawEntityRef>>,
    #[serde(default)]
    pub(super) cases: Vec<Spanned<RawCase>>,
    #[serde(default)]
    pub(super) tables: Vec<Spanned<RawTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCase {
    pub(super) name: String,
    pub(super) now: Option<String>,
    pub(super) subject: RawSubjectRef,
    pub(super) action: Option<RawAction>,
    pub(super) resource: Option<RawEntityRef>,
    pub(super) request: Option<RawRequest>,
    #[serde(default)]
    pub(super) entities: Vec<RawEntity>,
    #[serde(default)]
    pub(super) context: Json,
    pub(super) expect: Expectation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    pub(super) name: String,
    pub(super) now: Option<String>,
    pub(super) actions: Spanned<Words>,
    pub(super) resources: Spanned<Words>,
    #[serde(default)]
    pub(super) entities: Vec<RawEntity>,
    #[serde(default)]
    pub(super) context: Json,
    pub(super) expect: Rows,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a subject's name, `anonymous`, or `claims`, or `entity`"
)]
pub(super) enum RawSubjectRef {
    Name(String),
    Inline(Box<RawSubject>),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an action's name, or a table with `name` and `properties`"
)]
pub(super) enum RawAction {
    Name(String),
    With(RawActionWith),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawActionWith {
    pub(super) name: String,
    pub(super) properties: Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSubject {
    pub(super) claims: Option<Json>,
    pub(super) issuer: Option<String>,
    pub(super) entity: Option<RawEntityRef>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a resource's name, `Type::\"id\"`, or `type`, `id`, `attributes` and `parents`"
)]
pub(super) enum RawEntityRef {
    Name(String),
    Facts(RawEntity),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEntity {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) id: String,
    #[serde(default)]
    pub(super) attributes: Json,
    #[serde(default)]
    pub(super) parents: Vec<RawUid>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`Type::\"id\"`, or `type` and `id`")]
pub(super) enum RawUid {
    Text(String),
    Parts(RawUidParts),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUidParts {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRequest {
    pub(super) method: String,
    #[serde(default)]
    pub(super) host: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

/// Words separated by spaces, so that columns line up, or a list of them.
///
/// These and the types below are read by hand, since `untagged` loses the places of what is inside.
pub(super) enum Words {
    Text(String),
    List(Vec<Spanned<String>>),
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("words separated by spaces, or a list of them")
            }

            fn visit_str<E>(self, text: &str) -> Result<Words, E> {
                Ok(Words::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Words, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Words::List(list))
            }
        }
        from.deserialize_any(Shape)
    }
}

/// The rows of a table, in the author's order.
pub(super) struct Rows(pub(super) Vec<(String, Spanned<Row>)>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rows: a subject's name, and an outcome for each action")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Rows, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = entries.next_entry()? {
                    rows.push(row);
                }
                Ok(Rows(rows))
            }
        }
        from.deserialize_map(Shape)
    }
}

/// What one subject may do: to every resource of the table, or to each by name.
pub(super) enum Row {
    Every(Words),
    Each(BTreeMap<String, Spanned<Words>>),
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an outcome for each action, or such a row for each resource by name")
            }

            fn visit_str<E>(self, text: &str) -> Result<Row, E> {
                Ok(Row::Every(Words::Text(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Row, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Row::Every(Words::List(list)))
            }

            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Row, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(entries)).map(Row::Each)
            }
        }
        from.deserialize_any(Shape)
    }
}

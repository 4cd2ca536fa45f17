//! `bundle.toml` as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBundle {
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) namespace: String,
    pub(super) strict_errors: Option<bool>,
    pub(super) max_level: Option<u32>,
    pub(super) gate: Option<bool>,
    pub(super) cacheable_for: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) principal: Vec<Spanned<RawPrincipal>>,
    #[serde(default)]
    pub(super) entity: Vec<Spanned<RawEntity>>,
    #[serde(default)]
    pub(super) route: Vec<Spanned<RawRoute>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrincipal {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) issuers: Option<Vec<String>>,
    pub(super) when: Option<OneOrMany<RawTest>>,
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, RawClaim>,
    pub(super) parents: Option<Vec<RawParent>>,
    pub(super) preset: Option<RawPreset>,
    pub(super) stored: Option<RawStored>,
    #[serde(default)]
    pub(super) anonymous: bool,
    #[serde(default)]
    pub(super) shared_ids: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawPreset {
    Keycloak,
    Entra,
    Auth0,
    Okta,
    Cognito,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawStored {
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTest {
    pub(super) claim: String,
    pub(super) equals: Option<serde_json::Value>,
    pub(super) equals_claim: Option<String>,
    pub(super) contains: Option<serde_json::Value>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "a claim, or a table with `claim` and `split`")]
pub(super) enum RawClaim {
    Path(String),
    Split(RawSplit),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSplit {
    pub(super) claim: String,
    pub(super) split: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawParent {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) claim: String,
    pub(super) split: Option<String>,
    pub(super) allow: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEntity {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) source: Option<super::Source>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, RawOwner>,
    #[serde(default)]
    pub(super) parents: BTreeMap<String, super::Source>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a source, or a table with `source` and `else`")]
pub(super) enum RawOwner {
    One(super::Source),
    Else(RawElse),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawElse {
    pub(super) source: super::Source,
    #[serde(rename = "else")]
    pub(super) otherwise: super::Source,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) method: Option<OneOrMany<String>>,
    pub(super) host: Option<String>,
    pub(super) path: String,
    pub(super) action: String,
    pub(super) resource: RawResource,
    #[serde(default)]
    pub(super) anonymous: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawResource {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) id: String,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) parents: Vec<RawUid>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUid {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) id: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

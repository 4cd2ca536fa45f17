//! What a provider's product is known to put in its access tokens.

use super::raw::{RawParent, RawPreset};

/// What a preset supplies where the rule is silent.
pub(super) struct Preset {
    /// The subject's stable id.
    pub(super) id: &'static str,
    /// Attributes by name, as far as the schema has them.
    pub(super) attributes: &'static [(&'static str, &'static str)],
    /// Parent types and the claims that list them, as far as the schema has them.
    parents: &'static [(&'static str, &'static str)],
}

impl Preset {
    pub(super) fn of(preset: RawPreset) -> Self {
        match preset {
            RawPreset::Keycloak => Self {
                id: "{sub}",
                attributes: &[("username", "preferred_username"), ("email", "email")],
                parents: &[("Role", "/realm_access/roles"), ("Group", "groups")],
            },
            RawPreset::Entra => Self {
                id: "{oid}",
                attributes: &[("username", "preferred_username"), ("tenant", "tid")],
                parents: &[("Role", "roles"), ("Group", "groups")],
            },
            RawPreset::Auth0 => Self {
                id: "{sub}",
                attributes: &[("organization", "org_id")],
                parents: &[("Permission", "permissions")],
            },
            RawPreset::Okta => Self {
                id: "{uid}",
                attributes: &[("username", "sub")],
                parents: &[("Group", "groups")],
            },
            RawPreset::Cognito => Self {
                id: "{sub}",
                attributes: &[("username", "username")],
                parents: &[("Group", "cognito:groups")],
            },
        }
    }

    pub(super) fn parents(&self) -> impl Iterator<Item = RawParent> {
        self.parents.iter().map(|(type_name, claim)| RawParent {
            type_name: (*type_name).to_owned(),
            claim: (*claim).to_owned(),
            split: None,
            allow: None,
        })
    }
}

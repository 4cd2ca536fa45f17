//! Claims → the principal of a bundle.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use smol_str::SmolStr;

use crate::{
    bundle::{PrincipalRule, Snapshot, Source},
    model::{Claims, EntityFacts, EntityRef, Refusal, Rejection, RejectionCode, Timestamp, Value},
    policy::{
        core::{CedarValue, TypeName, Uid},
        read,
    },
};

/// Greatest number of parents of one principal.
const MAX_PARENTS: usize = 1_000;

/// The subject of a question as the bundle's policies know it.
#[derive(Clone)]
pub struct Principal {
    pub(super) uid: Uid,
    pub(super) type_name: TypeName,
    pub(super) attributes: BTreeMap<SmolStr, CedarValue>,
    pub(super) parents: HashSet<Uid>,
    pub(super) claims: Option<Arc<Claims>>,
    pub(super) anonymous: bool,
}

impl Principal {
    /// The principal of a verified token's claims, or of claims that a rehearsal supposes.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] when no rule makes a principal of them, or a mapped claim does not
    /// have the type that the schema gives its attribute.
    pub fn of_claims(snapshot: &Snapshot, claims: Arc<Claims>) -> Result<Self, Refusal> {
        let rule = snapshot.mapping.rule_for(&claims).ok_or_else(|| {
            let issuer = &claims.issuer;
            unmapped(format!(
                "no `[[principal]]` rule of the bundle takes this token of issuer `{issuer}`"
            ))
        })?;
        let uid = subject_id(rule, &claims, snapshot)?;
        let attributes = attributes(rule, &uid, &claims, snapshot)?;
        let parents = parents(rule, &claims, snapshot)?;
        if rule.stored_required && snapshot.entities.get(&uid).is_none() {
            return Err(unmapped(
                "the principal must be a stored entity, and is not".into(),
            ));
        }
        Ok(Self {
            uid,
            type_name: rule.type_name.clone(),
            attributes,
            parents,
            claims: Some(claims),
            anonymous: false,
        })
    }

    /// The principal that a caller vouches for, in place of a token.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when the schema or the fact sources do not allow what is stated.
    pub fn vouched(snapshot: &Snapshot, facts: &EntityFacts) -> Result<Self, Refusal> {
        let root = "subject";
        let stated = super::facts::Stated::read(snapshot, facts, Source::Token, root)?;
        let types = snapshot.mapping.principal_types();
        let applies =
            |action: &crate::policy::ActionDef| action.principals.contains(&stated.type_name);
        if !types.contains(&stated.type_name) && !snapshot.schema.actions().iter().any(applies) {
            let message = format!("type `{}` is no principal of any action", stated.type_name);
            return Err(Refusal::malformed(
                format!("{root}.type"),
                "not_a_principal",
                message,
            ));
        }
        stated.require(snapshot, Source::Token, root)?;
        Ok(Self {
            uid: stated.uid,
            type_name: stated.type_name,
            attributes: stated.attributes,
            parents: stated.parents,
            claims: None,
            anonymous: false,
        })
    }

    /// The principal of those who present nothing.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] when the bundle has none.
    pub fn anonymous(snapshot: &Snapshot) -> Result<Self, Refusal> {
        let (type_name, id) = snapshot.mapping.anonymous().ok_or_else(token_missing)?;
        let uid = snapshot
            .schema
            .uid_of(type_name, id)
            .map_err(|fault| unmapped(fault.message))?;
        Ok(Self {
            uid,
            type_name: type_name.clone(),
            attributes: BTreeMap::new(),
            parents: HashSet::new(),
            claims: None,
            anonymous: true,
        })
    }

    /// The principal's entity.
    pub fn uid(&self) -> &Uid {
        &self.uid
    }

    /// The entity in words, for people who try out a mapping; it shows personal data.
    pub fn describe(&self) -> String {
        let mut parents: Vec<String> = self.parents.iter().map(ToString::to_string).collect();
        parents.sort();
        let parents = match parents.is_empty() {
            true => String::new(),
            false => format!(" in [{}]", parents.join(", ")),
        };
        let attributes: Vec<String> = self
            .attributes
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        match attributes.is_empty() {
            true => format!("{}{parents} {{ }}", self.uid),
            false => format!("{}{parents} {{ {} }}", self.uid, attributes.join(", ")),
        }
    }

    /// The principal's type and id.
    pub fn entity(&self) -> EntityRef {
        let id: &str = self.uid.eid().as_ref();
        EntityRef::new(self.type_name.to_string(), id)
    }

    /// What the token behind it says, if there is one.
    pub fn claims(&self) -> Option<&Arc<Claims>> {
        self.claims.as_ref()
    }

    /// Whether nothing was presented for it.
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// When the token behind it ends.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.claims.as_ref().map(|claims| claims.expires_at)
    }
}

impl std::fmt::Debug for Principal {
    /// Attributes are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Principal")
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

/// That a token is needed and none came.
pub(super) fn token_missing() -> Refusal {
    let code = RejectionCode::TokenMissing;
    Refusal::Unauthenticated(Rejection::new(
        code,
        "a token is needed, and none was presented",
    ))
}

fn unmapped(detail: String) -> Refusal {
    Refusal::Unauthenticated(Rejection::new(RejectionCode::PrincipalUnmapped, detail))
}

fn bad_claim(claim: &str, what: &str) -> Refusal {
    let detail = format!("claim `{claim}` {what}");
    Refusal::Unauthenticated(Rejection::new(RejectionCode::ClaimInvalid, detail))
}

fn subject_id(rule: &PrincipalRule, claims: &Claims, snapshot: &Snapshot) -> Result<Uid, Refusal> {
    let hole = |name: &str| match name {
        "issuer" => Some(claims.issuer.as_str()),
        claim => claims
            .get(claim)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty()),
    };
    let id = rule
        .id
        .fill(hole)
        .map_err(|claim| bad_claim(claim, "is needed for the principal's id"))?;
    snapshot
        .schema
        .uid_of(&rule.type_name, &id)
        .map_err(|fault| unmapped(fault.message))
}

fn attributes(
    rule: &PrincipalRule,
    uid: &Uid,
    claims: &Claims,
    snapshot: &Snapshot,
) -> Result<BTreeMap<SmolStr, CedarValue>, Refusal> {
    let mut attributes = BTreeMap::new();
    for (name, path, ty) in &rule.attributes {
        if let Some(value) = path.read(claims) {
            let value = read(&value, ty, &snapshot.schema).map_err(|fault| {
                bad_claim(
                    &path.claim,
                    &format!("does not fit attribute `{name}`: {}", fault.message),
                )
            })?;
            attributes.insert(name.clone(), value);
        }
    }
    let Some(def) = snapshot.schema.entity_type(&rule.type_name) else {
        return Ok(attributes);
    };
    for (name, member) in &def.attributes.members {
        let of_token = snapshot.sources.of_attribute(&rule.type_name, name) == Source::Token;
        if member.required
            && of_token
            && !attributes.contains_key(name)
            && !super::facts::is_stored_else(snapshot, &rule.type_name, uid, name)
        {
            let mapped = rule.attributes.iter().find(|(mapped, _, _)| mapped == name);
            return Err(match mapped {
                Some((_, path, _)) => {
                    bad_claim(&path.claim, &format!("is needed for attribute `{name}`"))
                }
                None => unmapped(format!(
                    "attribute `{name}` is required, and no claim is mapped to it"
                )),
            });
        }
    }
    Ok(attributes)
}

fn parents(
    rule: &PrincipalRule,
    claims: &Claims,
    snapshot: &Snapshot,
) -> Result<HashSet<Uid>, Refusal> {
    let mut parents = HashSet::new();
    for parent in &rule.parents {
        let claim = parent.claim.claim.as_str();
        let ids = match parent.claim.read(claims) {
            None => continue,
            Some(Value::Set(ids)) => ids,
            Some(one @ Value::String(_)) => vec![one],
            Some(_) => return Err(bad_claim(claim, "is not a list of names")),
        };
        for id in &ids {
            let id = id
                .as_str()
                .ok_or_else(|| bad_claim(claim, "is not a list of names"))?;
            if !parent.allows(id) {
                continue;
            }
            match snapshot.schema.uid_of(&parent.type_name, id) {
                Ok(uid) => parents.insert(uid),
                // A role that an enumeration does not have means nothing here.
                Err(_) => continue,
            };
            if parents.len() > MAX_PARENTS {
                let detail = format!("claim `{claim}` lists more than {MAX_PARENTS} names");
                let code = RejectionCode::ClaimOverflow;
                return Err(Refusal::Unauthenticated(Rejection::new(code, detail)));
            }
        }
    }
    Ok(parents)
}

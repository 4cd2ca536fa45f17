//! Claims → the principal of a bundle.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock},
};

use smol_str::SmolStr;

use super::{
    context,
    facts::{Stated, is_stored_else},
    slice,
    stored::Known,
};
use crate::{
    bundle::{PrincipalRule, Snapshot, Source},
    model::{
        Claims, EntityFacts, EntityRef, Refusal, Rejection, RejectionCode, SubjectFacts, Timestamp,
        Value,
    },
    policy::{
        Party,
        core::{self, CedarValue, Entities, Entity, Uid},
        read,
    },
};

/// Greatest number of parents of one principal.
const MAX_PARENTS: usize = 1_000;

/// The subject of a question as the bundle's policies know it.
///
/// It holds for the snapshot and the directory that it was made by, since its entity has what those
/// store of it and of its ancestors. Nothing of a request is in it, so requests of one subject may share it.
pub struct Principal {
    /// What its own side states.
    stated: Arc<Entity>,
    /// The same and what is stored, with all ancestors.
    entity: Arc<Entity>,
    /// What that is to the heads of the snapshot's policies.
    party: Party,
    name: EntityRef,
    claims: Option<Arc<Claims>>,
    /// `context.token` and `context.actor`, made when an action first asks for them.
    token: OnceLock<Option<CedarValue>>,
    actor: OnceLock<Option<CedarValue>>,
    /// What records of it keep, made for the first of them.
    kept: OnceLock<Arc<SubjectFacts>>,
    anonymous: bool,
}

impl Principal {
    /// The principal of a verified token's claims, or of claims that a rehearsal supposes.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] when no rule makes a principal of them, or a mapped claim does not
    /// have the type that the schema gives its attribute; as of [`Self::vouched`] for its hierarchy.
    pub fn of_claims<'w>(
        known: impl Into<Known<'w>>,
        claims: Arc<Claims>,
    ) -> Result<Self, Refusal> {
        let known: Known<'w> = known.into();
        let snapshot = known.snapshot;
        let rule = snapshot.mapping.rule_for(&claims).ok_or_else(|| {
            let issuer = &claims.issuer;
            unmapped(format!(
                "no `[[principal]]` rule of the bundle takes this token of issuer `{issuer}`"
            ))
        })?;
        let uid = subject_id(rule, &claims, snapshot)?;
        let stated = Stated {
            attributes: attributes(rule, &uid, &claims, snapshot)?
                .into_iter()
                .collect(),
            parents: parents(rule, &claims, snapshot)?,
            uid,
        };
        if rule.stored_required && known.get(&stated.uid)?.is_none() {
            return Err(unmapped(
                "the principal must be a stored entity, and is not".into(),
            ));
        }
        Self::new(known, stated, Some(claims), false)
    }

    /// The principal that a caller vouches for, in place of a token.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when the schema or the fact sources do not allow what is stated, or it
    /// would be its own ancestor; [`Refusal::TooLarge`] for too many ancestors.
    pub fn vouched<'w>(known: impl Into<Known<'w>>, facts: &EntityFacts) -> Result<Self, Refusal> {
        let known: Known<'w> = known.into();
        let snapshot = known.snapshot;
        let root = "subject";
        let stated = Stated::read(snapshot, facts, Source::Token, &root)?;
        let type_name = stated.type_name();
        let mut types = snapshot.mapping.principal_types();
        let applies = |action: &crate::policy::ActionDef| action.principals.contains(type_name);
        if !types.any(|it| it == type_name) && !snapshot.schema.actions().iter().any(applies) {
            let message = format!("type `{type_name}` is no principal of any action");
            return Err(Refusal::malformed(
                format!("{root}.type"),
                "not_a_principal",
                message,
            ));
        }
        stated.require(snapshot, Source::Token, &root)?;
        Self::new(known, stated, None, false)
    }

    /// The principal of those who present nothing.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] when the bundle has none.
    pub fn anonymous<'w>(known: impl Into<Known<'w>>) -> Result<Self, Refusal> {
        let known: Known<'w> = known.into();
        let snapshot = known.snapshot;
        let (type_name, id) = snapshot.mapping.anonymous().ok_or_else(token_missing)?;
        let uid = snapshot
            .schema
            .uid_of(type_name, id)
            .map_err(|fault| unmapped(fault.message))?;
        Self::new(known, Stated::bare(uid), None, true)
    }

    pub(super) fn new(
        known: Known<'_>,
        stated: Stated,
        claims: Option<Arc<Claims>>,
        anonymous: bool,
    ) -> Result<Self, Refusal> {
        let stated = stated.into_entity();
        let entity = slice::of_principal(known, &stated)?;
        Ok(Self {
            party: known.snapshot.policies.party(entity.uid(), Some(&entity)),
            name: core::stated_uid(entity.uid()),
            entity,
            stated,
            claims,
            token: OnceLock::new(),
            actor: OnceLock::new(),
            kept: OnceLock::new(),
            anonymous,
        })
    }

    /// What its own side states of it.
    pub(super) fn stated(&self) -> &Arc<Entity> {
        &self.stated
    }

    /// Its entity where the request states nothing of it or of its ancestors.
    pub(super) fn shared(&self) -> &Arc<Entity> {
        &self.entity
    }

    /// What it is to the heads of its snapshot's policies, if it is in a slice as it is by itself.
    pub fn party_in(&self, slice: &Entities) -> Option<&Party> {
        let found = slice.get(self.uid())?;
        std::ptr::eq(found, Arc::as_ptr(&self.entity)).then_some(&self.party)
    }

    /// `context.token`.
    pub(super) fn token(&self) -> Option<CedarValue> {
        let token = || context::token(self.claims.as_deref()?);
        self.token.get_or_init(token).clone()
    }

    /// `context.actor`.
    pub(super) fn actor(&self) -> Option<CedarValue> {
        let actor = || context::actor(self.claims.as_deref()?);
        self.actor.get_or_init(actor).clone()
    }

    /// What records of it keep, once that was made.
    pub(super) fn kept(&self) -> &OnceLock<Arc<SubjectFacts>> {
        &self.kept
    }

    /// How much memory it takes, in bytes, roughly.
    pub(super) fn weight(&self) -> u64 {
        /// A name or a small value with its place in a map.
        const ITEM: usize = 160;
        let items = self.entity.ancestors().len() + self.entity.attributes().len();
        // What is stated stands there once more for records.
        let items = items + self.stated.parents().len() + self.stated.attributes().len();
        u64::try_from(ITEM * (8 + items)).unwrap_or(u64::MAX)
    }

    /// The principal's entity.
    pub fn uid(&self) -> &Uid {
        self.entity.uid()
    }

    /// The entity in words, for people who try out a mapping; it shows personal data.
    pub fn describe(&self) -> String {
        let uid = self.uid();
        let parents = self.stated.parents().iter();
        let mut parents: Vec<String> = parents.map(ToString::to_string).collect();
        parents.sort();
        let parents = match parents.is_empty() {
            true => String::new(),
            false => format!(" in [{}]", parents.join(", ")),
        };
        let attributes: Vec<String> = self
            .stated
            .attributes()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        match attributes.is_empty() {
            true => format!("{uid}{parents} {{ }}"),
            false => format!("{uid}{parents} {{ {} }}", attributes.join(", ")),
        }
    }

    /// The principal's type and id.
    pub fn name(&self) -> &EntityRef {
        &self.name
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
            .field("uid", self.uid())
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
    let owners = snapshot.sources.owners(&def.name);
    for (name, member) in &def.attributes.members {
        let of_token = owners.of_attribute(name) == Source::Token;
        if member.required
            && of_token
            && !attributes.contains_key(name)
            && !is_stored_else(snapshot, uid, name)
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

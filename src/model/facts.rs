//! What a decision stood on, as it is kept: enough to decide again, and no more.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    EntityFacts, Timestamp,
    claims::Actor,
    value::{EntityRef, Members},
};

/// The facts of one decision. Stored entities are not among them: the bundle's digest and the
/// revision name those.
#[derive(Clone, Default, PartialEq)]
pub struct Facts {
    /// Who the subject was found to be. Records of one principal may share it.
    pub subject: Option<Arc<SubjectFacts>>,
    /// What was asked, and what was stated with it.
    pub asked: Option<AskedFacts>,
}

/// A subject as the bundle's mapping made it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectFacts {
    /// The principal with what its own side states of it.
    pub entity: EntityFacts,
    /// Nothing was presented for it.
    pub anonymous: bool,
    /// What the standard context tells of its token.
    pub token: Option<TokenFacts>,
    /// The first 16 hexadecimal digits of the token's SHA-256.
    pub fingerprint: Option<String>,
    /// The token's `jti`.
    pub token_id: Option<String>,
}

/// The members of `context.token` and `context.actor`: the claims that are typed, not the raw ones.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// The operator's name of the issuer.
    pub issuer: String,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `scope`.
    pub scopes: Vec<String>,
    /// `acr`.
    pub acr: Option<String>,
    /// `amr`.
    pub amr: Option<Vec<String>>,
    /// `auth_time`.
    pub auth_time: Option<Timestamp>,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
    /// `exp`.
    pub expires_at: Timestamp,
    /// The actor's `sub` and `iss`.
    pub actor: Option<(String, Option<String>)>,
}

/// A question as it was decided.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct AskedFacts {
    /// The action, in the schema's words once it was found.
    pub action: String,
    /// The resource.
    pub resource: Option<EntityRef>,
    /// The question, in the words it was asked in.
    pub question: AskedQuestion,
    /// What was stated about entities.
    pub entities: Vec<EntityFacts>,
    /// What was stated as context.
    pub context: Members,
    /// Whom the client's certificate names.
    pub peer: Option<String>,
}

/// What was asked.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum AskedQuestion {
    /// An action on a resource.
    Named {
        /// The action, in the words of whoever asked.
        action: String,
        /// What was stated about the action.
        properties: Members,
        /// The resource with what was stated about it.
        resource: EntityFacts,
    },
    /// An HTTP request in canonical form, with those of its headers and parameters that the action
    /// declares, and no others.
    Http {
        /// The method.
        method: String,
        /// The host; empty when unknown.
        host: String,
        /// The path, and the declared parameters behind a `?`.
        target: String,
        /// The declared headers, by lower-case name.
        headers: BTreeMap<String, String>,
    },
}

impl TokenFacts {
    /// The actor, if there is one.
    pub fn actor(&self) -> Option<Actor> {
        let (subject, issuer) = self.actor.clone()?;
        Some(Actor { subject, issuer })
    }
}

/// Facts that are made when they are first needed, off the path of the request.
#[derive(Default)]
pub enum Evidence {
    /// There is none.
    #[default]
    None,
    /// It is at hand.
    Known(Box<Facts>),
    /// It follows from what this holds.
    Later(Box<dyn FnOnce() -> Facts + Send>),
}

impl Evidence {
    /// The facts.
    pub fn facts(self) -> Facts {
        match self {
            Self::None => Facts::default(),
            Self::Known(facts) => *facts,
            Self::Later(make) => make(),
        }
    }
}

macro_rules! private {
    ($($name:ident),*) => {
        $(impl fmt::Debug for $name {
            /// Facts are personal data.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })*
    };
}

private!(
    Facts,
    SubjectFacts,
    TokenFacts,
    AskedFacts,
    AskedQuestion,
    Evidence
);

//! What the ledger's records say. They are JSON, so that they can be read without this program.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{SignedDuration, Timestamp};

/// A record of the ledger.
///
/// It says what was asked for; what becomes of it follows from everything before, so that whoever
/// reads the ledger comes to the same state.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerRecord {
    /// Changes of stored entities; all of them or none.
    Entities(EntityChanges),
    /// Tokens that are no longer accepted.
    Revocation(Revocation),
    /// A bundle that was published.
    Publication(Publication),
    /// The data were restored from a backup.
    Restored(Restored),
    /// Reserved: a policy template linked to entities.
    Link(Box<RawValue>),
}

/// Changes of the entities of one bundle.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntityChanges {
    /// The bundle's name.
    pub bundle: String,
    /// When they were asked for.
    pub time: Timestamp,
    /// Who asked.
    pub by: String,
    /// The changes, in their order.
    pub changes: Vec<Change>,
}

/// A change of one entity.
#[derive(Debug, Serialize, Deserialize)]
pub struct Change {
    /// Its full type name.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its id.
    pub id: String,
    /// What must hold for the whole record to count.
    #[serde(default, skip_serializing_if = "Expect::is_anything")]
    pub expect: Expect,
    /// What it becomes; `None`: it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<Put>,
}

/// What an entity becomes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Put {
    /// The fingerprint of the schema types that it passed.
    pub stamp: u64,
    /// Its `attrs` and `parents`, as in Cedar's entity JSON.
    pub facts: Box<RawValue>,
}

/// What must hold of an entity before a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Nothing.
    #[default]
    Anything,
    /// It is not there.
    Absent,
    /// It is there.
    Present,
    /// It was last changed by the record of this sequence.
    Unchanged(u64),
}

impl Expect {
    fn is_anything(&self) -> bool {
        *self == Self::Anything
    }
}

/// Tokens that are no longer accepted, though they have not expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When it was asked for.
    pub time: Timestamp,
    /// Who asked.
    pub by: String,
    /// The issuer's `iss`, byte for byte.
    pub issuer: String,
    /// Which of its tokens.
    pub what: Revoked,
    /// Until when any of them could be accepted otherwise, so until when it is kept.
    pub until: Timestamp,
}

/// Which tokens of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// The one with this `jti`.
    Token(String),
    /// Those of this session (`sid`).
    Session(String),
    /// Those of this `sub`, issued up to `before`.
    Subject {
        /// The `sub`.
        subject: String,
        /// Those issued up to this moment.
        before: Timestamp,
    },
}

/// A bundle that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// When.
    pub time: Timestamp,
    /// The bundle's name.
    pub bundle: String,
    /// Its digest, in hexadecimal.
    pub digest: String,
}

/// The data were restored from a backup: what happened after the backup is not known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When.
    pub time: Timestamp,
    /// Whether access tokens issued before that are taken as revoked, since a revocation may be
    /// among what was lost.
    pub revoke_before: bool,
    /// For how long that matters: the longest that a token of any issuer may live.
    pub longest: SignedDuration,
}

impl LedgerRecord {
    /// When it was asked for, where it says so.
    pub fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Entities(it) => Some(it.time),
            Self::Revocation(it) => Some(it.time),
            Self::Publication(it) => Some(it.time),
            Self::Restored(it) => Some(it.time),
            Self::Link(_) => None,
        }
    }

    /// The record as bytes.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which only its numbers could cause.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|why| why.to_string())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When this program does not know it: a later version wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|why| format!("a record of no known kind: {why}"))
    }
}

//! What stands in the log: one entry for each record of it, in a compact form with a version.
//!
//! An entry is a version, a kind, for decisions the id, and its body in postcard's form. Facts stand
//! beside it, in the part of a record that the chain covers by commitments only.

use std::{borrow::Cow, net::IpAddr};

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use crate::model::{Cause, DecisionId, Effect, Face, Outcome, Timestamp};

/// The form of entries; another number is another form.
pub(super) const VERSION: u8 = 1;
/// Where an entry has its kind.
pub(super) const KIND_AT: usize = 1;
/// Where an entry of a decision has its id.
pub(super) const ID_AT: usize = 2;
pub(super) const DECISION: u8 = 1;
/// Kinds that tell of several decisions or refusals, each with its id.
pub(super) const REFUSALS: u8 = 2;
pub(super) const REPEATED: u8 = 3;

/// Seconds since 1970, and nanoseconds.
pub(super) type Moment = (i64, i32);

pub(super) fn moment(time: Timestamp) -> Moment {
    (time.as_second(), time.subsec_nanosecond())
}

pub(super) fn time_of((seconds, nanos): Moment) -> Timestamp {
    Timestamp::new(seconds, nanos).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// One entry.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are decisions, and none is kept"
)]
#[derive(Debug)]
pub(super) enum Entry<'a> {
    /// The process began, or a segment did.
    Start(Start<'a>),
    /// A decision, or a refusal to someone who is known.
    Decision(DecisionId, Line<'a>),
    /// Refusals to strangers.
    Refusals(Refusals),
    /// Denies of one subject, above its rate.
    Repeated(Repeated<'a>),
    /// Records are missing here.
    Gap(Gap),
    /// The node's signature.
    Checkpoint(Checkpoint),
    /// Older segments were removed, as they were to be.
    Pruned(Pruned),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start<'a> {
    pub(super) time: Moment,
    pub(super) engine: Cow<'a, str>,
    /// The SHA-256 of the configuration, shortened.
    pub(super) configuration: Cow<'a, str>,
    /// The node's public key (Ed25519).
    pub(super) key: [u8; 32],
    /// The process began; else only the segment.
    pub(super) process: bool,
}

/// A decision without its facts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<'a> {
    pub(super) time: Moment,
    pub(super) face: Face,
    pub(super) caller: Option<Cow<'a, str>>,
    pub(super) peer: Option<IpAddr>,
    pub(super) request_id: Option<Cow<'a, str>>,
    pub(super) bundle: Option<Cow<'a, str>>,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) strict_errors: bool,
    pub(super) revision: Cow<'a, str>,
    pub(super) undeclared: usize,
    pub(super) latency_us: u64,
    pub(super) redacted: bool,
    pub(super) explained: bool,
    pub(super) outcome: LineOutcome<'a>,
    pub(super) subject: Option<Ref>,
    pub(super) asked: Option<Ref>,
    pub(super) words: Option<Ref>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LineOutcome<'a> {
    Decision {
        outcome: Outcome,
        cause: Cause,
        reasons: Vec<(Cow<'a, str>, Effect)>,
        errors: Vec<(Cow<'a, str>, Effect, Cow<'a, str>)>,
        obligations: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    },
    Refusal {
        refusal: Cow<'a, str>,
        reason: Cow<'a, str>,
    },
}

/// Facts that stand beside this record or an earlier one of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ref {
    /// How many records earlier.
    pub(super) back: u64,
    /// Which of the facts there.
    pub(super) slot: u8,
    /// The SHA-256 of their salt and themselves.
    pub(super) commitment: [u8; 32],
}

type Text<'a> = Option<Cow<'a, str>>;

/// Texts of a record, in the order of its reasons and errors.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Words<'a> {
    pub(super) detail: Text<'a>,
    /// `@reason`, `@advice` and place.
    pub(super) reasons: Vec<(Text<'a>, Text<'a>, Cow<'a, str>)>,
    pub(super) errors: Vec<Cow<'a, str>>,
}

/// What strangers were refused within one second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Refusals {
    pub(super) time: Moment,
    pub(super) tallies: Vec<Tally>,
}

/// How often one class of strangers was refused, with the first of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tally {
    /// `None`: all those beyond the number of classes that are told apart.
    pub(super) class: Option<Class>,
    pub(super) count: u64,
    pub(super) samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Class {
    pub(super) face: Face,
    pub(super) refusal: String,
    pub(super) reason: String,
    pub(super) caller: Option<String>,
    pub(super) peer: Option<IpAddr>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) time: Moment,
    pub(super) id: [u8; 16],
    pub(super) request_id: Option<String>,
    pub(super) detail: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Repeated<'a> {
    pub(super) first: Moment,
    pub(super) last: Moment,
    pub(super) ids: Vec<[u8; 16]>,
    pub(super) caller: Option<Cow<'a, str>>,
    pub(super) bundle: Option<Cow<'a, str>>,
    pub(super) cause: Cause,
    pub(super) subject: Ref,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) time: Moment,
    pub(super) lost: u64,
}

/// The record before this one, signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) time: Moment,
    pub(super) sequence: u64,
    pub(super) hash: [u8; 32],
    /// The process ends in order after this.
    pub(super) closing: bool,
    pub(super) signature: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pruned {
    pub(super) time: Moment,
    /// The last record that was removed.
    pub(super) sequence: u64,
    pub(super) hash: [u8; 32],
}

/// Bytes that are no entry of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoEntry {
    #[error(
        "it has form {0}, and this program reads form {VERSION}: use the program that wrote it"
    )]
    Version(u8),
    #[error("it is no entry: {0}")]
    Malformed(String),
}

impl Checkpoint {
    /// What is signed.
    pub(super) fn message(&self) -> Vec<u8> {
        let mut message = b"doorward audit checkpoint 1\n".to_vec();
        message.extend(self.sequence.to_le_bytes());
        message.extend(self.hash);
        message.extend(self.time.0.to_le_bytes());
        message.extend(self.time.1.to_le_bytes());
        message.push(u8::from(self.closing));
        message
    }
}

impl Entry<'_> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
        out.clear();
        out.push(VERSION);
        let body = |kind: u8, out: &mut Vec<u8>| out.push(kind);
        match self {
            Self::Start(it) => {
                body(0, out);
                append(out, it)
            }
            Self::Decision(id, it) => {
                body(DECISION, out);
                out.extend(id.as_bytes());
                append(out, it)
            }
            Self::Refusals(it) => {
                body(REFUSALS, out);
                append(out, it)
            }
            Self::Repeated(it) => {
                body(REPEATED, out);
                append(out, it)
            }
            Self::Gap(it) => {
                body(4, out);
                append(out, it)
            }
            Self::Checkpoint(it) => {
                body(5, out);
                append(out, it)
            }
            Self::Pruned(it) => {
                body(6, out);
                append(out, it)
            }
        }
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Entry<'static>, NoEntry> {
        let malformed = |why: postcard::Error| NoEntry::Malformed(why.to_string());
        let short = || NoEntry::Malformed("it is short".to_owned());
        let [version, kind, body @ ..] = payload else {
            return Err(short());
        };
        if *version != VERSION {
            return Err(NoEntry::Version(*version));
        }
        fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, postcard::Error> {
            postcard::from_bytes(body)
        }
        Ok(match *kind {
            0 => Entry::Start(read(body).map_err(malformed)?),
            DECISION => {
                let (id, body) = body.split_first_chunk().ok_or_else(short)?;
                Entry::Decision(DecisionId::from_bytes(*id), read(body).map_err(malformed)?)
            }
            REFUSALS => Entry::Refusals(read(body).map_err(malformed)?),
            REPEATED => Entry::Repeated(read(body).map_err(malformed)?),
            4 => Entry::Gap(read(body).map_err(malformed)?),
            5 => Entry::Checkpoint(read(body).map_err(malformed)?),
            6 => Entry::Pruned(read(body).map_err(malformed)?),
            other => return Err(NoEntry::Malformed(format!("there is no kind {other}"))),
        })
    }
}

/// Appends a body in postcard's form. After an error there may be some of it.
pub(super) fn append(out: &mut Vec<u8>, body: &impl Serialize) -> Result<(), postcard::Error> {
    postcard::serialize_with_flavor(body, End(out))
}

/// The end of a buffer that has other things before.
struct End<'a>(&'a mut Vec<u8>);

impl Flavor for End<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The id of the decision that an entry tells of, without reading the rest.
pub(super) fn id_in(payload: &[u8]) -> Option<[u8; 16]> {
    let is_decision = payload.get(KIND_AT) == Some(&DECISION);
    let id = payload.get(ID_AT..)?.first_chunk()?;
    is_decision.then_some(*id)
}

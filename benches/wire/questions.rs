//! What is asked: by many people with many tokens about many documents, a few far more often.

use doorward::{
    authn::DevIssuer,
    model::{EntityFacts, EntityRef, Value},
    proto::v1::{
        CheckBatchRequest, CheckRequest, CheckStreamRequest, check_batch_request, check_request,
    },
    server::clock,
};
use prost::bytes::{BufMut as _, Bytes, BytesMut};

use super::common::{
    Shape,
    dice::Dice,
    doc,
    kit::{message, token},
};

const USERS: usize = 5_000;
const DOCUMENTS: usize = 50_000;
/// Questions in the order in which they are asked, again and again.
const ASKED: usize = 40_000;
/// Tokens that are each seen once in a while: more than any cache keeps.
const ONCE: usize = 30_000;
/// Questions about stored documents: more than a run asks.
const ASKED_OF_STORED: usize = 1_500_000;
const BATCH: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Cached,
    Uncached,
    Batch,
    Stream,
}

/// Messages as gRPC frames.
pub(crate) struct Questions {
    asked: Vec<Bytes>,
    once: Vec<Bytes>,
    batches: Vec<Bytes>,
    streamed: Vec<Bytes>,
}

impl Questions {
    pub(crate) fn new(shape: Shape, issuer: &DevIssuer) -> Self {
        let now = clock::now();
        let mut dice = Dice::new(7);
        let group = |user: usize| user % shape.groups();
        let mint = |user: usize| token(issuer, &format!("user-{user}"), group(user), now);
        let tokens: Vec<String> = (0..USERS).map(mint).collect();
        let (users, documents) = (Zipf::new(USERS), Zipf::new(DOCUMENTS));
        let mut question = |user: usize, token: String| {
            let document = documents.roll(&mut dice);
            let mut resource = doc(&format!("doc-{document}"), group(user));
            // One in eight is of another tenant, which no policy lets pass.
            if document % 8 == 7 {
                let other = Value::String("other".to_owned());
                resource.attributes.insert("tenant".to_owned(), other);
            }
            message(token, resource)
        };
        let mut crowd = Dice::new(11);
        let asked: Vec<CheckRequest> = (0..ASKED)
            .map(|_| {
                let user = users.roll(&mut crowd);
                question(user, tokens.get(user).unwrap().clone())
            })
            .collect();
        let once = (0..ONCE).map(|n| frame(&question(n % USERS, mint(n % USERS))));
        let once = once.collect();
        let batches = asked.chunks_exact(BATCH).map(batch);
        let streamed = asked.iter().enumerate().map(|(n, check)| {
            frame(&CheckStreamRequest {
                id: n.to_string(),
                check: Some(check.clone()),
            })
        });
        Self {
            once,
            batches: batches.collect(),
            streamed: streamed.collect(),
            asked: asked.iter().map(frame).collect(),
        }
    }

    /// Questions about stored documents, as many as a run may ask without asking one again.
    pub(crate) fn stored(shape: Shape, issuer: &DevIssuer, count: usize) -> Self {
        let now = clock::now();
        let mint = |group: usize| token(issuer, &format!("user-{group}"), group, now);
        let tokens: Vec<String> = (0..shape.groups()).map(mint).collect();
        let (documents, mut dice) = (Zipf::new(count), Dice::new(13));
        let question = |_| {
            let document = documents.roll(&mut dice);
            // One in eight is asked about by someone of another team.
            let group = document + usize::from(document % 8 == 7);
            let token = tokens.get(group % tokens.len()).unwrap().clone();
            let name = EntityRef::new("Doc", format!("doc-{document}"));
            frame(&message(token, EntityFacts::bare(name)))
        };
        Self {
            asked: (0..ASKED_OF_STORED).map(question).collect(),
            once: Vec::new(),
            batches: Vec::new(),
            streamed: Vec::new(),
        }
    }

    pub(crate) fn of(&self, kind: Kind) -> &[Bytes] {
        match kind {
            Kind::Cached => &self.asked,
            Kind::Uncached => &self.once,
            Kind::Batch => &self.batches,
            Kind::Stream => &self.streamed,
        }
    }

    /// The size of a question, in bytes, on the average.
    pub(crate) fn size(&self) -> usize {
        self.asked.iter().map(Bytes::len).sum::<usize>() / self.asked.len()
    }
}

/// Questions of one person, as someone's list of documents would ask them.
fn batch(asked: &[CheckRequest]) -> Bytes {
    let token = match &asked.first().unwrap().subject {
        Some(check_request::Subject::AccessToken(token)) => token.clone(),
        other => unreachable!("{other:?}"),
    };
    let bare = |check: &CheckRequest| CheckRequest {
        subject: None,
        ..check.clone()
    };
    frame(&CheckBatchRequest {
        subject: Some(check_batch_request::Subject::AccessToken(token)),
        checks: asked.iter().map(bare).collect(),
        ..CheckBatchRequest::default()
    })
}

/// A message with gRPC's five bytes before it.
fn frame(message: &impl prost::Message) -> Bytes {
    let size = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + size);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(size).unwrap());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}

/// Numbers of which the n-th comes up in proportion to 1/n.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(count: usize) -> Self {
        let mut sum = 0.0;
        let shares = (1..=u32::try_from(count).unwrap()).map(|n| {
            sum += 1.0 / f64::from(n);
            sum
        });
        Self(shares.collect())
    }

    fn roll(&self, dice: &mut Dice) -> usize {
        let steps = 1 << 30;
        let at = f64::from(u32::try_from(dice.roll(steps)).unwrap()) / f64::from(1_u32 << 30);
        let at = at * self.0.last().unwrap();
        self.0
            .partition_point(|share| *share < at)
            .min(self.0.len() - 1)
    }
}

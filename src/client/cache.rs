//! Answers that may be used again, as long as each says itself.
//!
//! **Invariant:** reads no clock; `now` is an argument.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use prost::Message as _;
use tokio::time::Instant;

use crate::proto::v1::{
    CheckRequest, Decision, Entity, Value, ValueRecord, ValueSet, check_request::Question,
    check_request::Subject, value::Kind,
};

/// A question in one form, credential included: two questions share it only if they are the same.
pub(super) type Key = Vec<u8>;

/// Answers by their questions, in two generations: when the young one is full, the old one goes.
pub(super) struct Cache {
    most: usize,
    young: HashMap<Key, Kept>,
    old: HashMap<Key, Kept>,
}

struct Kept {
    decision: Decision,
    until: Instant,
}

impl Cache {
    /// A cache of at most `most` answers.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// The answer to the same question, while it may be used.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Decision> {
        let kept = self.young.get(key).or_else(|| self.old.get(key))?;
        (now < kept.until).then(|| kept.decision.clone())
    }

    /// Keeps an answer to a question asked at `asked`, as far as it allows that.
    pub(super) fn put(&mut self, key: Key, decision: &Decision, asked: Instant) {
        let Some(until) = lifetime(decision).and_then(|it| asked.checked_add(it)) else {
            return;
        };
        if self.young.len() >= self.most.div_ceil(2) {
            self.old = std::mem::take(&mut self.young);
        }
        let decision = decision.clone();
        self.young.insert(key, Kept { decision, until });
    }
}

fn lifetime(decision: &Decision) -> Option<Duration> {
    let allowed = decision.cacheable_for.as_ref()?;
    let seconds = u64::try_from(allowed.seconds).ok()?;
    let nanos = u32::try_from(allowed.nanos).ok()?;
    let lifetime = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()))?;
    (!lifetime.is_zero()).then_some(lifetime)
}

/// The key of a question. Maps have no order on the wire, so their members are sorted here.
pub(super) fn key(request: &CheckRequest) -> Key {
    let CheckRequest {
        bundle,
        subject,
        question,
        entities,
        context,
        at_least_revision,
        // Names this asking, not what is asked.
        request_id: _,
    } = request;
    let mut key = Vec::new();
    text(&mut key, bundle);
    text(&mut key, at_least_revision);
    match subject {
        None => key.push(0),
        Some(Subject::AccessToken(token)) => {
            key.push(1);
            text(&mut key, token);
        }
        Some(Subject::Entity(it)) => {
            key.push(2);
            entity(&mut key, it);
        }
        Some(Subject::Anonymous(_)) => key.push(3),
    }
    match question {
        None => key.push(0),
        Some(Question::Named(it)) => {
            key.push(1);
            text(&mut key, &it.action);
            list(&mut key, &it.resource, entity);
        }
        Some(Question::Http(it)) => {
            key.push(2);
            for part in [&it.method, &it.host, &it.path] {
                text(&mut key, part);
            }
            map(&mut key, &it.headers, |key, value| text(key, value));
        }
    }
    list(&mut key, entities, entity);
    map(&mut key, context, value);
    key
}

fn length(key: &mut Key, length: usize) {
    key.extend_from_slice(&length.to_be_bytes());
}

fn text(key: &mut Key, text: &str) {
    length(key, text.len());
    key.extend_from_slice(text.as_bytes());
}

fn list<'a, T: 'a>(
    key: &mut Key,
    items: impl IntoIterator<Item = &'a T>,
    item: impl Fn(&mut Key, &T),
) {
    let items: Vec<&T> = items.into_iter().collect();
    length(key, items.len());
    items.into_iter().for_each(|it| item(key, it));
}

fn map<V>(key: &mut Key, members: &BTreeMap<String, V>, member: impl Fn(&mut Key, &V)) {
    length(key, members.len());
    for (name, value) in members {
        text(key, name);
        member(key, value);
    }
}

fn entity(key: &mut Key, it: &Entity) {
    let Entity {
        uid,
        attributes,
        parents,
    } = it;
    let plain = |key: &mut Key, it: &crate::proto::v1::EntityUid| {
        text(key, &it.r#type);
        text(key, &it.id);
    };
    list(key, uid, plain);
    map(key, attributes, value);
    list(key, parents, plain);
}

fn value(key: &mut Key, it: &Value) {
    match &it.kind {
        Some(Kind::Set(ValueSet { values })) => {
            key.push(1);
            list(key, values, value);
        }
        Some(Kind::Record(ValueRecord { members })) => {
            key.push(2);
            map(key, members, value);
        }
        // The others have no map within, so the wire has one form of them.
        _ => {
            key.push(3);
            let encoded = it.encode_to_vec();
            length(key, encoded.len());
            key.extend_from_slice(&encoded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::EntityRef,
        proto::v1::{HttpQuestion, NamedQuestion, Outcome},
    };

    fn decision(seconds: i64) -> Decision {
        Decision {
            outcome: Outcome::Allow.into(),
            cacheable_for: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..Decision::default()
        }
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn an_answer_is_used_again_no_longer_than_it_allows() {
        let (mut cache, start) = (Cache::new(8), start());
        cache.put(vec![1], &decision(10), start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(cache.get(&vec![1], after(9)).is_some());
        assert!(cache.get(&vec![1], after(10)).is_none());
        assert!(cache.get(&vec![2], start).is_none());
        for never in [0, -1] {
            cache.put(vec![3], &decision(never), start);
            assert!(cache.get(&vec![3], start).is_none());
        }
        cache.put(vec![3], &Decision::default(), start);
        assert!(cache.get(&vec![3], start).is_none());
    }

    #[test]
    fn no_more_answers_are_kept_than_told() {
        let (mut cache, start) = (Cache::new(8), start());
        for n in 0..100 {
            cache.put(vec![n], &decision(10), start);
            assert!(cache.young.len() + cache.old.len() <= 8);
        }
        assert!(cache.get(&vec![99], start).is_some());
        assert!(cache.get(&vec![0], start).is_none());
    }

    fn named(attributes: &[(&str, Kind)]) -> CheckRequest {
        let mut resource = Entity::from(EntityRef::new("Order", "o-1"));
        resource.attributes = members(attributes);
        CheckRequest {
            subject: Some(Subject::AccessToken("t".to_owned())),
            question: Some(Question::Named(NamedQuestion {
                action: "Read".to_owned(),
                resource: Some(resource),
            })),
            ..CheckRequest::default()
        }
    }

    fn members(members: &[(&str, Kind)]) -> BTreeMap<String, Value> {
        let members = members.iter();
        members
            .map(|(name, kind)| {
                let kind = Some(kind.clone());
                ((*name).to_owned(), Value { kind })
            })
            .collect()
    }

    fn strings(texts: &[&str]) -> Kind {
        let values = texts.iter().map(|text| Value {
            kind: Some(Kind::String((*text).to_owned())),
        });
        Kind::Set(ValueSet {
            values: values.collect(),
        })
    }

    #[test]
    fn a_key_is_of_one_question() {
        let one = Kind::Int64(1);
        let many: Vec<_> = ["a", "b", "c", "d", "e"].map(|it| (it, one.clone())).into();
        let backwards: Vec<_> = many.iter().rev().cloned().collect();
        assert_eq!(key(&named(&many)), key(&named(&backwards)));
        let renamed = CheckRequest {
            request_id: "r".to_owned(),
            ..named(&[])
        };
        assert_eq!(key(&renamed), key(&named(&[])));

        let http = |host: &str, path: &str| CheckRequest {
            question: Some(Question::Http(HttpQuestion {
                host: host.to_owned(),
                path: path.to_owned(),
                ..HttpQuestion::default()
            })),
            ..named(&[])
        };
        let other_token = CheckRequest {
            subject: Some(Subject::AccessToken("u".to_owned())),
            ..named(&[])
        };
        let inner = Kind::Record(ValueRecord {
            members: members(&[("b", one.clone())]),
        });
        let different = [
            named(&[]),
            other_token,
            named(&[("a", one.clone())]),
            named(&[("a", Kind::String("1".to_owned()))]),
            named(&[("a", strings(&["a,b"]))]),
            named(&[("a", strings(&["a", "b"]))]),
            named(&[("a", one.clone()), ("b", one.clone())]),
            named(&[("a", inner)]),
            http("ab", "c"),
            http("a", "bc"),
        ];
        let keys: std::collections::HashSet<_> = different.iter().map(key).collect();
        assert_eq!(keys.len(), different.len());
    }
}

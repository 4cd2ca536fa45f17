//! From what operators ask to records of the ledger, and back.

use serde_json::{json, value::RawValue};

use crate::{
    bundle::Snapshot,
    client::to_members,
    ledger::record::{Change, Expect, Put},
    model::{EntityFacts, Refusal},
    pep::grpc::{read_entity, read_uid},
    pip::{facts_of, live_parents, stamp, storable, storable_key},
    proto::v1::{self as wire, entity_change, expectation},
    store::{Directory, Stored},
};

/// A change of one entity, checked against the rules of now.
pub(super) fn read_change(
    snapshot: &Snapshot,
    change: wire::EntityChange,
) -> Result<Change, Refusal> {
    let expect = read_expectation(change.expectation)?;
    match change.change {
        Some(entity_change::Change::Put(entity)) => {
            put(snapshot, read_entity(Some(entity), "entity")?, expect)
        }
        Some(entity_change::Change::Delete(uid)) => {
            let uid = read_uid(Some(uid), "uid")?;
            let key = storable_key(snapshot, &uid, "uid")?;
            Ok(Change {
                type_name: key.type_name.to_string(),
                id: key.id.to_string(),
                expect,
                put: None,
            })
        }
        None => Err(Refusal::malformed(
            "change",
            "missing",
            "is required: set `put` or `delete`",
        )),
    }
}

fn put(snapshot: &Snapshot, facts: EntityFacts, expect: Expect) -> Result<Change, Refusal> {
    let storable = storable(snapshot, facts, "entity")?;
    let attributes = storable.json();
    let parents: Vec<_> = storable
        .parents
        .iter()
        .map(|it| json!({ "type": it.type_name.as_str(), "id": it.id.as_str() }))
        .collect();
    let facts = json!({ "attrs": attributes, "parents": parents }).to_string();
    let facts = RawValue::from_string(facts).map_err(|why| Refusal::Unavailable {
        detail: why.to_string(),
    })?;
    Ok(Change {
        put: Some(Put {
            stamp: stamp(snapshot, &storable.key.type_name),
            facts,
        }),
        type_name: storable.key.type_name.to_string(),
        id: storable.key.id.to_string(),
        expect,
    })
}

fn read_expectation(it: Option<wire::Expectation>) -> Result<Expect, Refusal> {
    Ok(match it.and_then(|it| it.kind) {
        None => Expect::Anything,
        Some(expectation::Kind::Absent(true)) => Expect::Absent,
        Some(expectation::Kind::Absent(false)) => Expect::Present,
        Some(expectation::Kind::Version(version)) => match version.parse() {
            Ok(sequence) => Expect::Unchanged(sequence),
            Err(_) => {
                let message = "is no version of a stored entity";
                return Err(Refusal::malformed(
                    "expectation.version",
                    "version",
                    message,
                ));
            }
        },
    })
}

/// A stored entity as a message, with the parents in which it still is.
pub(super) fn to_stored_entity(
    snapshot: &Snapshot,
    directory: &Directory,
    stored: &Stored,
) -> Result<wire::StoredEntity, Refusal> {
    let facts = facts_of(stored)?;
    let unsendable = |why: crate::client::NotSendable| Refusal::Unavailable {
        detail: why.to_string(),
    };
    let parents = live_parents(snapshot, directory, stored);
    let entity = wire::Entity {
        uid: Some(stored.key().entity().into()),
        attributes: to_members(facts.attributes).map_err(unsendable)?,
        parents: parents.map(|parent| parent.entity().into()).collect(),
    };
    Ok(wire::StoredEntity {
        entity: Some(entity),
        version: stored.changed().to_string(),
    })
}

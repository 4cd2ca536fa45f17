//! A version as records of a snapshot, from which it can be made again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    apply::Uid,
    stored::{KeyRef, Stored, Unstored},
    version::Version,
};
use crate::ledger::{
    Chain, Epoch,
    record::{Restored, Revocation},
};

/// Entities in one record.
const CHUNK: usize = 1_000;

/// A part of a version.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Epochs(Vec<(u64, u64)>),
    Restored(Restored),
    Revocations(Vec<Revocation>),
    Entities { bundle: String, entities: Vec<Item> },
}

#[derive(Serialize, Deserialize)]
struct Item {
    #[serde(flatten)]
    uid: Uid,
    changed: u64,
    born: u64,
    stamp: u64,
    attrs: String,
    parents: Vec<Uid>,
}

/// Gives every part of `version` to `each`.
pub(super) fn write<E>(
    version: &Version,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut put = |part: &Part| match serde_json::to_vec(part) {
        Ok(bytes) => each(&bytes),
        // Its parts are strings and numbers, which JSON has.
        Err(_) => Ok(()),
    };
    let epochs = version.epochs.iter().map(|it| (it.id, it.from));
    put(&Part::Epochs(epochs.collect()))?;
    if let Some(restored) = &version.revocations.restored {
        put(&Part::Restored(restored.clone()))?;
    }
    let revocations: Vec<_> = version.revocations.iter().cloned().collect();
    for chunk in revocations.chunks(CHUNK) {
        put(&Part::Revocations(chunk.to_vec()))?;
    }
    for (bundle, directory) in version.directories.iter() {
        let mut all = directory.in_order();
        loop {
            let chunk: Vec<Item> = all.by_ref().take(CHUNK).map(item).collect();
            if chunk.is_empty() {
                break;
            }
            put(&Part::Entities {
                bundle: bundle.to_string(),
                entities: chunk,
            })?;
        }
    }
    Ok(())
}

/// Takes a part into `version`, which is at `chain`.
pub(super) fn read(version: &mut Version, chain: Chain, bytes: &[u8]) -> Result<(), String> {
    let part = serde_json::from_slice(bytes)
        .map_err(|why| format!("a part of a snapshot of no known kind: {why}"))?;
    version.chain = chain;
    match part {
        Part::Epochs(epochs) => {
            let epochs = epochs.into_iter().map(|(id, from)| Epoch { id, from });
            version.epochs = epochs.collect();
        }
        Part::Restored(restored) => version.revocations.restored = Some(restored),
        Part::Revocations(all) => {
            for revocation in all {
                version.revocations.add(revocation);
            }
        }
        Part::Entities { bundle, entities } => {
            let held = version.directories.get(bundle.as_str());
            let mut directory = held.map(Arc::clone).unwrap_or_default();
            // Alone, so that it is changed in place.
            version.directories.remove_mut(bundle.as_str());
            let changed = Arc::make_mut(&mut directory);
            for item in entities {
                changed.put(stored(&item)?);
            }
            version.directories.insert_mut(bundle.into(), directory);
        }
    }
    Ok(())
}

fn item(stored: &Stored) -> Item {
    let uid = |key: KeyRef<'_>| Uid {
        type_name: key.type_name.into(),
        id: key.id.into(),
    };
    Item {
        uid: uid(stored.key()),
        changed: stored.changed(),
        born: stored.born(),
        stamp: stored.stamp(),
        attrs: stored.attributes().text().to_owned(),
        parents: stored.parents().map(uid).collect(),
    }
}

fn stored(item: &Item) -> Result<Stored, String> {
    let of = Unstored {
        key: item.uid.key(),
        attributes: &item.attrs,
        changed: item.changed,
        born: item.born,
        stamp: item.stamp,
    };
    let stored = Stored::new(of, item.parents.iter().map(Uid::key));
    stored.map_err(|why| why.to_string())
}

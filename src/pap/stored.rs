//! Whether what is stored still fits new rules.

use std::collections::HashMap;

use crate::{
    bundle::Snapshot,
    pip::{facts_of, stamp, storable},
    policy::Fault,
    store::Version,
};

/// How many entities are told of.
const TOLD: usize = 10;

/// Checks the directory of a bundle against new rules: every entity of a type that has changed.
///
/// # Errors
/// The first entities that do not fit.
pub fn check_stored(
    snapshot: &Snapshot,
    bundle: &str,
    version: &Version,
) -> Result<(), Vec<Fault>> {
    let Some(directory) = version.directory(bundle) else {
        return Ok(());
    };
    let mut stamps: HashMap<&str, u64> = HashMap::new();
    let mut faults = Vec::new();
    let mut count = 0_usize;
    for stored in directory.iter() {
        let type_name = stored.key().type_name;
        let now = *stamps
            .entry(type_name)
            .or_insert_with(|| stamp(snapshot, type_name));
        if now == stored.stamp() {
            continue;
        }
        let fits = facts_of(stored).and_then(|facts| storable(snapshot, facts, "entity"));
        if let Err(why) = fits {
            count += 1;
            if faults.len() < TOLD {
                let message = format!(
                    "stored entity `{}` does not fit: {why}",
                    stored.key().entity()
                );
                faults.push(Fault::general("stored_entity", message));
            }
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let message = format!("{count} stored entities do not fit these rules");
    let help = "change them with `doorward directory`, or let the rules allow both forms first";
    faults.insert(0, Fault::general("stored_entities", message).help(help));
    Err(faults)
}

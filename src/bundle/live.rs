//! The snapshots being served.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwapOption;

use super::Snapshot;
use crate::model::BundleName;

/// The snapshot that a bundle name stands for now; empty until the first is published.
#[derive(Debug, Default)]
pub struct Live(ArcSwapOption<Snapshot>);

impl Live {
    /// The snapshot of this moment, for one request to hold on to.
    pub fn pin(&self) -> Option<Arc<Snapshot>> {
        self.0.load_full()
    }

    /// Serves `snapshot` from the next request on.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.0.store(Some(snapshot));
    }
}

/// Every bundle that the server has, by name; the names are fixed when it starts.
#[derive(Clone, Debug, Default)]
pub struct LiveBundles(Arc<BTreeMap<BundleName, Live>>);

impl LiveBundles {
    /// Places for these bundles, none published yet.
    pub fn new(names: impl IntoIterator<Item = BundleName>) -> Self {
        Self(Arc::new(
            names
                .into_iter()
                .map(|name| (name, Live::default()))
                .collect(),
        ))
    }

    /// A bundle by name.
    pub fn get(&self, name: &str) -> Option<(&BundleName, &Live)> {
        self.0.get_key_value(name)
    }

    /// Every bundle.
    pub fn iter(&self) -> impl Iterator<Item = (&BundleName, &Live)> {
        self.0.iter()
    }
}

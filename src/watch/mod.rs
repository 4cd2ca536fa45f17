//! Files → "the content changed".
//!
//! The operating system's events are a hint, since they get lost (overflow, network file systems,
//! limits); looking at the content is the truth, so every so often it is looked at without a hint.
//!
//! **Invariant:** what is handed on was the same in two looks, of the very same files, a while apart;
//! so it is no half of something that was being written.

mod events;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::model::Digest;
use events::Events;

/// The least time that a set of files must stay as it is after it lost a file: a copy that stops
/// halfway must not pass for a deletion.
const LOST: Duration = Duration::from_secs(5);

/// How a directory is watched.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// How often it is looked at without a hint.
    pub poll: Duration,
    /// How long it must stay as it is before it counts.
    pub settle: Duration,
    /// The same after a file was lost; five seconds at most, and less only where nothing is served.
    pub lost: Duration,
    /// Whether the operating system is asked for events at all.
    pub events: bool,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(30),
            settle: Duration::from_millis(200),
            lost: LOST,
            events: true,
        }
    }
}

/// What was seen of a directory in one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Names the content.
    pub content: Digest,
    /// Names the very files, as they were then.
    pub stamp: Digest,
    /// The files that are there with something in them.
    pub present: BTreeSet<Arc<str>>,
}

impl Seen {
    /// Whether a file that `before` had is not there any more, or is empty now.
    pub fn lost_since(&self, before: &BTreeSet<Arc<str>>) -> bool {
        !before.is_subset(&self.present)
    }
}

/// Why only looking tells of changes; `None` while events do.
#[derive(Clone, Debug, Default)]
pub struct WatchState(Arc<Mutex<Option<String>>>);

impl WatchState {
    /// The reason, if there are no events.
    pub fn poll_only(&self) -> Option<String> {
        // Held for a copy or an assignment, so a panic cannot leave it half done.
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

/// Waits for a directory to change.
#[derive(Debug)]
pub struct Watcher {
    root: PathBuf,
    options: WatchOptions,
    events: Events,
    state: WatchState,
}

impl Watcher {
    /// Watches `root`, which need not be there yet.
    pub fn new(root: &Path, options: WatchOptions) -> Self {
        let state = WatchState::default();
        Self {
            root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()),
            options: WatchOptions {
                lost: options.lost.clamp(options.settle, LOST.max(options.settle)),
                ..options
            },
            events: Events::new(state.clone()),
            state,
        }
    }

    /// Whether events tell of changes, at any time.
    pub fn state(&self) -> WatchState {
        self.state.clone()
    }

    /// Waits until there is other content than that of `known`, and it has settled. Content that is
    /// there already counts, so nothing is missed between two calls.
    ///
    /// # Errors
    /// When a look panics.
    pub async fn next<T, L>(&mut self, known: &Seen, look: L) -> Result<(Seen, T), String>
    where
        L: Fn() -> (Seen, T) + Clone + Send + 'static,
        T: Send + 'static,
    {
        loop {
            self.arm().await?;
            if let Some(found) = self.settled(known, &look).await? {
                return Ok(found);
            }
            // Either way it is looked at again.
            let _hinted = timeout(self.options.poll, self.events.hint()).await;
        }
    }

    /// Looks until two looks agree; `None` when they agree on what is known.
    async fn settled<T, L>(&mut self, known: &Seen, look: &L) -> Result<Option<(Seen, T)>, String>
    where
        L: Fn() -> (Seen, T) + Clone + Send + 'static,
        T: Send + 'static,
    {
        let mut last = blocking(look.clone()).await?;
        let mut calm = Duration::ZERO;
        while last.0.content != known.content {
            let needed = match last.0.lost_since(&known.present) {
                true => self.options.lost,
                false => self.options.settle,
            };
            if calm >= needed {
                return Ok(Some(last));
            }
            let pause = match calm.is_zero() {
                true => self.options.settle,
                false => needed - calm,
            };
            let disturbed = match calm.is_zero() {
                // A burst of events is let pass.
                true => {
                    sleep(pause).await;
                    self.events.forget();
                    false
                }
                false => timeout(pause, self.events.hint()).await.is_ok(),
            };
            let next = blocking(look.clone()).await?;
            calm = match next.0 == last.0 && !disturbed {
                true => calm + pause,
                false => Duration::ZERO,
            };
            last = next;
        }
        Ok(None)
    }

    /// Asks for events anew: a directory that was replaced takes its watch along.
    async fn arm(&mut self) -> Result<(), String> {
        if !self.options.events {
            self.state.set(Some("events are turned off".into()));
            return Ok(());
        }
        let (root, mut events) = (self.root.clone(), std::mem::take(&mut self.events));
        self.events = blocking(move || {
            events.arm(&root);
            events
        })
        .await?;
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    spawn_blocking(work)
        .await
        .map_err(|_| "looking at the files failed".to_owned())
}

#[cfg(test)]
mod tests;

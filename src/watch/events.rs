//! The operating system's events, as hints.

use std::{fmt, io, path::Path};

use notify::{
    Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::WatchState;

/// Hints that something may have changed.
pub(super) struct Events {
    /// One place is enough: a hint says that it is time to look, not at what.
    sender: Sender<()>,
    hints: Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    state: WatchState,
}

impl Events {
    /// None yet.
    pub(super) fn new(state: WatchState) -> Self {
        let (sender, hints) = channel(1);
        Self {
            sender,
            hints,
            watcher: None,
            state,
        }
    }

    /// Asks for events of `root` and of its name in the directory above, in place of those asked for
    /// before.
    pub(super) fn arm(&mut self, root: &Path) {
        self.watcher = None;
        let armed = self.watch(root);
        let reason = armed.as_ref().err().map(reason);
        self.watcher = armed.ok();
        self.state.set(reason);
    }

    fn watch(&self, root: &Path) -> notify::Result<RecommendedWatcher> {
        let real = root.canonicalize().ok();
        let (named, inside) = (root.to_owned(), real.clone());
        let (sender, state) = (self.sender.clone(), self.state.clone());
        // Called on a thread that must not fall behind: it tells that there is something, no more.
        let handler = move |event: notify::Result<Event>| {
            let matters = match &event {
                Ok(event) => is_change(event, &named, inside.as_deref()),
                Err(error) => {
                    state.set(Some(reason(error)));
                    true
                }
            };
            if matters {
                // A full channel holds a hint already.
                let _told = sender.try_send(());
            }
        };
        // Links lead nowhere but into the directory; following one that leads out of it could put a
        // watch on every directory of the machine.
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(handler, config)?;
        let above = match root.parent() {
            Some(above) => watcher.watch(above, RecursiveMode::NonRecursive),
            None => Ok(()),
        };
        match real.filter(|real| real.is_dir()) {
            Some(real) => watcher.watch(&real, RecursiveMode::Recursive)?,
            // Its appearance is an event of the directory above.
            None => above?,
        }
        Ok(watcher)
    }

    /// Waits for a hint.
    pub(super) async fn hint(&mut self) {
        // It never ends: one sender is here.
        let _hinted = self.hints.recv().await;
    }

    /// Forgets the hints so far.
    pub(super) fn forget(&mut self) {
        while self.hints.try_recv().is_ok() {}
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new(WatchState::default())
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// Whether an event may mean other content; reading the files is an event too.
fn is_change(event: &Event, named: &Path, inside: Option<&Path>) -> bool {
    let may_change = match event.kind {
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
        // The queue overflowed: anything may have happened.
        EventKind::Other => event.need_rescan(),
    };
    let ours =
        |path: &std::path::PathBuf| path == named || inside.is_some_and(|it| path.starts_with(it));
    may_change && (event.paths.is_empty() || event.paths.iter().any(ours))
}

fn reason(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the limit of inotify watches is reached; raise `fs.inotify.max_user_watches`".into()
        }
        ErrorKind::Io(why) if why.kind() == io::ErrorKind::QuotaExceeded || is_limit(why) => {
            "the limit of inotify instances is reached; raise `fs.inotify.max_user_instances`"
                .into()
        }
        _ => error.to_string(),
    }
}

/// `EMFILE` and `ENFILE`: what `inotify_init` says when there may be no more.
fn is_limit(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, Flag, ModifyKind, RenameMode};

    use super::*;

    #[track_caller]
    fn check(event: Event, expected: bool) {
        let (named, inside) = (Path::new("/etc/rules"), Path::new("/srv/7"));
        let found = is_change(&event, named, Some(inside));
        assert_eq!(found, expected, "{event:?}");
    }

    #[test]
    fn only_what_may_change_the_content_is_a_hint() {
        let write = EventKind::Modify(ModifyKind::Any);
        let rename = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        check(Event::new(write).add_path("/srv/7/a.cedar".into()), true);
        check(Event::new(rename).add_path("/srv/7/..data".into()), true);
        check(Event::new(rename).add_path("/etc/rules".into()), true);
        check(Event::new(write).add_path("/etc/other.log".into()), false);
        let read = EventKind::Access(AccessKind::Any);
        check(Event::new(read).add_path("/srv/7/a.cedar".into()), false);
    }

    #[test]
    fn an_overflow_of_the_queue_is_a_hint() {
        check(Event::new(EventKind::Other).set_flag(Flag::Rescan), true);
        check(Event::new(EventKind::Other), false);
    }

    #[test]
    fn limits_are_told_with_what_raises_them() {
        let watches = notify::Error::new(ErrorKind::MaxFilesWatch);
        assert!(reason(&watches).contains("max_user_watches"));
        let instances = notify::Error::io(io::Error::from_raw_os_error(24));
        assert!(reason(&instances).contains("max_user_instances"));
    }
}

//! Keeps what is served as the bundles' directories are.
//!
//! Off the threads that decide, one build at a time; changes that come during a build are one change
//! after it. What is refused changes nothing.

mod build;
mod status;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use tokio::{sync::Semaphore, time::sleep};

use super::{clock, example};
use crate::{
    bundle::{BundleFiles, BundleLimits, CompileOptions, LiveBundles, Snapshot},
    metrics::Metrics,
    model::{BundleName, Digest},
    pap::{self, Archive, Publication},
    policy::Fault,
    store::Store,
    watch::{Seen, WatchOptions, Watcher},
};
pub(super) use build::build;
pub(super) use status::Status;

/// How many faults of one bundle are logged.
const LOGGED_FAULTS: usize = 20;
/// How many looks at a directory that keeps changing a start waits for.
const START_LOOKS: usize = 10;

/// What one bundle's keeper works with.
pub(super) struct Keeping {
    pub(super) name: BundleName,
    /// `None` is the example within the program.
    pub(super) path: Option<PathBuf>,
    pub(super) live: LiveBundles,
    pub(super) archive: Archive,
    pub(super) options: CompileOptions,
    pub(super) limits: BundleLimits,
    pub(super) watch: WatchOptions,
    pub(super) gate_budget: std::time::Duration,
    pub(super) metrics: Arc<Metrics>,
    /// What is stored, which new rules must fit.
    pub(super) store: Arc<Store>,
    /// Held by whoever builds.
    pub(super) turn: Arc<Semaphore>,
}

/// Keeps one bundle as its directory is.
pub(super) struct Keeper {
    with: Keeping,
    status: Arc<Status>,
    watcher: Option<Watcher>,
    known: Seen,
}

type Files = Result<BundleFiles, Vec<Fault>>;

impl Keeper {
    /// Serves the directory's rules if they are valid, else the last published, else none.
    pub(super) async fn start(with: Keeping) -> Self {
        let path = with.path.as_deref();
        let watcher = path.map(|path| Watcher::new(path, with.watch));
        let state = watcher.as_ref().map(Watcher::state).unwrap_or_default();
        let mut keeper = Self {
            status: Arc::new(Status::new(with.name.clone(), state)),
            watcher,
            // No directory has this content, so any is news.
            known: Seen {
                content: Digest::new([0; 32]),
                stamp: Digest::new([0; 32]),
                present: BTreeSet::new(),
            },
            with,
        };
        match keeper.first_look().await {
            Some((seen, files)) => {
                let before = keeper.last_present().await;
                if seen.lost_since(&before) {
                    keeper.known.present = before;
                    keeper.restore("files are gone since then").await;
                } else {
                    keeper.known = seen;
                    keeper.apply(files).await;
                }
            }
            None => keeper.restore("the directory keeps changing").await,
        }
        if !keeper.serves() {
            keeper.restore("the directory is not valid").await;
        }
        if !keeper.serves() {
            tracing::error!(
                bundle = %keeper.with.name,
                "nothing to serve: every answer is `unavailable` until the directory is valid"
            );
        }
        keeper
    }

    /// What is not as it should be.
    pub(super) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Publishes what comes, until `stop` resolves.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let work = async {
            let Some(mut watcher) = self.watcher.take() else {
                return std::future::pending().await;
            };
            loop {
                let look = self.look();
                match watcher.next(&self.known, look).await {
                    Ok((seen, files)) => {
                        self.known = seen;
                        self.apply(files).await;
                    }
                    Err(why) => {
                        self.refuse(vec![Fault::general("unreadable", why)]);
                        sleep(self.with.watch.poll).await;
                    }
                }
            }
        };
        tokio::select! {
            never = work => never,
            () = stop => Ok(()),
        }
    }

    fn look(&self) -> impl Fn() -> (Seen, Files) + Clone + Send + 'static {
        let (path, limits) = (self.with.path.clone(), self.with.limits);
        move || match &path {
            Some(path) => {
                let sighting = BundleFiles::look(path, limits);
                let seen = Seen {
                    content: sighting.content,
                    stamp: sighting.stamp,
                    present: sighting.present,
                };
                (seen, sighting.files)
            }
            None => {
                let files = example::files();
                let seen = Seen {
                    content: files.content(),
                    stamp: files.content(),
                    present: files.present(),
                };
                (seen, Ok(files))
            }
        }
    }

    /// What two looks agree on; `None` when they do not in time.
    async fn first_look(&self) -> Option<(Seen, Files)> {
        let mut last: Option<(Seen, Files)> = None;
        for _ in 0..START_LOOKS {
            let next = build(self.look()).await.ok()?;
            if self.with.path.is_none() || last.is_some_and(|(seen, _)| seen == next.0) {
                return Some(next);
            }
            last = Some(next);
            sleep(self.with.watch.settle).await;
        }
        None
    }

    fn serves(&self) -> bool {
        let found = self.with.live.get(self.with.name.as_str());
        found.is_some_and(|(_, live)| live.pin().is_some())
    }

    /// The files that the last published rules had. Cases are none: fewer of them decide nothing.
    async fn last_present(&self) -> BTreeSet<Arc<str>> {
        let archive = self.with.archive.clone();
        let last = build(move || archive.published().ok()?.next()).await;
        let mut present = last
            .ok()
            .flatten()
            .map_or_else(BTreeSet::new, |kept| kept.files.present());
        present.retain(|path| !path.starts_with("tests/"));
        present
    }

    /// Serves the last published rules that still compile. They passed their cases when they were
    /// published.
    async fn restore(&self, reason: &'static str) {
        let (archive, live) = (self.with.archive.clone(), self.with.live.clone());
        let (name, options) = (self.with.name.clone(), self.with.options.clone());
        let restored = build(move || {
            let (_, live) = live.get(name.as_str())?;
            archive
                .published()
                .map_err(|why| tracing::error!(bundle = %name, %why, "cannot read the archive"))
                .ok()?
                .find_map(|kept| {
                    let snapshot = Snapshot::compile(&kept.files, &options).ok()?;
                    let checked = pap::Checked { snapshot, cases: 0 };
                    Some((pap::serve(live, checked), kept.time))
                })
        });
        if let Ok(Some((publication, time))) = restored.await {
            tracing::warn!(
                bundle = %self.with.name,
                digest = %publication.digest,
                policies = publication.policies,
                published = %time,
                reason,
                "serving the last published bundle"
            );
            self.status.restored(format!(
                "serving {} of {time}, the last published, since {reason}",
                publication.digest.short()
            ));
            self.count("restored");
        }
    }

    /// Publishes files, or tells why not.
    async fn apply(&self, files: Files) {
        let files = match files {
            Ok(files) => files,
            Err(faults) => return self.refuse(faults),
        };
        let Ok(_turn) = self.with.turn.acquire().await else {
            return;
        };
        let (archive, live) = (self.with.archive.clone(), self.with.live.clone());
        let (name, options) = (self.with.name.clone(), self.with.options.clone());
        let budget = self.with.gate_budget;
        let store = Arc::clone(&self.with.store);
        let built = build(move || {
            let checked = pap::check_files(&files, &options, &clock::expires_after(budget))?;
            pap::check_stored(&checked.snapshot, name.as_str(), &store.pin())?;
            let unknown = || vec![Fault::general("bundle", "has no place here")];
            let (_, live) = live.get(name.as_str()).ok_or_else(unknown)?;
            let publication = pap::serve(live, checked);
            let kept = archive.keep(&files, &publication, clock::now());
            Ok((publication, kept))
        });
        match built.await {
            Ok(Ok((publication, kept))) => self.published(&publication, kept),
            Ok(Err(faults)) => self.refuse(faults),
            Err(why) => self.refuse(vec![Fault::general("build", why)]),
        }
    }

    fn published(&self, publication: &Publication, kept: std::io::Result<()>) {
        tracing::info!(
            bundle = %self.with.name,
            digest = %publication.digest,
            policies = publication.policies,
            cases = publication.cases,
            change = %publication.change,
            "bundle published"
        );
        for fault in &publication.broad {
            tracing::warn!(bundle = %self.with.name, "{fault}");
        }
        if let Err(why) = &kept {
            tracing::error!(
                bundle = %self.with.name,
                %why,
                "cannot keep the bundle: a restart with broken files would serve an older one"
            );
        }
        self.status.published(kept.err().map(|why| why.to_string()));
        self.count("published");
    }

    fn refuse(&self, faults: Vec<Fault>) {
        let found = self.with.live.get(self.with.name.as_str());
        let serving = found
            .and_then(|(_, live)| live.pin())
            .map_or_else(|| "nothing".to_owned(), |it| it.digest.to_string());
        tracing::error!(
            bundle = %self.with.name,
            faults = faults.len(),
            serving,
            "bundle refused"
        );
        for fault in faults.iter().take(LOGGED_FAULTS) {
            tracing::error!(
                bundle = %self.with.name,
                rule = fault.rule,
                place = fault.place.as_ref().map(tracing::field::display),
                help = fault.help.as_deref(),
                "{}",
                fault.message
            );
        }
        self.status.refused(faults);
        self.count("refused");
    }

    fn count(&self, result: &'static str) {
        self.with.metrics.reload(self.with.name.as_str(), result);
    }
}

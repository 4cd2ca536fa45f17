//! Runs the cases again whenever a file of the bundle changes.

use std::{collections::BTreeSet, time::Duration};

use super::{Args, Exit, Failure, Loaded, Style, once, output};
use crate::{
    bundle::{BundleFiles, BundleLimits},
    model::Digest,
    server,
    watch::{Seen, WatchOptions, Watcher},
};

/// Nothing is published from here, so half a set of files costs a wrong line on the screen at most.
const OPTIONS: WatchOptions = WatchOptions {
    poll: Duration::from_secs(2),
    settle: Duration::from_millis(50),
    lost: Duration::from_millis(500),
    events: true,
};

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    // A directory that is not there is bad usage, not something to wait for.
    drop(Loaded::read(&args.directory)?);
    let ended = server::block_on(async move {
        let stop = server::asked_to_end()?;
        tokio::select! {
            ended = keep_running(&args) => Ok(ended),
            () = stop => Ok(Ok(Exit::Ok)),
        }
    });
    ended.map_err(Failure::failed)?
}

async fn keep_running(args: &Args) -> Result<Exit, Failure> {
    let mut watcher = Watcher::new(&args.directory, OPTIONS);
    let directory = args.directory.clone();
    let look = move || {
        let sighting = BundleFiles::look(&directory, BundleLimits::default());
        let seen = Seen {
            content: sighting.content,
            stamp: sighting.stamp,
            present: sighting.present,
        };
        (seen, ())
    };
    let mut known = Seen {
        content: Digest::new([0; 32]),
        stamp: Digest::new([0; 32]),
        present: BTreeSet::new(),
    };
    loop {
        let (seen, ()) = watcher
            .next(&known, look.clone())
            .await
            .map_err(Failure::failed)?;
        known = seen;
        round(args)?;
    }
}

fn round(args: &Args) -> Result<(), Failure> {
    let style = Style::of_stdout();
    if let Err(why) = Loaded::read(&args.directory).and_then(|it| once(args, &it, style)) {
        // What is wrong now may be right after the next change.
        output::print(&format!("{}  {}\n", style.bad("failed"), why.message))?;
    }
    output::print(&style.dim("waiting for a change; interrupt to end\n"))
}

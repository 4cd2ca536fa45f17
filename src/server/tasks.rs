//! Named tasks, each of which the process needs.

use std::{collections::HashMap, time::Duration};

use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument as _;

use super::ServerError;

/// The tasks of the server. All of them are critical: the end of one is the end of the process.
#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Starts `work` under a name.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let span = tracing::info_span!("task", name);
        let handle = self.running.spawn(work.instrument(span));
        self.names.insert(handle.id(), name);
    }

    /// Waits until some task ends, though none should.
    pub(super) async fn first_death(&mut self) -> ServerError {
        match self.next().await {
            Some((name, Ok(()))) => ServerError::task(name, "it ended"),
            Some((name, Err(why))) => ServerError::task(name, why),
            None => ServerError::task("every task", "none is left"),
        }
    }

    /// Waits for the end of the tasks `names`, all of which were asked to end; after `deadline` they
    /// are cut off.
    pub(super) async fn finish(
        &mut self,
        names: &[&'static str],
        deadline: Duration,
    ) -> Result<(), ServerError> {
        let ended = async {
            while self.names.values().any(|running| names.contains(running)) {
                match self.next().await {
                    Some((_, Ok(()))) => {}
                    Some((other, Err(why))) => return Err(ServerError::task(other, why)),
                    None => break,
                }
            }
            Ok(())
        };
        match tokio::time::timeout(deadline, ended).await {
            Ok(ended) => ended,
            Err(_) => {
                let late = self
                    .names
                    .values()
                    .filter(|running| names.contains(running));
                let late: Vec<_> = late.collect();
                tracing::warn!(tasks = ?late, ?deadline, "did not end in time and are cut off");
                Ok(())
            }
        }
    }

    async fn next(&mut self) -> Option<(&'static str, Result<(), String>)> {
        let ended = self.running.join_next_with_id().await?;
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(why) => why.id(),
        };
        let name = self.names.remove(&id).unwrap_or("unnamed");
        let end = match ended {
            Ok((_, end)) => end,
            Err(why) => Err(died(&why)),
        };
        Some((name, end))
    }
}

fn died(why: &JoinError) -> String {
    match why.is_panic() {
        true => "it panicked".to_owned(),
        false => "it was cancelled".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(death: &ServerError, says: &[&str]) {
        let text = death.to_string();
        assert!(says.iter().all(|it| text.contains(it)), "{text}");
    }

    #[tokio::test]
    async fn a_dead_task_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("steady", std::future::pending());
        tasks.spawn("brittle", async { Err("disk gone".to_owned()) });
        check(&tasks.first_death().await, &["brittle", "disk gone"]);
        tasks.spawn("nervous", async { panic!("boom") });
        check(&tasks.first_death().await, &["nervous", "panicked"]);
        tasks.spawn("short", async { Ok(()) });
        check(&tasks.first_death().await, &["short", "ended"]);
    }

    const SHORT: Duration = Duration::from_millis(1);
    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn finishing_waits_for_the_named_task_and_no_longer_than_the_deadline() {
        let mut tasks = Tasks::default();
        tasks.spawn("a", async { Ok(()) });
        tasks.spawn("b", std::future::pending());
        assert!(tasks.finish(&["a"], MINUTE).await.is_ok());
        assert!(tasks.finish(&["b"], SHORT).await.is_ok());
        tasks.spawn("c", std::future::pending());
        assert!(tasks.finish(&["b", "c"], SHORT).await.is_ok());
        assert!(tasks.finish(&["d"], MINUTE).await.is_ok());
    }
}

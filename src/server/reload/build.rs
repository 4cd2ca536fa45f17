//! A thread for work that takes long and recurses deeply.

use std::thread;

use tokio::sync::oneshot;

/// Compiling and cases have the room that deciding has, and more.
const STACK: usize = 64 * 1024 * 1024;

/// Does `work` on a thread of its own, so that no request waits behind it.
///
/// # Errors
/// When there is no thread, or the work panics: what it would have changed is as it was.
pub(in crate::server) async fn build<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (done, result) = oneshot::channel();
    thread::Builder::new()
        .name("doorward-build".into())
        .stack_size(STACK)
        .spawn(move || {
            // Nobody waits any more when the server ends.
            let _unheard = done.send(work());
        })
        .map_err(|why| format!("no thread to build on: {why}"))?;
    result
        .await
        .map_err(|_| "the build failed unexpectedly; its log line has the place".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_ends_nothing_else() {
        assert_eq!(build(|| 7).await, Ok(7));
        assert!(build(|| panic!("boom")).await.is_err());
    }
}

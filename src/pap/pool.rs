//! Threads for the tools of authors, which have many small things to do and nothing else.

/// Evaluation recurses as deep as the deepest policy.
const STACK: usize = 64 * 1024 * 1024;

/// Does `work` where its parallel parts have threads with room, and waits for it.
pub(super) fn pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().stack_size(STACK).build() {
        Ok(pool) => pool.install(work),
        // Without threads of its own it runs on the common ones, whose stacks suffice as well.
        Err(_) => work(),
    }
}

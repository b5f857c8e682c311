//! Detached work: a task that a dropped request does not cancel.

use std::future::Future;

use tracing::Instrument as _;

/// Runs a future on a task of its own and waits for it. If the caller is dropped, the task continues.
///
/// A write commits first and invalidates caches afterwards; a client that disconnects between the two
/// must not prevent the invalidation. The task keeps the caller's span, so its log lines carry the
/// request's fields.
pub(crate) async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match tokio::spawn(work.in_current_span()).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down and drops every task, including the one that waits here.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

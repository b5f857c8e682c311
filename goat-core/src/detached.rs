//! Work that must be carried to its end, also when whoever asked for it hangs up.

use std::future::Future;

use tracing::Instrument as _;

/// Runs a future on a task of its own and waits for it. If the caller is dropped, the work goes on.
///
/// A write commits first and tells caches and other nodes after; a client that hangs up between
/// the two must not leave them uninformed. The work stays in the caller's span, so that its log lines
/// carry the request's fields.
pub(crate) async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    // In the caller's span, so that what is logged on the way names the same request.
    match tokio::spawn(work.in_current_span()).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down and drops every task, this one's waiter included.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

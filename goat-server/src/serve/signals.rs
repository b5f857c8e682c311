//! What the operating system asks: the first signal drains, the second ends the wait.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Lifecycle;

/// Listens for SIGTERM and SIGINT from now on: the first starts draining, and the future resolves at
/// the second, when the process should exit at once, whatever is still in flight.
///
/// The signals are caught from the call, not from the first poll, so that none is lost in between.
///
/// # Errors
///
/// If the handlers cannot be installed.
pub fn drain_on_signals(lifecycle: Lifecycle) -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = next(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "draining: shutdown signal received");
        lifecycle.drain();
        let name = next(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "exiting: second shutdown signal received");
    })
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

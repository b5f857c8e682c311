//! Signal handling: the first signal starts a graceful shutdown, the second ends it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Lifecycle;

/// SIGXFSZ.
const FILE_TOO_LARGE: i32 = 25;

/// Handles SIGTERM and SIGINT: the first starts draining, and the future resolves at the second,
/// when the process should exit at once, with requests still in flight.
///
/// The handlers are installed by the call, not by the first poll, so that no signal is lost in
/// between.
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

/// Handles SIGXFSZ, which would end the process: a write that would exceed the limit of a file's size
/// fails instead, as on a full disk.
///
/// # Errors
///
/// If the handler cannot be installed.
pub(crate) fn fail_writes_over_the_file_limit() -> io::Result<()> {
    signal(SignalKind::from_raw(FILE_TOO_LARGE)).map(drop)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

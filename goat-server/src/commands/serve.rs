//! `goat-server serve`: starts the server, serves, and shuts down.
//!
//! The order of a start: first the signal handlers, so that a start that hangs can be stopped; then
//! the listeners, so that a second server on the same address fails before it changes anything;
//! then stores, keys and the first administrator. Only then is the server ready.

mod banner;
mod key_mismatch;
mod observer;

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use goat_core::Goat;
use goat_core::event::Observer;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::api::Api;
use crate::failure::Failure;
use crate::observe::logging::{LineKind, LineQueue};
use crate::observe::metrics::Metrics;
use crate::observe::{ServerObserver, logging};
use crate::serve::{
    Lifecycle, ServeSettings, Served, drain_on_signals, raise_open_files_limit, serve,
};
use crate::start::settings::{HttpSettings, Settings, Warning, show_duration};
use crate::start::{
    self, AdminPasswordFile, Administrator, COMPARE_INTERVAL, DataDir, DatabaseLock, SecretFile,
    Started, ensure_administrator,
};

use super::console::Console;
use key_mismatch::KeyMismatchWatch;
use observer::ServeObserver;

/// The time before the second try to reach the stores; it doubles with each try.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

/// The longest time between two tries.
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// Timeout for closing the database; committed data is safe anyway.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Timeout for writing the last lines of the log.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// The same after a second signal.
const BRIEF_FLUSH_WITHIN: Duration = Duration::from_millis(500);

pub(super) async fn run(
    settings: &Settings,
    warnings: &[Warning],
    console: &Console,
) -> Result<(), Failure> {
    let log = logging::init(&settings.log)
        .map_err(|error| Failure::new(format!("failed to initialize logging ({error})")))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    check_open_files(settings);
    let lifecycle = Lifecycle::new();
    let second_signal = drain_on_signals(lifecycle.clone())
        .map_err(|error| Failure::new(format!("failed to install signal handlers ({error})")))?;
    let (result, flush_within) = tokio::select! {
        biased;
        result = start_and_serve(settings, console, &log, &lifecycle) => (result, FLUSH_WITHIN),
        () = second_signal => {
            let failure = Failure::new("stopped by a second signal; open requests were aborted");
            (Err(failure), BRIEF_FLUSH_WITHIN)
        }
    };
    log.flush(flush_within);
    result
}

/// Starts the server, serves until it drains, and closes the stores.
async fn start_and_serve(
    settings: &Settings,
    console: &Console,
    log: &LineQueue,
    lifecycle: &Lifecycle,
) -> Result<(), Failure> {
    let server = tokio::select! {
        biased;
        () = lifecycle.draining() => return Ok(()),
        server = Server::start(settings) => server?,
    };
    server.counters.follow_log(log.clone());
    lifecycle.ready();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listening = %server.api.address,
        metrics_listening = server.metrics.as_ref().map(|bound| bound.address.to_string()),
        database = server.started.connectivity.database,
        redis = server.started.connectivity.redis,
        data = %server.started.data.path().display(),
        "ready"
    );
    if console.is_for_people() && io::stdout().is_terminal() {
        // Through the queue: a terminal that is not read must not stop the server.
        log.push(LineKind::Server, server.banner(settings).as_bytes());
        server.print_letters(log);
    }
    server.serve(settings, lifecycle).await
}

/// A bound listener.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    async fn to(variable: &str, wanted: SocketAddr) -> Result<Self, Failure> {
        let bound = async {
            let listener = TcpListener::bind(wanted).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound.await.map_err(|error: io::Error| match error.kind() {
            // The address may be free again soon, for example if a previous server is shutting
            // down.
            io::ErrorKind::AddrInUse => {
                Failure::new(format!("{variable}: the address {wanted} is already in use"))
            }
            _ => Failure::configuration(format!("{variable}: cannot listen on {wanted} ({error})")),
        })
    }
}

/// A started server: its listeners, its goat, and its background tasks.
struct Server {
    api: Bound,
    metrics: Option<Bound>,
    /// Held until the server stops.
    database_lock: DatabaseLock,
    started: Started,
    key_mismatch: KeyMismatchWatch,
    counters: Arc<Metrics>,
    administrator: Administrator,
    password_file: AdminPasswordFile,
}

impl Server {
    async fn start(settings: &Settings) -> Result<Self, Failure> {
        let api = Bound::to("GOAT_LISTEN", settings.http.listen).await?;
        let metrics = match settings.http.metrics_listen {
            Some(address) => Some(Bound::to("GOAT_METRICS_LISTEN", address).await?),
            None => None,
        };
        let database_lock =
            DatabaseLock::acquire(&settings.storage, &DataDir::new(&settings.storage.data_dir))?;
        let counters = Metrics::new();
        let password_file = AdminPasswordFile::new(&DataDir::new(&settings.storage.data_dir));
        let observer = ServeObserver {
            server: ServerObserver::new(Arc::clone(&counters)),
            password_file: password_file.clone(),
        };
        let started = build(settings, Arc::new(observer)).await?;
        for warning in &started.connectivity.warnings {
            tracing::warn!("{warning}");
        }
        if started.storage.is_shared() {
            counters.follow(started.goat.shared_cache_stats().cloned());
        }
        if let Some(mailbag) = &started.mailbag {
            counters.follow_mail(mailbag.queue());
        }
        let administrator = ensure_administrator(
            &started.goat,
            &settings.accounts,
            &settings.passwords,
            &started.data,
        )
        .await?;
        match &administrator {
            Administrator::Existing => {}
            Administrator::Created => tracing::info!("administrator created"),
            Administrator::CreatedWithGeneratedPassword(_) => tracing::info!(
                password_file = %started.data.path_of(SecretFile::AdminPassword).display(),
                "administrator created with a generated password"
            ),
        }
        password_file.find_owner(&started).await?;
        started.check_pepper().await?;
        let mut key_mismatch = KeyMismatchWatch::default();
        key_mismatch.check(&started).await?;
        started.goat.ping().await?;
        Ok(Self {
            api,
            metrics,
            database_lock,
            started,
            key_mismatch,
            counters,
            administrator,
            password_file,
        })
    }

    /// Returns the first output for an operator at a terminal.
    fn banner(&self, settings: &Settings) -> String {
        let metrics = self.metrics.as_ref().map(|bound| bound.address);
        let password_file = self.started.data.path_of(SecretFile::AdminPassword);
        banner::text(&banner::Facts {
            settings,
            api: self.api.address,
            metrics,
            database: &self.started.connectivity.database,
            redis: self.started.connectivity.redis.as_deref(),
            administrator: &self.administrator,
            password_file: password_file.exists().then_some(password_file.as_path()),
        })
    }

    /// Prints the path and the link of each letter that is written into a folder.
    fn print_letters(&self, log: &LineQueue) {
        let Some(mailbag) = &self.started.mailbag else { return };
        let log = log.clone();
        mailbag.print_to(move |lines| {
            log.push(LineKind::Server, lines.as_bytes());
        });
    }

    /// Serves until the lifecycle drains, the last connection is closed and the letters have left.
    async fn serve(self, settings: &Settings, lifecycle: &Lifecycle) -> Result<(), Failure> {
        let mut started = self.started;
        let deliveries = started.mailbag.take().map(|mailbag| mailbag.start(lifecycle));
        let started = started;
        let goat = &started.goat;
        let api = Api::new(goat.clone())
            .http(settings.http.clone())
            .limits(settings.limits.clone())
            .metrics(self.counters)
            .lifecycle(lifecycle.clone());
        let limits = serve_settings(&settings.http);
        let shutdown_within = limits.drain_delay + limits.shutdown_timeout;
        let metrics = self.metrics.map(|bound| {
            let service = api.clone().into_metrics_service();
            serve(bound.listener, service, limits.clone(), lifecycle.clone())
        });
        let metrics = async {
            match metrics {
                Some(metrics) => metrics.await,
                None => Served { cut: 0 },
            }
        };
        let api = serve(self.api.listener, api.into_service(), limits, lifecycle.clone());
        let end = async {
            lifecycle.draining().await;
            Instant::now() + shutdown_within
        };
        let (api, metrics, end, (), (), ()) = tokio::join!(
            api,
            metrics,
            end,
            maintain(goat, lifecycle),
            self.key_mismatch.watch(&started, lifecycle),
            watch_password_file(&self.password_file, &started, lifecycle)
        );
        if let Some(deliveries) = deliveries {
            deliveries.drain(end).await;
        }
        record_key_uses(goat).await;
        if timeout(CLOSE_WITHIN, started.storage.close()).await.is_err() {
            tracing::warn!("database did not close in time; committed data is safe");
        }
        drop(self.database_lock);
        tracing::info!(cut = api.cut + metrics.cut, "stopped");
        Ok(())
    }
}

/// Builds the goat. If the database or Redis is down, tries again for `GOAT_START_TIMEOUT`: after a
/// restart of the machine, nothing orders the starts.
async fn build(settings: &Settings, observer: Arc<dyn Observer>) -> Result<Started, Failure> {
    let mut backoff = FIRST_BACKOFF;
    let end = Instant::now() + settings.storage.start_timeout;
    loop {
        let failure = match start::build(settings, Arc::clone(&observer)).await {
            Err(failure) if failure.is_unavailable() => failure,
            result => return result,
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failure);
        }
        let pause = backoff.min(left);
        for sentence in failure.sentences() {
            tracing::warn!(
                retry_in = show_duration(pause),
                giving_up_in = show_duration(left),
                "{sentence}"
            );
        }
        sleep(pause).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

/// Open files besides the connections: the log, the database, the runtime.
const OTHER_FILES: u64 = 64;

/// Returns how many files the server may have open at once.
fn open_files(settings: &Settings) -> u64 {
    let listeners = 1 + u64::from(settings.http.metrics_listen.is_some());
    // Each connection of SQLite has up to three files.
    let pooled = u64::from(settings.storage.max_connections) * 3;
    settings.http.max_connections as u64 * listeners + pooled + OTHER_FILES
}

/// Raises the limit on open files, and warns if it is still too low (W6).
fn check_open_files(settings: &Settings) {
    let needed = open_files(settings);
    match raise_open_files_limit() {
        Ok(Some(limit)) if limit < needed => tracing::warn!(
            limit,
            needed,
            "the limit on open files is {limit}, and GOAT_MAX_CONNECTIONS and the pooled connections \
             need {needed}; raise the limit (ulimit -n) or lower GOAT_MAX_CONNECTIONS"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "failed to raise the limit on open files"),
    }
}

/// Returns the connection limits.
fn serve_settings(http: &HttpSettings) -> ServeSettings {
    ServeSettings {
        max_connections: http.max_connections,
        max_connections_per_address: http.max_connections_per_address,
        trusted_proxies: http.proxies(),
        header_timeout: http.header_timeout,
        request_timeout: http.request_timeout,
        idle_timeout: http.idle_timeout,
        drain_delay: http.drain_delay,
        shutdown_timeout: http.shutdown_timeout,
    }
}

/// Runs goat's maintenance until the server drains.
async fn maintain(goat: &Goat, lifecycle: &Lifecycle) {
    tokio::select! {
        biased;
        () = lifecycle.draining() => {}
        () = goat.clone().maintain() => {}
    }
}

/// Records the uses of API keys since the last round of maintenance.
async fn record_key_uses(goat: &Goat) {
    match timeout(CLOSE_WITHIN, goat.keys().record_uses()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "failed to record the last use of API keys"),
        Err(_) => tracing::warn!("the last use of API keys was not recorded in time"),
    }
}

/// Removes the file with the generated password after a change by another process, until the server
/// drains.
async fn watch_password_file(file: &AdminPasswordFile, started: &Started, lifecycle: &Lifecycle) {
    let rounds = async {
        loop {
            sleep(COMPARE_INTERVAL).await;
            if let Err(failure) = file.compare(started).await {
                tracing::warn!(%failure, "failed to check the file with the generated password");
            }
        }
    };
    tokio::select! {
        biased;
        () = lifecycle.draining() => {}
        () = rounds => {}
    }
}

#[cfg(test)]
mod tests;

//! Fault-injecting TCP proxy between a client and an engine, which fails at a chosen message.
//!
//! A message is the result of one read from the client's socket: one request, for a client that
//! writes a request at once and waits for the reply. (More than 64 KiB are several messages;
//! pipelined requests may arrive as one.)
//!
//! Invariants: each message is counted and decided under one lock, so a fault applies to every
//! message that arrives after the call; the proxy runs on its own thread and by the system clock,
//! independent of the test's runtime.

mod fault;
mod relay;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use self::fault::{Fault, Rules};

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The message does not reach the server.
    BeforeForwarding,
    /// The server has replied, so the operation took effect; the client does not receive the reply.
    BeforeAnswer,
}

/// A proxy with its own address. When dropped, it cuts its connections.
///
/// ```no_run
/// use goat_engines::{Cut, Proxy, Redis};
///
/// let proxy = Proxy::start(Redis::shared().address());
/// let url = proxy.url(&Redis::shared().url());
/// for n in 1.. {
///     proxy.cut_at(n, Cut::BeforeAnswer);
///     // … the operation, through `url` …
///     if !proxy.has_triggered() {
///         break; // it sends fewer than n messages
///     }
/// }
/// # let _ = url;
/// ```
pub struct Proxy {
    address: SocketAddr,
    upstream: SocketAddr,
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// State shared by handle and relay.
struct Shared {
    rules: Mutex<Rules>,
    /// Changes when connections must check whether to close.
    changed: watch::Sender<u64>,
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Starts a proxy to the address, without a fault.
    ///
    /// # Panics
    /// If there is no free port or thread.
    #[must_use]
    pub fn start(upstream: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("a bound address");
        let shared =
            Arc::new(Shared { rules: Mutex::new(Rules::default()), changed: watch::channel(0).0 });
        let (end, ended) = oneshot::channel();
        let relay = relay::run(listener, upstream, Arc::clone(&shared), ended);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let thread = std::thread::spawn(move || runtime.block_on(relay));
        Proxy { address, upstream, shared, end: Some(end), thread: Some(thread) }
    }

    /// The address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the engine's address in the URL by the proxy's.
    ///
    /// # Panics
    /// If the URL does not contain the engine's address.
    pub fn url(&self, url: &str) -> String {
        let (engine, relay) = (self.upstream.to_string(), self.address.to_string());
        assert!(url.contains(&engine), "the URL must be of {engine}");
        url.replace(&engine, &relay)
    }

    /// Messages so far, over all connections.
    pub fn count(&self) -> u64 {
        self.shared.rules().count
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.shared.rules().connections
    }

    /// Whether the last fault of [`Proxy::cut_at`] or [`Proxy::black_hole_at`] has occurred.
    pub fn has_triggered(&self) -> bool {
        self.shared.rules().triggered
    }

    /// Counts only messages that the filter accepts from now on; others pass without effect.
    pub fn count_only(&self, filter: impl Fn(&[u8]) -> bool + Send + 'static) {
        self.shared.rules().filter = Box::new(filter);
    }

    /// Cuts the connection at the `n`-th message from now, starting at 1. Later messages pass.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn cut_at(&self, n: u64, place: Cut) {
        self.set(n, |at| Fault::CutAt(at, place));
    }

    /// Drops all traffic from the `n`-th message from now, starting at 1; connections stay open.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn black_hole_at(&self, n: u64) {
        self.set(n, Fault::BlackHoleAt);
    }

    /// Drops all traffic from now on; connections stay open.
    pub fn black_hole(&self) {
        self.shared.rules().break_now(Fault::BlackHole);
    }

    /// Cuts all connections and closes new ones at once.
    pub fn refuse(&self) {
        self.shared.rules().break_now(Fault::Refuse);
        self.tell_connections();
    }

    /// Delays every reply, at most until [`Proxy::heal`].
    pub fn delay(&self, duration: Duration) {
        self.shared.rules().delay = duration;
    }

    /// Removes all faults. Connections that lost data to a black hole are cut.
    pub fn heal(&self) {
        let mut rules = self.shared.rules();
        rules.fault = Fault::None;
        rules.triggered = false;
        rules.delay = Duration::ZERO;
        rules.heals += 1;
        drop(rules);
        self.tell_connections();
    }

    fn set(&self, n: u64, fault: impl FnOnce(u64) -> Fault) {
        assert!(n > 0, "the first message is 1");
        let mut rules = self.shared.rules();
        rules.triggered = false;
        rules.fault = fault(rules.count + n);
    }

    fn tell_connections(&self) {
        self.shared.changed.send_modify(|turn| *turn += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

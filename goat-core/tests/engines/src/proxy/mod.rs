//! A relay between a client and an engine that breaks at the message that a test names.
//!
//! A message is what one read from a client's socket gives: for a client that writes a request whole
//! and then waits for its answer, one request. (More than 64 KiB at once are several; what a client
//! sends without waiting may arrive as one.)
//!
//! Invariants: every message is judged and counted under one lock, so a fault that is set counts for
//! every message that arrives after the call; the relay runs on a thread of its own and by the
//! machine's clock, whatever the test does with its runtime.

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
    /// The server has answered, so it has done what was asked; the client does not learn of it.
    BeforeAnswer,
}

/// A relay with an address of its own. Dropped, it cuts its connections and is gone.
///
/// ```no_run
/// use goat_engines::{Cut, Proxy, Redis};
///
/// let proxy = Proxy::start(Redis::shared().address());
/// let url = proxy.url(&Redis::shared().url());
/// for n in 1.. {
///     proxy.cut_at(n, Cut::BeforeAnswer);
///     // … the flow, by way of `url` …
///     if !proxy.has_struck() {
///         break; // it needs fewer than n messages
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

/// What the handle and the relay share.
struct Shared {
    rules: Mutex<Rules>,
    /// Rises when connections have to ask whether they are still wanted.
    changed: watch::Sender<u64>,
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Starts a relay to the address that breaks nothing yet.
    ///
    /// # Panics
    /// Where the machine gives no port or no thread.
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

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL with the engine's address replaced by the relay's.
    ///
    /// # Panics
    /// Where the URL does not name the engine that the relay stands before.
    pub fn url(&self, url: &str) -> String {
        let (engine, relay) = (self.upstream.to_string(), self.address.to_string());
        assert!(url.contains(&engine), "the URL must be of {engine}");
        url.replace(&engine, &relay)
    }

    /// Messages so far, of all connections.
    pub fn count(&self) -> u64 {
        self.shared.rules().count
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.shared.rules().connections
    }

    /// Whether the fault set last by [`Proxy::cut_at`] or [`Proxy::black_hole_at`] has happened.
    pub fn has_struck(&self) -> bool {
        self.shared.rules().struck
    }

    /// From now on counts only the messages that the filter accepts; the others pass and trip nothing.
    pub fn count_only(&self, filter: impl Fn(&[u8]) -> bool + Send + 'static) {
        self.shared.rules().filter = Box::new(filter);
    }

    /// Cuts the connection of the `n`-th message from now, the first being 1. Then all passes again.
    ///
    /// # Panics
    /// Where `n` is 0.
    pub fn cut_at(&self, n: u64, place: Cut) {
        self.set(n, |at| Fault::CutAt(at, place));
    }

    /// From the `n`-th message on, the first being 1, nothing passes in either direction, and all
    /// connections stay open.
    ///
    /// # Panics
    /// Where `n` is 0.
    pub fn black_hole_at(&self, n: u64) {
        self.set(n, Fault::BlackHoleAt);
    }

    /// From now on nothing passes in either direction, and all connections stay open.
    pub fn black_hole(&self) {
        self.shared.rules().break_now(Fault::BlackHole);
    }

    /// Cuts all connections and closes new ones at once.
    pub fn refuse(&self) {
        self.shared.rules().break_now(Fault::Refuse);
        self.tell_connections();
    }

    /// Holds every answer back for so long, or until [`Proxy::heal`].
    pub fn delay(&self, duration: Duration) {
        self.shared.rules().delay = duration;
    }

    /// Lets everything pass again, at once. A connection that lost something to a black hole is cut,
    /// since what follows would make no sense.
    pub fn heal(&self) {
        let mut rules = self.shared.rules();
        rules.fault = Fault::None;
        rules.struck = false;
        rules.delay = Duration::ZERO;
        rules.heals += 1;
        drop(rules);
        self.tell_connections();
    }

    fn set(&self, n: u64, fault: impl FnOnce(u64) -> Fault) {
        assert!(n > 0, "the first message is 1");
        let mut rules = self.shared.rules();
        rules.struck = false;
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

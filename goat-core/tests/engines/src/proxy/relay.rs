//! The relay: accepts connections and forwards bytes in both directions.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use super::Shared;
use super::fault::{Fate, Rules};

/// Maximum size of a message.
const MESSAGE: usize = 64 * 1024;

/// How long a reply that is to be lost may take; then the connection is cut anyway.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// Accepts connections until the handle is dropped.
pub(super) async fn run(
    listener: TcpListener,
    upstream: SocketAddr,
    shared: Arc<Shared>,
    mut ended: oneshot::Receiver<()>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listening socket");
    loop {
        tokio::select! {
            _ = &mut ended => return,
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if shared.rules().answer() == Fate::Cut {
                    continue;
                }
                tokio::spawn(Connection::new(Arc::clone(&shared)).serve(client, upstream));
            }
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    /// Cut instead of the next reply.
    ends_at_answer: AtomicBool,
    /// Number of heals when a black hole dropped data of this connection; [`WHOLE`] before.
    lost: AtomicU64,
    /// Number of global cuts when this connection started.
    created: u64,
}

/// No data was lost.
const WHOLE: u64 = u64::MAX;

impl Connection {
    fn new(shared: Arc<Shared>) -> Connection {
        let mut rules = shared.rules();
        rules.connections += 1;
        let created = rules.cuts;
        drop(rules);
        let (ends_at_answer, lost) = (AtomicBool::new(false), AtomicU64::new(WHOLE));
        Connection { shared, ends_at_answer, lost, created }
    }

    async fn serve(self, client: TcpStream, upstream: SocketAddr) {
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        // Forward each message as it came, without coalescing.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = self.messages(from_client, to_server) => {}
            () = self.answers(from_server, to_client) => {}
            () = self.unwanted() => {}
        }
    }

    /// Returns when the connection is to be cut. A client that closed its writing side may still
    /// read.
    async fn messages(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; MESSAGE];
        loop {
            let size = match from.read(&mut buffer).await {
                Ok(0) => {
                    if !self.vanishes() {
                        let _ = to.shutdown().await;
                    }
                    return std::future::pending().await;
                }
                Ok(size) => size,
                Err(_) => return,
            };
            let fate = self.decide(|rules| rules.message(&buffer[..size]));
            match fate {
                Fate::Cut => return,
                Fate::Vanish => continue,
                Fate::PassAndCutAtAnswer => self.ends_at_answer.store(true, Ordering::SeqCst),
                Fate::Pass => {}
            }
            if to.write_all(&buffer[..size]).await.is_err() {
                return;
            }
            if fate == Fate::PassAndCutAtAnswer {
                return tokio::time::sleep(LAST_ANSWER).await;
            }
        }
    }

    async fn answers(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; MESSAGE];
        loop {
            let size = match from.read(&mut buffer).await {
                Ok(0) | Err(_) if self.vanishes() => return std::future::pending().await,
                Ok(0) | Err(_) => return,
                Ok(size) => size,
            };
            if self.ends_at_answer.load(Ordering::SeqCst) {
                return;
            }
            self.delay().await;
            match self.decide(|rules| rules.answer()) {
                Fate::Cut => return,
                Fate::Vanish => {}
                Fate::Pass | Fate::PassAndCutAtAnswer => {
                    if to.write_all(&buffer[..size]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for the configured delay, or until it ends.
    async fn delay(&self) {
        let mut changes = self.shared.changed.subscribe();
        let delay = self.shared.rules().delay;
        if !delay.is_zero() {
            let _ = tokio::time::timeout(delay, changes.changed()).await;
        }
    }

    /// Whether a black hole also drops the end of a stream, so that the peer does not see it.
    fn vanishes(&self) -> bool {
        self.decide(|rules| rules.answer()) == Fate::Vanish
    }

    fn decide(&self, decide: impl FnOnce(&mut Rules) -> Fate) -> Fate {
        let mut rules = self.shared.rules();
        let fate = decide(&mut rules);
        if fate == Fate::Vanish {
            // ATOMIC: under the lock, so that no heal comes between the loss and its record.
            self.lost.store(rules.heals, Ordering::SeqCst);
        }
        fate
    }

    /// Returns when all connections are cut, or when this one lost data and the proxy was healed.
    async fn unwanted(&self) {
        let mut changes = self.shared.changed.subscribe();
        loop {
            let (cuts, heals) = {
                let rules = self.shared.rules();
                (rules.cuts, rules.heals)
            };
            let lost = self.lost.load(Ordering::SeqCst);
            if cuts != self.created || (lost != WHOLE && lost != heals) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.rules().connections -= 1;
    }
}

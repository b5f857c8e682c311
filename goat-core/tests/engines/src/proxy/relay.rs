//! The relay's own work: connections, and bytes both ways.

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

/// The most that one message has.
const MESSAGE: usize = 64 * 1024;

/// How long the answer that is to be lost may take; the connection is cut in any case.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// Accepts until the handle is dropped.
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
    /// The next answer is the end.
    ends_at_answer: AtomicBool,
    /// How often all was healed when a black hole took something of this one; [`WHOLE`] before.
    lost: AtomicU64,
    /// How often all connections had been cut when this one began.
    born: u64,
}

/// Nothing is lost.
const WHOLE: u64 = u64::MAX;

impl Connection {
    fn new(shared: Arc<Shared>) -> Connection {
        let mut rules = shared.rules();
        rules.connections += 1;
        let born = rules.cuts;
        drop(rules);
        let (ends_at_answer, lost) = (AtomicBool::new(false), AtomicU64::new(WHOLE));
        Connection { shared, ends_at_answer, lost, born }
    }

    async fn serve(self, client: TcpStream, upstream: SocketAddr) {
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        // Each message goes on as it came, not gathered with the next.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = self.messages(from_client, to_server) => {}
            () = self.answers(from_server, to_client) => {}
            () = self.unwanted() => {}
        }
    }

    /// Ends where the connection is to be cut. A client that only stops writing may still read.
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
            let fate = self.judge(|rules| rules.message(&buffer[..size]));
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
            match self.judge(|rules| rules.answer()) {
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

    /// Waits as long as answers are held back, or until that is over.
    async fn delay(&self) {
        let mut changes = self.shared.changed.subscribe();
        let delay = self.shared.rules().delay;
        if !delay.is_zero() {
            let _ = tokio::time::timeout(delay, changes.changed()).await;
        }
    }

    /// Whether a black hole takes the end of one side too: the other must not learn of it.
    fn vanishes(&self) -> bool {
        self.judge(|rules| rules.answer()) == Fate::Vanish
    }

    fn judge(&self, judge: impl FnOnce(&mut Rules) -> Fate) -> Fate {
        let mut rules = self.shared.rules();
        let fate = judge(&mut rules);
        if fate == Fate::Vanish {
            // ATOMIC: under the lock, so that no healing comes between the loss and its note.
            self.lost.store(rules.heals, Ordering::SeqCst);
        }
        fate
    }

    /// Ends when all connections are cut, or when this one lost something and all is healed.
    async fn unwanted(&self) {
        let mut changes = self.shared.changed.subscribe();
        loop {
            let (cuts, heals) = {
                let rules = self.shared.rules();
                (rules.cuts, rules.heals)
            };
            let lost = self.lost.load(Ordering::SeqCst);
            if cuts != self.born || (lost != WHOLE && lost != heals) {
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

//! A transport within the test: it loses, delays, and breaks what it is told to, and counts.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::StoreError;
use goat_core::invalidation::{Subscription, Transport};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// What nodes are joined by. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    ends: Vec<UnboundedSender<(Instant, String)>>,
    /// Everything that was sent, also what was lost.
    sent: Vec<String>,
    listens: usize,
    loses: Loses,
    delay: Duration,
    is_down: bool,
    hangs: bool,
}

/// What gets lost without anybody being told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Loses {
    #[default]
    Nothing,
    /// Everything but heartbeats.
    Invalidations,
    Everything,
}

pub(crate) fn is_heartbeat(text: &str) -> bool {
    text.split(' ').nth(2) == Some("h")
}

impl Wire {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    pub(crate) fn lose(&self, loses: Loses) {
        self.lock().loses = loses;
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Ends every subscription.
    pub(crate) fn cut(&self) {
        self.lock().ends.clear();
    }

    /// Nothing can be sent and nobody can listen; subscriptions that are there go on.
    pub(crate) fn down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// Lets whoever sends from now on wait for ever.
    pub(crate) fn hang(&self) {
        self.lock().hangs = true;
    }

    /// Goes silent for all who listen now, who are told nothing; the ends stay open.
    pub(crate) fn silence(&self) -> impl Sized + use<> {
        std::mem::take(&mut self.lock().ends)
    }

    /// Says this to all who listen, whatever is lost.
    pub(crate) fn say(&self, text: &str) {
        self.lock().say(Instant::now(), text);
    }

    /// All that was sent, which is then forgotten.
    pub(crate) fn take_sent(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().sent)
    }

    /// How often somebody tried to listen.
    pub(crate) fn listens(&self) -> usize {
        self.lock().listens
    }

    /// How many listen now.
    pub(crate) fn listeners(&self) -> usize {
        let mut state = self.lock();
        state.ends.retain(|end| !end.is_closed());
        state.ends.len()
    }
}

impl State {
    fn say(&mut self, at: Instant, text: &str) {
        self.ends.retain(|end| end.send((at, text.to_owned())).is_ok());
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, text: &str) -> Result<(), StoreError> {
        if self.lock().hangs {
            std::future::pending::<()>().await;
        }
        let mut state = self.lock();
        state.sent.push(text.to_owned());
        if state.is_down {
            return Err(StoreError::unavailable("wire.send"));
        }
        let is_lost = match state.loses {
            Loses::Nothing => false,
            Loses::Invalidations => !is_heartbeat(text),
            Loses::Everything => true,
        };
        if !is_lost {
            let at = Instant::now() + state.delay;
            state.say(at, text);
        }
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let mut state = self.lock();
        state.listens += 1;
        if state.is_down {
            return Err(StoreError::unavailable("wire.listen"));
        }
        let (end, texts) = unbounded_channel();
        state.ends.push(end);
        Ok(Box::new(Listening { texts, next: None }))
    }
}

struct Listening {
    texts: UnboundedReceiver<(Instant, String)>,
    next: Option<(Instant, String)>,
}

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Result<String, StoreError> {
        if self.next.is_none() {
            let ended = || StoreError::unavailable("wire.hear");
            self.next = Some(self.texts.recv().await.ok_or_else(ended)?);
        }
        let at = self.next.as_ref().map_or_else(Instant::now, |(at, _)| *at);
        tokio::time::sleep_until(at).await;
        Ok(self.next.take().map(|(_, text)| text).unwrap_or_default())
    }
}

//! An in-process transport that drops, delays and fails messages on demand, and records them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::StoreError;
use goat_core::invalidation::{Subscription, Transport};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// Clones share their state.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestTransport(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    subscribers: Vec<UnboundedSender<(Instant, String)>>,
    /// All sent messages, lost ones included.
    sent: Vec<String>,
    listen_calls: usize,
    loss: Loss,
    delay: Duration,
    is_down: bool,
    hangs: bool,
}

/// Messages that are lost although `send` succeeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Loss {
    #[default]
    Nothing,
    /// All but heartbeats.
    Invalidations,
    Everything,
}

pub(crate) fn is_heartbeat(text: &str) -> bool {
    text.split(' ').nth(2) == Some("h")
}

impl TestTransport {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    pub(crate) fn lose(&self, loss: Loss) {
        self.lock().loss = loss;
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Ends every subscription.
    pub(crate) fn end_subscriptions(&self) {
        self.lock().subscribers.clear();
    }

    /// Makes `send` and `listen` fail; present subscriptions stay.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// Makes every later `send` hang.
    pub(crate) fn hang(&self) {
        self.lock().hangs = true;
    }

    /// Delivers nothing more to the present subscribers, whose subscriptions stay open.
    pub(crate) fn silence(&self) -> impl Sized + use<> {
        std::mem::take(&mut self.lock().subscribers)
    }

    /// Delivers `text` to all subscribers, also if messages are configured to be lost.
    pub(crate) fn deliver(&self, text: &str) {
        self.lock().deliver(Instant::now(), text);
    }

    /// Returns and clears the sent messages.
    pub(crate) fn take_sent(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().sent)
    }

    /// The number of calls of `listen`, failed ones included.
    pub(crate) fn listen_calls(&self) -> usize {
        self.lock().listen_calls
    }

    /// The number of open subscriptions.
    pub(crate) fn subscriber_count(&self) -> usize {
        let mut state = self.lock();
        state.subscribers.retain(|end| !end.is_closed());
        state.subscribers.len()
    }
}

impl State {
    fn deliver(&mut self, at: Instant, text: &str) {
        self.subscribers.retain(|end| end.send((at, text.to_owned())).is_ok());
    }
}

#[async_trait]
impl Transport for TestTransport {
    async fn send(&self, text: &str) -> Result<(), StoreError> {
        if self.lock().hangs {
            std::future::pending::<()>().await;
        }
        let mut state = self.lock();
        state.sent.push(text.to_owned());
        if state.is_down {
            return Err(StoreError::unavailable("transport.send"));
        }
        let is_lost = match state.loss {
            Loss::Nothing => false,
            Loss::Invalidations => !is_heartbeat(text),
            Loss::Everything => true,
        };
        if !is_lost {
            let at = Instant::now() + state.delay;
            state.deliver(at, text);
        }
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let mut state = self.lock();
        state.listen_calls += 1;
        if state.is_down {
            return Err(StoreError::unavailable("transport.listen"));
        }
        let (end, texts) = unbounded_channel();
        state.subscribers.push(end);
        Ok(Box::new(TestSubscription { texts, next: None }))
    }
}

struct TestSubscription {
    texts: UnboundedReceiver<(Instant, String)>,
    next: Option<(Instant, String)>,
}

#[async_trait]
impl Subscription for TestSubscription {
    async fn next(&mut self) -> Result<String, StoreError> {
        if self.next.is_none() {
            let ended = || StoreError::unavailable("transport.next");
            self.next = Some(self.texts.recv().await.ok_or_else(ended)?);
        }
        let at = self.next.as_ref().map_or_else(Instant::now, |(at, _)| *at);
        tokio::time::sleep_until(at).await;
        Ok(self.next.take().map(|(_, text)| text).unwrap_or_default())
    }
}

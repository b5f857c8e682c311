//! The callbacks of a broadcast to its listeners, on tokio's paused clock.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use goat_core::invalidation::{Broadcast, Invalidation, Invalidations, Listener};
use goat_core::{SessionId, Timestamp, UserId};
use tokio::time::{Instant, sleep};

use crate::invalidations::transport::{Loss, TestTransport, is_heartbeat};

const STALENESS: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);
const QUARTER: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callback {
    Received(Invalidation),
    Disconnected,
    Connected(Duration),
}
use Callback::{Connected, Disconnected, Received};

#[derive(Debug, Default)]
struct RecordingListener(Mutex<Vec<(Instant, Callback)>>);

impl RecordingListener {
    fn record(&self, callback: Callback) {
        self.0.lock().expect("no panic").push((Instant::now(), callback));
    }

    fn take(&self) -> Vec<(Instant, Callback)> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }

    fn take_callbacks(&self) -> Vec<Callback> {
        self.take().into_iter().map(|(_, callback)| callback).collect()
    }

    /// The invalidations fixture.
    fn take_invalidations(&self) -> Vec<Invalidation> {
        let invalidation = |callback| {
            if let Received(invalidation) = callback { Some(invalidation) } else { None }
        };
        self.take_callbacks().into_iter().filter_map(invalidation).collect()
    }
}

impl Listener for RecordingListener {
    fn on_invalidation(&self, invalidation: Invalidation) {
        self.record(Received(invalidation));
    }

    fn on_disconnected(&self) {
        self.record(Disconnected);
    }

    fn on_connected(&self, lease: Duration) {
        self.record(Connected(lease));
    }
}

struct Node {
    broadcast: Arc<Broadcast>,
    listener: Arc<RecordingListener>,
}

fn node(transport: &TestTransport, staleness: Duration) -> Node {
    let broadcast = Broadcast::new(Arc::new(transport.clone()), staleness);
    let listener = Arc::new(RecordingListener::default());
    let weak: Weak<RecordingListener> = Arc::downgrade(&listener);
    broadcast.subscribe(weak);
    Node { broadcast, listener }
}

async fn connected_node(transport: &TestTransport) -> Node {
    let node = node(transport, STALENESS);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(node.listener.take_callbacks(), [Disconnected, Connected(HALF)]);
    node
}

fn user() -> UserId {
    UserId::generate(Timestamp::from_millis(0))
}

#[tokio::test(start_paused = true)]
async fn a_node_is_disconnected_until_its_first_heartbeat_returns() {
    let transport = TestTransport::default();
    transport.delay(Duration::from_millis(200));
    let node = node(&transport, STALENESS);
    assert_eq!(node.listener.take_callbacks(), [Disconnected], "before the subscription returns");
    sleep(Duration::from_millis(199)).await;
    assert_eq!(node.listener.take_callbacks(), []);
    sleep(Duration::from_millis(2)).await;
    assert_eq!(node.listener.take_callbacks(), [Connected(Duration::from_millis(300))]);
}

/// A new listener of a connected broadcast need not wait for the next heartbeat.
#[tokio::test(start_paused = true)]
async fn subscribing_later_sends_a_heartbeat_at_once() {
    let transport = TestTransport::default();
    let node = connected_node(&transport).await;
    let late = Arc::new(RecordingListener::default());
    let weak: Weak<RecordingListener> = Arc::downgrade(&late);
    node.broadcast.subscribe(weak);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(late.take_callbacks(), [Disconnected, Connected(HALF)]);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_every_quarter_of_the_staleness_renew_the_lease() {
    let transport = TestTransport::default();
    let node = connected_node(&transport).await;
    transport.take_sent();
    let began = Instant::now();
    sleep(QUARTER * 8).await;
    let sent = transport.take_sent();
    assert_eq!(sent.len(), 8, "{sent:?}");
    assert!(sent.iter().all(|text| is_heartbeat(text)));
    let callbacks = node.listener.take();
    assert_eq!(callbacks.len(), 8);
    assert!(callbacks.iter().all(|(_, callback)| *callback == Connected(HALF)), "{callbacks:?}");
    assert!(callbacks[7].0 - began <= QUARTER * 8);
    assert_eq!(node.broadcast.stats().disconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn the_lease_starts_when_the_heartbeat_was_sent_and_late_heartbeats_do_not_count() {
    let transport = TestTransport::default();
    transport.delay(Duration::from_millis(499));
    let node = node(&transport, STALENESS);
    sleep(Duration::from_millis(510)).await;
    assert_eq!(
        node.listener.take_callbacks(),
        [Disconnected, Connected(Duration::from_millis(1)), Disconnected]
    );
    transport.delay(HALF);
    sleep(STALENESS * 2).await;
    node.listener.take();
    sleep(STALENESS * 10).await;
    assert_eq!(node.listener.take_callbacks(), [], "each heartbeat is too late");
    assert_eq!(transport.listen_calls(), 1, "the subscription stays open");
}

#[tokio::test(start_paused = true)]
async fn half_the_staleness_without_a_heartbeat_disconnects() {
    let transport = TestTransport::default();
    let node = connected_node(&transport).await;
    sleep(STALENESS).await;
    let (last, _) = *node.listener.take().last().expect("a heartbeat");
    transport.lose(Loss::Everything);
    sleep(STALENESS).await;
    let callbacks = node.listener.take();
    assert_eq!(callbacks.iter().map(|(_, callback)| *callback).collect::<Vec<_>>(), [Disconnected]);
    assert_eq!((callbacks[0].0 - last).as_millis(), HALF.as_millis());
    assert_eq!(node.broadcast.stats().disconnects, 1);
}

#[tokio::test(start_paused = true)]
async fn failed_heartbeats_disconnect() {
    let transport = TestTransport::default();
    let node = connected_node(&transport).await;
    transport.set_down(true);
    sleep(STALENESS).await;
    assert_eq!(node.listener.take_callbacks().last(), Some(&Disconnected));
    transport.set_down(false);
    sleep(STALENESS).await;
    assert!(matches!(node.listener.take_callbacks().last(), Some(Connected(_))));
}

#[tokio::test(start_paused = true)]
async fn an_ended_subscription_disconnects_at_once_and_is_replaced() {
    let transport = TestTransport::default();
    let node = connected_node(&transport).await;
    let ended_at = Instant::now();
    transport.end_subscriptions();
    sleep(QUARTER).await;
    let callbacks = node.listener.take();
    assert_eq!(callbacks[0], (ended_at, Disconnected));
    assert_eq!(callbacks[1].1, Connected(HALF));
    assert_eq!((transport.listen_calls(), node.broadcast.stats().disconnects), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_silent_subscription_is_replaced() {
    let transport = TestTransport::default();
    let node = connected_node(&transport).await;
    let _open = transport.silence();
    sleep(Duration::from_secs(3)).await;
    let callbacks = node.listener.take_callbacks();
    assert_eq!(callbacks.first(), Some(&Disconnected));
    assert!(matches!(callbacks.last(), Some(Connected(_))), "{callbacks:?}");
    assert_eq!((transport.listen_calls(), node.broadcast.stats().disconnects), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_from_before_the_subscription_does_not_connect() {
    let transport = TestTransport::default();
    transport.lose(Loss::Everything);
    let node = node(&transport, STALENESS);
    sleep(Duration::from_millis(10)).await;
    let early = transport.take_sent().pop().expect("a heartbeat");
    transport.end_subscriptions();
    sleep(QUARTER).await;
    assert_eq!(transport.subscriber_count(), 1);
    node.listener.take();
    transport.deliver(&early);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(node.listener.take_callbacks(), []);
    let late = transport.take_sent().pop().expect("a heartbeat");
    transport.deliver(&late);
    sleep(Duration::from_millis(1)).await;
    assert!(matches!(node.listener.take_callbacks()[..], [Connected(_)]));
    transport.deliver(&late);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(node.listener.take_callbacks(), [], "a repeated heartbeat does not count");
}

#[tokio::test(start_paused = true)]
async fn the_publisher_applies_an_invalidation_before_sending_and_others_receive_it_once() {
    let transport = TestTransport::default();
    let (ann, bob) = (connected_node(&transport).await, connected_node(&transport).await);
    ann.listener.take();
    let session = SessionId::generate(Timestamp::from_millis(0));
    let invalidations = [
        Invalidation::Session(user(), session),
        Invalidation::User(user()),
        Invalidation::Roles { revision: 1 },
        Invalidation::Everything,
    ];
    for invalidation in invalidations {
        ann.broadcast.publish(invalidation).await.expect("sent");
        assert_eq!(ann.listener.take_callbacks(), [Received(invalidation)]);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(bob.listener.take_invalidations(), [invalidation]);
        assert_eq!(ann.listener.take_invalidations(), [], "not its own echo");
    }
    let (sender, receiver) = (ann.broadcast.stats(), bob.broadcast.stats());
    assert_eq!((sender.sent, sender.received, sender.failed), (4, 0, 0));
    assert_eq!((receiver.sent, receiver.received), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn an_unsent_invalidation_applies_locally_and_counts_as_failed() {
    let transport = TestTransport::default();
    let node = connected_node(&transport).await;
    transport.set_down(true);
    node.broadcast
        .publish(Invalidation::Roles { revision: 1 })
        .await
        .expect_err("the transport is down");
    assert_eq!(node.listener.take_invalidations(), [Invalidation::Roles { revision: 1 }]);
    assert_eq!((node.broadcast.stats().sent, node.broadcast.stats().failed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn unknown_messages_invalidate_everything() {
    let transport = TestTransport::default();
    let node = connected_node(&transport).await;
    for text in ["2 somebody u 1", "1 somebody q", "1 somebody u nobody", "gibberish", ""] {
        transport.deliver(text);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(node.listener.take_invalidations(), [Invalidation::Everything], "{text:?}");
    }
    assert_eq!(node.broadcast.stats().disconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn zero_staleness_sends_no_heartbeats_and_receives_invalidations() {
    let transport = TestTransport::default();
    let bob = node(&transport, Duration::ZERO);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(transport.take_sent(), [""; 0]);
    assert_eq!(bob.listener.take_callbacks(), [Disconnected, Connected(Duration::MAX)]);
    let ann = connected_node(&transport).await;
    ann.broadcast.publish(Invalidation::Roles { revision: 1 }).await.expect("sent");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bob.listener.take_invalidations(), [Invalidation::Roles { revision: 1 }]);
    transport.end_subscriptions();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bob.listener.take_callbacks(), [Disconnected]);
}

#[tokio::test(start_paused = true)]
async fn failed_listens_back_off_and_count_one_disconnect() {
    let transport = TestTransport::default();
    transport.set_down(true);
    let node = node(&transport, STALENESS);
    sleep(Duration::from_secs(60)).await;
    let tries = transport.listen_calls();
    assert!((10..30).contains(&tries), "{tries}");
    assert_eq!(node.broadcast.stats().disconnects, 1);
    transport.set_down(false);
    sleep(Duration::from_secs(8)).await;
    assert!(matches!(node.listener.take_callbacks().last(), Some(Connected(_))));
}

#[tokio::test(start_paused = true)]
async fn listeners_are_weak_and_dropping_the_broadcast_ends_its_task() {
    let transport = TestTransport::default();
    let Node { broadcast, listener } = connected_node(&transport).await;
    assert_eq!((Arc::strong_count(&listener), transport.subscriber_count()), (1, 1));
    drop(listener);
    sleep(STALENESS).await;
    drop(broadcast);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(transport.subscriber_count(), 0);
    transport.take_sent();
    sleep(STALENESS).await;
    assert_eq!(transport.take_sent(), [""; 0]);
}

/// A publish that is cancelled before it is sent counts as failed.
#[tokio::test(start_paused = true)]
async fn a_cancelled_publish_counts_as_failed() {
    let transport = TestTransport::default();
    let node = connected_node(&transport).await;
    let invalidation = Invalidation::User(user());
    node.broadcast.publish(invalidation).await.expect("sent");
    transport.hang();
    let cancelled = tokio::time::timeout(HALF, node.broadcast.publish(invalidation)).await;
    assert!(cancelled.is_err(), "the transport hangs");
    let counts = node.broadcast.stats();
    assert_eq!((counts.sent, counts.failed), (1, 1));
}

//! What a broadcast tells its listeners, by a clock that runs only when nothing else does.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use goat_core::invalidation::{Broadcast, Invalidation, Invalidations, Listener};
use goat_core::{SessionId, Timestamp, UserId};
use tokio::time::{Instant, sleep};

use crate::wire::{Loses, Wire, is_heartbeat};

const STALENESS: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);
const QUARTER: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Heard(Invalidation),
    Deaf,
    Hears(Duration),
}
use Told::{Deaf, Heard, Hears};

#[derive(Debug, Default)]
struct Ear(Mutex<Vec<(Instant, Told)>>);

impl Ear {
    fn note(&self, told: Told) {
        self.0.lock().expect("no panic").push((Instant::now(), told));
    }

    fn take(&self) -> Vec<(Instant, Told)> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }

    fn take_told(&self) -> Vec<Told> {
        self.take().into_iter().map(|(_, told)| told).collect()
    }

    /// Invalidations alone.
    fn take_heard(&self) -> Vec<Invalidation> {
        let invalidation =
            |told| if let Heard(invalidation) = told { Some(invalidation) } else { None };
        self.take_told().into_iter().filter_map(invalidation).collect()
    }
}

impl Listener for Ear {
    fn on_invalidation(&self, invalidation: Invalidation) {
        self.note(Heard(invalidation));
    }

    fn on_disconnected(&self) {
        self.note(Deaf);
    }

    fn on_connected(&self, lease: Duration) {
        self.note(Hears(lease));
    }
}

struct Node {
    broadcast: Arc<Broadcast>,
    ear: Arc<Ear>,
}

fn node(wire: &Wire, staleness: Duration) -> Node {
    let broadcast = Broadcast::new(Arc::new(wire.clone()), staleness);
    let ear = Arc::new(Ear::default());
    let weak: Weak<Ear> = Arc::downgrade(&ear);
    broadcast.subscribe(weak);
    Node { broadcast, ear }
}

async fn hearing(wire: &Wire) -> Node {
    let node = node(wire, STALENESS);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(node.ear.take_told(), [Deaf, Hears(HALF)]);
    node
}

fn user() -> UserId {
    UserId::generate(Timestamp::from_millis(0))
}

#[tokio::test(start_paused = true)]
async fn a_node_is_deaf_until_its_first_heartbeat_comes_back() {
    let wire = Wire::default();
    wire.delay(Duration::from_millis(200));
    let node = node(&wire, STALENESS);
    assert_eq!(node.ear.take_told(), [Deaf], "before the subscription returns");
    sleep(Duration::from_millis(199)).await;
    assert_eq!(node.ear.take_told(), []);
    sleep(Duration::from_millis(2)).await;
    assert_eq!(node.ear.take_told(), [Hears(Duration::from_millis(300))]);
}

/// Whoever comes when the others hear already need not wait for a quarter of the staleness.
#[tokio::test(start_paused = true)]
async fn a_listener_that_comes_later_is_given_a_heartbeat_at_once() {
    let wire = Wire::default();
    let node = hearing(&wire).await;
    let late = Arc::new(Ear::default());
    let weak: Weak<Ear> = Arc::downgrade(&late);
    node.broadcast.subscribe(weak);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(late.take_told(), [Deaf, Hears(HALF)]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_goes_out_every_quarter_of_the_staleness_and_renews_the_lease() {
    let wire = Wire::default();
    let node = hearing(&wire).await;
    wire.take_sent();
    let began = Instant::now();
    sleep(QUARTER * 8).await;
    let sent = wire.take_sent();
    assert_eq!(sent.len(), 8, "{sent:?}");
    assert!(sent.iter().all(|text| is_heartbeat(text)));
    let told = node.ear.take();
    assert_eq!(told.len(), 8);
    assert!(told.iter().all(|(_, told)| *told == Hears(HALF)), "{told:?}");
    assert!(told[7].0 - began <= QUARTER * 8);
    assert_eq!(node.broadcast.counts().disconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_relied_on_from_when_it_was_sent_and_a_late_one_not_at_all() {
    let wire = Wire::default();
    wire.delay(Duration::from_millis(499));
    let node = node(&wire, STALENESS);
    sleep(Duration::from_millis(510)).await;
    assert_eq!(node.ear.take_told(), [Deaf, Hears(Duration::from_millis(1)), Deaf]);
    wire.delay(HALF);
    sleep(STALENESS * 2).await;
    node.ear.take();
    sleep(STALENESS * 10).await;
    assert_eq!(node.ear.take_told(), [], "each came too late");
    assert_eq!(wire.listens(), 1, "but the way is open");
}

#[tokio::test(start_paused = true)]
async fn a_node_is_deaf_when_no_heartbeat_came_back_for_half_the_staleness() {
    let wire = Wire::default();
    let node = hearing(&wire).await;
    sleep(STALENESS).await;
    let (last, _) = *node.ear.take().last().expect("a heartbeat");
    wire.lose(Loses::Everything);
    sleep(STALENESS).await;
    let told = node.ear.take();
    assert_eq!(told.iter().map(|(_, told)| *told).collect::<Vec<_>>(), [Deaf]);
    assert_eq!((told[0].0 - last).as_millis(), HALF.as_millis());
    assert_eq!(node.broadcast.counts().disconnects, 1);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_cannot_be_sent_makes_deaf_too() {
    let wire = Wire::default();
    let node = hearing(&wire).await;
    wire.down(true);
    sleep(STALENESS).await;
    assert_eq!(node.ear.take_told().last(), Some(&Deaf));
    wire.down(false);
    sleep(STALENESS).await;
    assert!(matches!(node.ear.take_told().last(), Some(Hears(_))));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_ends_makes_deaf_at_once_and_another_is_begun() {
    let wire = Wire::default();
    let node = hearing(&wire).await;
    let cut_at = Instant::now();
    wire.cut();
    sleep(QUARTER).await;
    let told = node.ear.take();
    assert_eq!(told[0], (cut_at, Deaf));
    assert_eq!(told[1].1, Hears(HALF));
    assert_eq!((wire.listens(), node.broadcast.counts().disconnects), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_fell_silent_is_given_up_for_another() {
    let wire = Wire::default();
    let node = hearing(&wire).await;
    let _open = wire.silence();
    sleep(Duration::from_secs(3)).await;
    let told = node.ear.take_told();
    assert_eq!(told.first(), Some(&Deaf));
    assert!(matches!(told.last(), Some(Hears(_))), "{told:?}");
    assert_eq!((wire.listens(), node.broadcast.counts().disconnects), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_from_before_the_subscription_proves_nothing() {
    let wire = Wire::default();
    wire.lose(Loses::Everything);
    let node = node(&wire, STALENESS);
    sleep(Duration::from_millis(10)).await;
    let early = wire.take_sent().pop().expect("a heartbeat");
    wire.cut();
    sleep(QUARTER).await;
    assert_eq!(wire.listeners(), 1);
    node.ear.take();
    wire.say(&early);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(node.ear.take_told(), []);
    let late = wire.take_sent().pop().expect("a heartbeat");
    wire.say(&late);
    sleep(Duration::from_millis(1)).await;
    assert!(matches!(node.ear.take_told()[..], [Hears(_)]));
    wire.say(&late);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(node.ear.take_told(), [], "once is enough");
}

#[tokio::test(start_paused = true)]
async fn others_hear_a_notice_once_and_who_tells_it_hears_it_before_it_is_told() {
    let wire = Wire::default();
    let (ann, bob) = (hearing(&wire).await, hearing(&wire).await);
    ann.ear.take();
    let session = SessionId::generate(Timestamp::from_millis(0));
    let invalidations = [
        Invalidation::Session(user(), session),
        Invalidation::User(user()),
        Invalidation::Roles,
        Invalidation::Everything,
    ];
    for invalidation in invalidations {
        ann.broadcast.publish(invalidation).await.expect("sent");
        assert_eq!(ann.ear.take_told(), [Heard(invalidation)]);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(bob.ear.take_heard(), [invalidation]);
        assert_eq!(ann.ear.take_heard(), [], "not its own echo");
    }
    let (told, heard) = (ann.broadcast.counts(), bob.broadcast.counts());
    assert_eq!((told.sent, told.received, told.failed), (4, 0, 0));
    assert_eq!((heard.sent, heard.received), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_cannot_be_sent_is_heard_here_and_said_to_be_unsent() {
    let wire = Wire::default();
    let node = hearing(&wire).await;
    wire.down(true);
    node.broadcast.publish(Invalidation::Roles).await.expect_err("the wire is down");
    assert_eq!(node.ear.take_heard(), [Invalidation::Roles]);
    assert_eq!((node.broadcast.counts().sent, node.broadcast.counts().failed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_another_version_says_means_that_anything_may_have_changed() {
    let wire = Wire::default();
    let node = hearing(&wire).await;
    for text in ["2 somebody u 1", "1 somebody q", "1 somebody u nobody", "gibberish", ""] {
        wire.say(text);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(node.ear.take_heard(), [Invalidation::Everything], "{text:?}");
    }
    assert_eq!(node.broadcast.counts().disconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn without_staleness_no_heartbeat_is_sent_and_notices_arrive() {
    let wire = Wire::default();
    let bob = node(&wire, Duration::ZERO);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(wire.take_sent(), [""; 0]);
    assert_eq!(bob.ear.take_told(), [Deaf, Hears(Duration::MAX)]);
    let ann = hearing(&wire).await;
    ann.broadcast.publish(Invalidation::Roles).await.expect("sent");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bob.ear.take_heard(), [Invalidation::Roles]);
    wire.cut();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(bob.ear.take_told(), [Deaf]);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_listen_tries_less_and_less_often_and_is_deaf_once() {
    let wire = Wire::default();
    wire.down(true);
    let node = node(&wire, STALENESS);
    sleep(Duration::from_secs(60)).await;
    let tries = wire.listens();
    assert!((10..30).contains(&tries), "{tries}");
    assert_eq!(node.broadcast.counts().disconnects, 1);
    wire.down(false);
    sleep(Duration::from_secs(8)).await;
    assert!(matches!(node.ear.take_told().last(), Some(Hears(_))));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_when_nobody_holds_it_and_no_listener_is_held() {
    let wire = Wire::default();
    let Node { broadcast, ear } = hearing(&wire).await;
    assert_eq!((Arc::strong_count(&ear), wire.listeners()), (1, 1));
    drop(ear);
    sleep(STALENESS).await;
    drop(broadcast);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(wire.listeners(), 0);
    wire.take_sent();
    sleep(STALENESS).await;
    assert_eq!(wire.take_sent(), [""; 0]);
}

/// Whoever gives up before a notice is sent has not sent it, and the count says so.
#[tokio::test(start_paused = true)]
async fn a_telling_that_is_given_up_counts_as_unsent() {
    let wire = Wire::default();
    let node = hearing(&wire).await;
    let invalidation = Invalidation::User(user());
    node.broadcast.publish(invalidation).await.expect("sent");
    wire.hang();
    let given_up = tokio::time::timeout(HALF, node.broadcast.publish(invalidation)).await;
    assert!(given_up.is_err(), "it hangs");
    let counts = node.broadcast.counts();
    assert_eq!((counts.sent, counts.failed), (1, 1));
}

//! Tests of the queue: reservations, retries, expiry and the drain, under a paused clock and with a carrier that
//! follows a script.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use goat_core::courier::{Letter, Message};
use goat_core::testing::{ManualClock, sample_letters};
use goat_core::{Email, Languages, Timestamp};
use tokio::time::Instant;

use super::carrier::{Fault, Mail, Outcome};
use super::*;
use crate::serve::Lifecycle;

/// A carrier that gives scripted outcomes, then accepts everything.
#[derive(Clone, Debug, Default)]
struct Scripted(Arc<Script>);

#[derive(Debug, Default)]
struct Script {
    outcomes: Mutex<VecDeque<Outcome>>,
    tries: Mutex<Vec<(&'static str, Instant)>>,
    /// How long a delivery takes.
    takes: Mutex<Duration>,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scripted {
    fn new(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let outcomes = Mutex::new(outcomes.into_iter().collect());
        Self(Arc::new(Script { outcomes, ..Script::default() }))
    }

    fn taking(self, takes: Duration) -> Self {
        *lock(&self.0.takes) = takes;
        self
    }

    fn tries(&self) -> Vec<(&'static str, Instant)> {
        lock(&self.0.tries).clone()
    }
}

#[async_trait]
impl Carrier for Scripted {
    async fn deliver(&self, mail: &Mail) -> Outcome {
        lock(&self.0.tries).push((mail.message, Instant::now()));
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_running.fetch_max(running, Ordering::SeqCst);
        let takes = *lock(&self.0.takes);
        tokio::time::sleep(takes).await;
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        lock(&self.0.outcomes).pop_front().unwrap_or(Outcome::Delivered)
    }
}

fn fault() -> Fault {
    Fault { stage: "MAIL", cause: "a reason".into() }
}

fn deferred() -> Outcome {
    Outcome::Deferred(fault())
}

/// A courier over a scripted carrier.
struct Bench {
    courier: MailCourier,
    carrier: Scripted,
    clock: ManualClock,
    lifecycle: Lifecycle,
    deliveries: Deliveries,
}

impl Bench {
    fn start(queue: usize, carrier: Scripted) -> Self {
        let clock = ManualClock::default();
        let delivery = Delivery {
            renderer: renderer(),
            carrier: Box::new(carrier.clone()),
            backoff: Backoff::default(),
            clock: Arc::new(clock.clone()),
            metrics: MailMetrics::default(),
        };
        let (courier, mailbag) = MailCourier::over(delivery, queue, Terminal::default());
        let lifecycle = Lifecycle::new();
        let deliveries = mailbag.start(&lifecycle);
        Self { courier, carrier, clock, lifecycle, deliveries }
    }

    fn send(&self, letter: Letter) {
        self.courier.reserve().expect("a place").send(letter);
    }

    /// Waits until every letter is delivered or lost.
    async fn settled(&self) {
        self.courier.places.all_free().await;
    }

    fn lost(&self, loss: MailLoss) -> u64 {
        self.courier.metrics.count_lost(loss)
    }

    fn sent(&self) -> u64 {
        Message::NAMES.iter().map(|name| self.courier.metrics.count_sent(name)).sum()
    }
}

pub(super) fn renderer() -> Renderer {
    let from = "goat <goat@example.org>".parse().expect("a mailbox");
    let link = "https://app.example.org/api/link".into();
    Renderer::new(from, "app.example.org".into(), link, None).expect("the built-in templates")
}

pub(super) fn letters(text: &str) -> Vec<Letter> {
    let to = Email::parse("ann@example.com").expect("an address");
    sample_letters(&to, &Languages::default(), text)
}

fn notice() -> Letter {
    letter("account-exists")
}

fn letter(name: &str) -> Letter {
    let mut all = letters("text").into_iter();
    all.find(|letter| letter.message.name() == name).expect("a sample")
}

#[tokio::test(start_paused = true)]
async fn each_letter_is_delivered_once() {
    let bench = Bench::start(100, Scripted::default());
    let all = letters("text");
    let count = all.len();
    all.into_iter().for_each(|letter| bench.send(letter));
    bench.settled().await;
    assert_eq!(bench.carrier.tries().len(), count);
    assert_eq!(bench.sent(), count as u64);
}

/// M6
#[tokio::test(start_paused = true)]
async fn full_queue_rejects_every_request_and_keeps_places_for_notices() {
    let bench = Bench::start(2, Scripted::default());
    let first = bench.courier.reserve().expect("a place");
    let second = bench.courier.reserve().expect("a place");
    assert_eq!(bench.courier.reserve().map(drop), Err(QueueFull));
    let notices: Vec<_> =
        std::iter::from_fn(|| bench.courier.reserve_notice().ok()).take(100).collect();
    assert_eq!(notices.len(), 10);
    assert_eq!(bench.courier.metrics.count_rejections(), 2);
    drop(notices);
    drop(second);
    let third = bench.courier.reserve().expect("the place of the second");
    first.send(notice());
    third.send(notice());
    bench.settled().await;
    assert_eq!(bench.sent(), 2);
    assert!(bench.courier.reserve().is_ok());
}

#[tokio::test(start_paused = true)]
async fn letter_keeps_its_place_until_it_is_delivered() {
    let bench = Bench::start(1, Scripted::new([deferred()]));
    bench.send(notice());
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(bench.carrier.tries().len(), 1);
    assert!(bench.courier.reserve().is_err(), "the letter waits for its second try");
    bench.settled().await;
    assert_eq!(bench.carrier.tries().len(), 2);
    assert!(bench.courier.reserve().is_ok());
}

#[tokio::test(start_paused = true)]
async fn temporary_failures_are_retried_for_about_an_hour() {
    let bench = Bench::start(10, Scripted::new(std::iter::repeat_with(deferred).take(100)));
    bench.send(notice());
    bench.settled().await;
    let tries = bench.carrier.tries();
    assert_eq!(tries.len(), 6);
    let pauses = tries.windows(2).map(|two| (two[1].1 - two[0].1).as_secs_f64());
    for (pause, expected) in pauses.zip([30.0, 90.0, 270.0, 810.0, 2430.0]) {
        assert!((0.74 * expected..1.26 * expected).contains(&pause), "{pause} for {expected}");
    }
    assert_eq!(bench.lost(MailLoss::Exhausted), 1);
    assert_eq!(bench.courier.metrics.count_retries(), 5);
    assert_eq!(bench.sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn letter_that_succeeds_later_is_sent_once() {
    let bench = Bench::start(10, Scripted::new([deferred(), deferred()]));
    bench.send(notice());
    bench.settled().await;
    assert_eq!(bench.carrier.tries().len(), 3);
    assert_eq!((bench.sent(), bench.courier.metrics.count_retries()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn rejected_and_unknown_letters_are_not_tried_again() {
    let outcomes = [Outcome::Rejected(fault()), Outcome::Unknown(fault())];
    let bench = Bench::start(10, Scripted::new(outcomes));
    for _ in 0..2 {
        bench.send(notice());
        bench.settled().await;
    }
    assert_eq!(bench.carrier.tries().len(), 2);
    assert_eq!((bench.lost(MailLoss::Rejected), bench.lost(MailLoss::Unknown)), (1, 1));
    assert_eq!(bench.sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_retries_delay_no_other_letter() {
    // More letters wait for a retry than are delivered at once.
    let bench = Bench::start(100, Scripted::new(std::iter::repeat_with(deferred).take(20)));
    let began = Instant::now();
    (0..20).for_each(|_| bench.send(notice()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    (0..20).for_each(|_| bench.send(letter("invitation")));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.courier.metrics.count_sent("invitation"), 20);
    assert_eq!(bench.courier.metrics.count_sent("account-exists"), 0);
    bench.settled().await;
    assert_eq!(bench.sent(), 40);
    assert!(began.elapsed() < Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn few_letters_are_delivered_at_once() {
    let bench = Bench::start(100, Scripted::default().taking(Duration::from_secs(1)));
    (0..20).for_each(|_| bench.send(notice()));
    bench.settled().await;
    assert_eq!(bench.carrier.0.most_running.load(Ordering::SeqCst), 4);
    assert_eq!(bench.sent(), 20);
}

#[tokio::test(start_paused = true)]
async fn letter_is_dropped_when_its_secret_expires() {
    for (left, tries) in [(0, 0), (10, 1), (60, 2)] {
        let bench = Bench::start(10, Scripted::new(std::iter::repeat_with(deferred).take(100)));
        let letter = letter("sign-in-code");
        let expires_at = letter.message.secret().expect("a secret").expires_at;
        let now = expires_at.as_millis() - left * 1000;
        bench.clock.set_wall_clock(Timestamp::from_millis(now));
        bench.send(letter);
        bench.settled().await;
        assert_eq!(bench.carrier.tries().len(), tries, "{left} seconds");
        assert_eq!(bench.lost(MailLoss::Expired), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn letter_to_an_address_that_mail_servers_refuse_is_dropped() {
    // 64 characters before the @ are the most, and a stored address is not parsed again.
    let to = Email::from_stored("a b@example.org".into(), "a b@example.org".into());
    let bench = Bench::start(10, Scripted::default());
    bench.send(Letter::new(to, Languages::default(), Message::AccountExists));
    bench.settled().await;
    assert_eq!((bench.carrier.tries().len(), bench.lost(MailLoss::Invalid)), (0, 1));
}

/// Drains in `seconds`, and returns how long that took.
async fn drain(deliveries: Deliveries, seconds: u64) -> Duration {
    let began = Instant::now();
    deliveries.drain(began + Duration::from_secs(seconds)).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn drain_delivers_the_letters_that_wait() {
    let bench = Bench::start(100, Scripted::default().taking(Duration::from_secs(1)));
    (0..20).for_each(|_| bench.send(notice()));
    bench.lifecycle.drain();
    let took = drain(bench.deliveries, 15).await;
    assert_eq!(took, Duration::from_secs(5));
    assert_eq!(bench.courier.metrics.count_sent("account-exists"), 20);
    assert_eq!(bench.courier.metrics.count_lost(MailLoss::Shutdown), 0);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_letters_that_are_still_written() {
    let bench = Bench::start(100, Scripted::default());
    let permit = bench.courier.reserve().expect("a place");
    let unused = bench.courier.reserve().expect("a place");
    bench.lifecycle.drain();
    let writing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        permit.send(notice());
        drop(unused);
    });
    assert_eq!(drain(bench.deliveries, 15).await, Duration::from_secs(3));
    writing.await.expect("no panic");
    assert_eq!(bench.courier.metrics.count_sent("account-exists"), 1);
}

#[tokio::test(start_paused = true)]
async fn drain_tries_a_waiting_letter_once_more() {
    for (outcomes, sent, lost) in [(vec![deferred()], 1, 0), (vec![deferred(); 9], 0, 1)] {
        let bench = Bench::start(100, Scripted::new(outcomes));
        bench.send(notice());
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.lifecycle.drain();
        assert!(drain(bench.deliveries, 15).await < Duration::from_secs(1));
        assert_eq!(bench.carrier.tries().len(), 2);
        assert_eq!(bench.courier.metrics.count_sent("account-exists"), sent);
        assert_eq!(bench.courier.metrics.count_lost(MailLoss::Shutdown), lost);
    }
}

#[tokio::test(start_paused = true)]
async fn letters_left_at_the_deadline_are_dropped_and_counted() {
    let bench = Bench::start(100, Scripted::default().taking(Duration::from_secs(3600)));
    (0..20).for_each(|_| bench.send(notice()));
    bench.lifecycle.drain();
    assert_eq!(drain(bench.deliveries, 15).await, Duration::from_secs(15));
    assert_eq!(bench.courier.metrics.count_lost(MailLoss::Shutdown), 20);
    assert_eq!(bench.courier.places.taken(), 0, "every place is released");
    bench.courier.reserve().expect("a place").send(notice());
    assert_eq!(bench.courier.metrics.count_lost(MailLoss::Shutdown), 21);
    assert_eq!(bench.courier.metrics.count_sent("account-exists"), 0);
}

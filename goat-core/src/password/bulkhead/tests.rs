//! A hasher that blocks until the test releases it makes every interleaving deterministic.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread::ThreadId;

use tokio::sync::mpsc;

use super::*;
use crate::password::{Argon2Settings, Argon2id, PasswordPolicy, Peppers};
use crate::secret::Secret;
use crate::testing::{HasherCall, PlainHasher};

/// Blocks in every verification until opened, and counts concurrent ones.
#[derive(Debug)]
struct StoppingHasher {
    open: Mutex<bool>,
    opened: Condvar,
    running: AtomicUsize,
    most: AtomicUsize,
    entered: mpsc::UnboundedSender<ThreadId>,
}

impl StoppingHasher {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<ThreadId>) {
        let (entered, entries) = mpsc::unbounded_channel();
        let hasher = Self {
            open: Mutex::new(false),
            opened: Condvar::new(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            entered,
        };
        (Arc::new(hasher), entries)
    }

    fn open(&self) {
        *self.open.lock().expect("no panic under the lock") = true;
        self.opened.notify_all();
    }
}

impl PasswordHasher for StoppingHasher {
    fn hash(&self, _: &[u8]) -> Result<String, HashError> {
        panic!("canary: only verifications are asked for here");
    }

    fn verify(&self, _: &[u8], _: &str) -> Result<Verification, HashError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        self.entered.send(std::thread::current().id()).map_err(HashError::failed)?;
        let open = self.open.lock().expect("no panic under the lock");
        let open = self.opened.wait_while(open, |open| !*open);
        drop(open);
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(Verification::Differs)
    }

    fn check(&self, _: &str) -> Result<(), HashError> {
        Ok(())
    }

    fn dummy_hash(&self) -> &str {
        "dummy"
    }
}

fn limits(running: usize, waiting: usize) -> BulkheadLimits {
    BulkheadLimits { running: NonZeroUsize::new(running).expect("at least one"), waiting }
}

fn attempt(hashing: &HashBulkhead) -> tokio::task::JoinHandle<Result<Verification>> {
    let hashing = hashing.clone();
    tokio::spawn(async move { hashing.verify(&TriedPassword::new("attempt"), None).await })
}

/// Yields to other tasks until the bulkhead reports this load.
async fn load_is(hashing: &HashBulkhead, running: usize, waiting: usize) {
    while hashing.load() != (BulkheadLoad { running, waiting }) {
        tokio::task::yield_now().await;
    }
}

/// P7
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_attempts_stay_within_the_bounds() {
    let (hasher, mut entries) = StoppingHasher::new();
    let hashing = HashBulkhead::new(hasher.clone(), limits(4, 64));
    let (answers, mut answered) = mpsc::unbounded_channel();
    for _ in 0..2000 {
        let (hashing, answers) = (hashing.clone(), answers.clone());
        tokio::spawn(async move {
            let before = hashing.load();
            let answer = hashing.verify(&TriedPassword::new("attempt"), None).await;
            answers.send((before, answer)).expect("the receiver is open");
        });
    }

    // No hash has finished yet, so each answer is a rejection: all but the 68 that fit.
    for _ in 0..2000 - 68 {
        let (before, answer) = answered.recv().await.expect("an answer");
        assert!(before.running <= 4 && before.waiting <= 64, "{before:?}");
        let refused = answer.expect_err("a refusal");
        assert!(refused.is_unavailable());
        assert_eq!(refused.retry_after(), Some(RETRY_AFTER));
    }
    assert_eq!(hashing.load(), BulkheadLoad { running: 4, waiting: 64 });

    // All four must be inside the hasher before it is opened.
    for _ in 0..4 {
        entries.recv().await.expect("a call of the hasher");
    }
    hasher.open();
    for _ in 0..68 {
        let (_, answer) = answered.recv().await.expect("an answer");
        assert_eq!(answer.expect("a verification"), Verification::Differs);
    }
    for _ in 0..64 {
        entries.recv().await.expect("a call of the hasher");
    }
    assert!(entries.try_recv().is_err(), "a refused attempt reached the hasher");
    assert_eq!(hasher.most.load(Ordering::SeqCst), 4);
    load_is(&hashing, 0, 0).await;
}

/// P7
#[tokio::test]
async fn a_cancelled_caller_leaves_the_queue() {
    let (hasher, mut entries) = StoppingHasher::new();
    let hashing = HashBulkhead::new(hasher.clone(), limits(1, 1));
    let first = attempt(&hashing);
    entries.recv().await.expect("the first runs");
    let second = attempt(&hashing);
    load_is(&hashing, 1, 1).await;
    let third = attempt(&hashing).await.expect("no panic");
    assert!(third.expect_err("the queue is full").is_unavailable());

    second.abort();
    assert!(second.await.expect_err("cancelled").is_cancelled());
    assert_eq!(hashing.load(), BulkheadLoad { running: 1, waiting: 0 });
    let fourth = attempt(&hashing);
    load_is(&hashing, 1, 1).await;

    hasher.open();
    assert!(first.await.expect("no panic").is_ok());
    assert!(fourth.await.expect("no panic").is_ok());
    entries.recv().await.expect("the fourth ran");
    assert!(entries.try_recv().is_err(), "a cancelled attempt was hashed");
}

/// P7
#[tokio::test]
async fn a_hash_keeps_its_permit_after_its_caller_is_cancelled() {
    let (hasher, mut entries) = StoppingHasher::new();
    let hashing = HashBulkhead::new(hasher.clone(), limits(1, 0));
    let first = attempt(&hashing);
    entries.recv().await.expect("the first runs");
    first.abort();
    assert!(first.await.expect_err("cancelled").is_cancelled());
    assert_eq!(hashing.load(), BulkheadLoad { running: 1, waiting: 0 });
    assert!(attempt(&hashing).await.expect("no panic").is_err());

    hasher.open();
    load_is(&hashing, 0, 0).await;
    assert!(attempt(&hashing).await.expect("no panic").is_ok());
}

/// P7
#[tokio::test]
async fn hashing_does_not_block_the_async_worker() {
    let (hasher, mut entries) = StoppingHasher::new();
    let hashing = HashBulkhead::new(hasher.clone(), limits(1, 0));
    let attempt = attempt(&hashing);
    // This test runs on the only async worker.
    let thread = entries.recv().await.expect("it runs");
    assert_ne!(thread, std::thread::current().id());
    hasher.open();
    assert!(attempt.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_panic_of_the_hasher_releases_the_permit_and_is_not_quoted() {
    let (hasher, _entries) = StoppingHasher::new();
    let hashing = HashBulkhead::new(hasher, limits(1, 0));
    for _ in 0..2 {
        let failure = hashing.rehash(&TriedPassword::new("canary")).await.expect_err("a panic");
        assert_eq!(failure.kind(), ErrorKind::Internal);
        assert!(!format!("{failure:?}").contains("canary"));
    }
    load_is(&hashing, 0, 0).await;
}

/// E1
#[tokio::test]
async fn every_attempt_costs_one_verification() {
    let hasher = PlainHasher::default();
    let hashing = HashBulkhead::new(Arc::new(hasher.clone()), limits(1, 0));
    let stored = hasher.hash(b"seven lamps").expect("hashed");
    hasher.change_parameters();
    assert_eq!(hasher.take_calls(), [HasherCall::Hash { generation: 0 }]);

    let over_long = "x".repeat(1 << 20);
    for typed in ["seven lamps", "another", "", "\u{0}", "seven\nlamps", over_long.as_str()] {
        let tried = TriedPassword::new(typed);
        let known = hashing.verify(&tried, Some(&stored)).await.expect("verified");
        assert_eq!(known.matches(), typed == "seven lamps");
        let unknown = hashing.verify(&tried, None).await.expect("verified");
        assert_eq!(unknown, Verification::Differs);
        assert_eq!(
            hasher.take_calls(),
            [HasherCall::Verify { generation: Some(0) }, HasherCall::Verify { generation: None }]
        );
    }
}

/// E1
#[tokio::test]
async fn an_impossible_password_does_not_match_its_own_hash() {
    let hasher = PlainHasher::default();
    let hashing = HashBulkhead::new(Arc::new(hasher.clone()), limits(1, 0));
    let tried = TriedPassword::new("");
    let stored = hasher.hash(tried.as_bytes()).expect("hashed");
    let verified = hashing.verify(&tried, Some(&stored)).await.expect("verified");
    assert_eq!(verified, Verification::Differs);
    assert!(hashing.rehash(&tried).await.is_err());
}

/// P6
#[tokio::test]
async fn an_outdated_hash_is_reported_and_renewed() {
    let hasher = PlainHasher::default();
    let hashing = HashBulkhead::new(Arc::new(hasher.clone()), limits(1, 0));
    let text = "seven lamps over the quay";
    let password =
        NewPassword::parse(text, &PasswordPolicy::default(), None).expect("a good password");
    let stored = hashing.hash(password).await.expect("hashed");
    let tried = TriedPassword::new(text);
    assert_eq!(
        hashing.verify(&tried, Some(&stored)).await.expect("verified"),
        Verification::Matches
    );

    hasher.change_parameters();
    assert_eq!(
        hashing.verify(&tried, Some(&stored)).await.expect("verified"),
        Verification::MatchesOutdated
    );
    let renewed = hashing.rehash(&tried).await.expect("hashed");
    assert_eq!(
        hashing.verify(&tried, Some(&renewed)).await.expect("verified"),
        Verification::Matches
    );
}

#[tokio::test]
async fn an_unreadable_stored_hash_costs_one_verification_and_matches_nothing() {
    let hasher = PlainHasher::default();
    let hashing = HashBulkhead::new(Arc::new(hasher.clone()), limits(1, 0));
    for stored in ["garbage", "", "!"] {
        let tried = TriedPassword::new(stored);
        let (verification, error) =
            hashing.verify_stored(&tried, Some(stored)).await.expect("verified");
        assert_eq!(verification, Verification::Differs);
        assert!(error.expect("an error").is_unreadable());
        assert_eq!(hasher.take_calls(), [HasherCall::Verify { generation: None }]);
        assert!(hashing.check(stored).expect_err("an error").is_unreadable());
    }
}

/// P5
#[tokio::test]
async fn a_missing_pepper_is_a_configuration_error() {
    let peppers = Peppers::new([Secret::new(vec![7; 32])]).expect("a pepper");
    let peppered = Argon2id::new(Argon2Settings::default(), peppers);
    let stored = peppered.hash(b"attempt").expect("hashed");
    let plain = Argon2id::new(Argon2Settings::default(), Peppers::none());
    let hashing = HashBulkhead::new(Arc::new(plain), limits(1, 0));
    let tried = TriedPassword::new("attempt");
    let failure = hashing.verify(&tried, Some(&stored)).await.expect_err("an error");
    assert_eq!(failure.kind(), ErrorKind::Configuration);
}

//! A write is visible once it has returned, for any concurrent reads and any outcome.

use std::time::Duration;

use goat_core::StoreError;
use goat_core::store::UserWriteOutcome;
use goat_core::store::shared_cache::CacheKey;
use goat_core::testing::Point;

use crate::delegating_stores::never_committing;
use crate::shared_cache::support::{
    Deployment, HeldCall, MOMENT, Node, STALENESS, delete, grant, leave, refuse, touch,
};

#[tokio::test(start_paused = true)]
async fn a_write_is_seen_by_all_nodes_once_it_returned() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (one, other) = (deployment.node(), deployment.node());
    for revision in 1..5 {
        for node in [&one, &other] {
            assert_eq!(node.revision(user).await, revision);
            assert_eq!(node.revision(user).await, revision);
        }
        assert_eq!(one.state_reads() + other.state_reads(), 1);
        one.touch(user).await.expect("written");
    }
    delete(&one.stores, user).await.expect("deleted");
    assert_eq!(other.cached_state(user).await.value, None);
}

#[tokio::test(start_paused = true)]
async fn writes_without_effect_keep_the_entry() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    node.revision(user).await;
    refuse(&node.stores, user).await.expect("refused");
    leave(&node.stores, user).await.expect("left");
    let _calls = node.database.take_calls();
    assert_eq!((node.revision(user).await, node.state_reads()), (1, 0));
}

/// A login changes the profile.
#[tokio::test(start_paused = true)]
async fn a_login_is_seen_by_all_nodes_once_it_returned() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (one, other) = (deployment.node(), deployment.node());
    let at = goat_core::Timestamp::from_seconds(9_999_999_999);
    let reader = slow_reader(&other, user).await;
    assert_eq!(one.revision(user).await, 1);
    one.stores.users.signed_in(user, at, None).await.expect("recorded").expect("the user");
    assert_eq!(reader.resume().await, 1);
    for node in [&one, &other] {
        let state = node.cached_state(user).await.value.expect("the user");
        assert_eq!((state.revision, state.user.last_login_at), (2, Some(at)));
    }
}

/// The first attempt was committed, but the node crashed before the invalidation. A retry that
/// finds nothing to change may rely on the state.
#[tokio::test(start_paused = true)]
async fn a_write_without_change_makes_the_state_visible() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    node.revision(user).await;
    touch(&deployment.database, user).await.expect("written by a node that crashed");
    assert_eq!(node.revision(user).await, 1);
    let written = leave(&node.stores, user).await.expect("left");
    assert!(matches!(written, UserWriteOutcome::Unchanged(_)), "{written:?}");
    assert_eq!(node.revision(user).await, 2);
}

/// Starts a read on a node, and holds it after the database has responded.
async fn slow_reader(node: &Node, user: goat_core::UserId) -> SlowReader {
    let held = node.database.hold("users.state", Point::Return);
    let reading = node.spawn_revision(user);
    held.reached().await;
    SlowReader { held, reading }
}

struct SlowReader {
    held: goat_core::testing::HeldCall,
    reading: tokio::task::JoinHandle<u64>,
}

impl SlowReader {
    /// Resumes the read, which fills the cache, and returns its result.
    async fn resume(self) -> u64 {
        self.held.release();
        self.reading.await.expect("no panic")
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_does_not_restore_a_replaced_state() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (slow, writer) = (deployment.node(), deployment.node());
    let reader = slow_reader(&slow, user).await;
    writer.touch(user).await.expect("written");
    assert_eq!(reader.resume().await, 1, "it began before the write returned");
    assert_eq!((writer.revision(user).await, slow.revision(user).await), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_does_not_restore_a_deleted_user() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (slow, writer) = (deployment.node(), deployment.node());
    let reader = slow_reader(&slow, user).await;
    delete(&writer.stores, user).await.expect("deleted");
    assert_eq!(reader.resume().await, 1);
    for node in [&slow, &writer] {
        assert_eq!(node.cached_state(user).await.value, None);
    }
}

/// The write began long before the read that it overtakes; its invalidation lives long enough.
#[tokio::test(start_paused = true)]
async fn an_invalidation_outlives_all_older_reads() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (slow, writer) = (deployment.node(), deployment.node());
    let held = writer.database.hold("users.write", Point::Entry);
    let writing = tokio::spawn({
        let writer = writer.clone();
        async move { writer.touch(user).await }
    });
    held.reached().await;
    deployment.clock.advance(Duration::from_millis(900));
    let reader = slow_reader(&slow, user).await;
    held.release();
    writing.await.expect("no panic").expect("written");
    deployment.clock.advance(STALENESS - MOMENT);
    assert_eq!(reader.resume().await, 1);
    assert_eq!((slow.revision(user).await, writer.revision(user).await), (2, 2));
}

/// The entry that replaces the write's invalidation began early, and so expires early.
#[tokio::test(start_paused = true)]
async fn an_entry_that_expires_early_does_not_admit_an_older_one() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (early, slow, writer) = (deployment.node(), deployment.node(), deployment.node());
    let held = early.database.hold("users.state", Point::Entry);
    let reading = early.spawn_revision(user);
    held.reached().await;
    deployment.clock.advance(Duration::from_millis(500));
    let reader = slow_reader(&slow, user).await;
    writer.touch(user).await.expect("written");
    held.release();
    assert_eq!(reading.await.expect("no panic"), 2);
    let entry = deployment.entry(CacheKey::User(user)).await.expect("an entry");
    assert_eq!((entry.revision, entry.read_at.0), (2, 0));

    deployment.clock.advance(Duration::from_millis(700));
    assert_eq!(reader.resume().await, 1);
    assert_eq!((slow.revision(user).await, writer.revision(user).await), (2, 2));
}

/// The order in which reader and writer reach the cache does not matter.
#[tokio::test(start_paused = true)]
async fn a_write_wins_over_a_concurrent_put() {
    for point in Point::ALL {
        let deployment = Deployment::new();
        let user = deployment.user().await;
        let (reader, writer) = (deployment.node(), deployment.node());
        let put: HeldCall = deployment.cache.hold("put", point);
        let reading = reader.spawn_revision(user);
        put.reached().await;
        writer.touch(user).await.expect("written");
        put.release();
        assert_eq!(reading.await.expect("no panic"), 1);
        assert_eq!(reader.revision(user).await, 2, "{point:?}");
    }
}

/// A reader may see the commit before the writer's invalidation.
#[tokio::test(start_paused = true)]
async fn an_entry_read_after_the_commit_stays() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (reader, writer) = (deployment.node(), deployment.node());
    let raise = deployment.cache.hold("invalidate_below", Point::Entry);
    let writing = tokio::spawn({
        let writer = writer.clone();
        async move { writer.touch(user).await }
    });
    raise.reached().await;
    assert_eq!(reader.revision(user).await, 2);
    raise.release();
    writing.await.expect("no panic").expect("written");
    let _reads = reader.state_reads();
    assert_eq!((reader.revision(user).await, reader.state_reads()), (2, 0));
}

/// After a crash between commit and invalidation, the old entry stays for its short TTL.
#[tokio::test(start_paused = true)]
async fn a_crash_after_the_commit_leaves_a_stale_entry_within_the_staleness() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    node.revision(user).await;
    deployment.clock.advance(MOMENT);
    touch(&deployment.database, user).await.expect("written by a node that crashed");
    deployment.clock.advance(STALENESS - MOMENT * 3);
    assert_eq!(node.revision(user).await, 1);
    deployment.clock.advance(MOMENT);
    assert_eq!(node.revision(user).await, 2);
}

/// The database committed, and its response was lost.
#[tokio::test(start_paused = true)]
async fn a_committed_write_of_unknown_outcome_is_seen() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (node, other) = (deployment.node(), deployment.node());
    assert_eq!(node.revision(user).await, 1);
    node.database.fail("users.write", Point::Return);
    node.touch(user).await.expect_err("the response is lost");
    assert_eq!((other.revision(user).await, node.revision(user).await), (2, 2));

    grant(&node.stores).await.expect("granted");
    assert_eq!(node.cached_rows().await.value.revision, 1);
    node.database.fail("roles.write", Point::Return);
    grant(&node.stores).await.expect_err("the response is lost");
    assert_eq!(other.cached_rows().await.value.revision, 2);
}

/// A slow read that began before is rejected too, for any outcome of the write.
#[tokio::test(start_paused = true)]
async fn a_slow_read_does_not_undo_a_write_of_unknown_outcome() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let (slow, node) = (deployment.node(), deployment.node());
    let reader = slow_reader(&slow, user).await;
    node.database.fail("users.write", Point::Return);
    node.touch(user).await.expect_err("the response is lost");
    assert_eq!(reader.resume().await, 1);
    assert_eq!(slow.revision(user).await, 2);
}

/// The write did not reach the store: nothing can have changed, and nothing is invalidated.
#[tokio::test(start_paused = true)]
async fn a_write_that_never_began_keeps_the_entry() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    node.revision(user).await;
    node.database.fail("users.write", Point::Entry);
    node.touch(user).await.expect_err("unavailable");
    let _calls = node.database.take_calls();
    assert_eq!((node.revision(user).await, node.state_reads()), (1, 0));
    assert!(!deployment.cache.take_calls().contains(&"invalidate_below"));
}

/// Permitted, but not committed: the state is read from the database until the invalidation
/// expires, and is cached again afterwards.
#[tokio::test(start_paused = true)]
async fn an_uncommitted_write_of_unknown_outcome_costs_only_reads() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let failing = never_committing(&deployment.database);
    let (failing, node) = (deployment.node_over(failing, STALENESS), deployment.node());
    assert_eq!(node.revision(user).await, 1);
    failing.touch(user).await.expect_err("it does not commit");
    let _reads = node.state_reads();
    for _ in 0..2 {
        assert_eq!((node.revision(user).await, node.state_reads()), (1, 1));
    }
    deployment.clock.advance(STALENESS * 2);
    assert_eq!((node.revision(user).await, node.state_reads()), (1, 1));
    assert_eq!((node.revision(user).await, node.state_reads()), (1, 0));
}

/// Drops the caller of a held write, and waits for the invalidation of the cache.
async fn drop_caller(
    deployment: &Deployment,
    writing: tokio::task::JoinHandle<Result<UserWriteOutcome, StoreError>>,
    resume: impl FnOnce(),
) {
    let raised = deployment.cache.hold("invalidate_below", Point::Return);
    writing.abort();
    assert!(writing.await.expect_err("it was dropped").is_cancelled());
    resume();
    raised.reached().await;
    raised.release();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_caller_leaves_no_stale_entry() {
    let deployment = Deployment::new();
    let user = deployment.user().await;
    let node = deployment.node();
    let writing = || {
        let node = node.clone();
        tokio::spawn(async move { node.touch(user).await })
    };
    // After the commit, before the response.
    assert_eq!(node.revision(user).await, 1);
    let held = node.database.hold("users.write", Point::Return);
    let write = writing();
    held.reached().await;
    drop_caller(&deployment, write, || {}).await;
    assert_eq!(node.revision(user).await, 2);

    // During the invalidation of the cache.
    let raise = deployment.cache.hold("invalidate_below", Point::Entry);
    let write = writing();
    raise.reached().await;
    drop_caller(&deployment, write, || raise.release()).await;
    assert_eq!(node.revision(user).await, 3);
}

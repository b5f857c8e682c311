//! A write is seen as soon as it was answered, whatever reads it overtook and however it ended.

use std::time::Duration;

use goat_core::StoreError;
use goat_core::store::shared_cache::CacheKey;
use goat_core::testing::Point;
use goat_core::user::UserWriteOutcome;

use crate::support::{
    Ground, HeldCall, MOMENT, NeverCommits, Node, STALENESS, delete, grant, leave, refuse, touch,
};

#[tokio::test(start_paused = true)]
async fn a_write_is_seen_by_all_nodes_when_it_was_answered() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (one, other) = (ground.node(), ground.node());
    for revision in 1..5 {
        for node in [&one, &other] {
            assert_eq!(node.sees(user).await, revision);
            assert_eq!(node.sees(user).await, revision);
        }
        assert_eq!(one.state_reads() + other.state_reads(), 1);
        one.touch(user).await.expect("written");
    }
    delete(&one.stores, user).await.expect("deleted");
    assert_eq!(other.cached_state(user).await.value, None);
}

#[tokio::test(start_paused = true)]
async fn what_writes_nothing_leaves_what_is_remembered() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    node.sees(user).await;
    refuse(&node.stores, user).await.expect("refused");
    leave(&node.stores, user).await.expect("left");
    let at = goat_core::Timestamp::from_seconds(1);
    node.stores.users.signed_in(user, at, None).await.expect("noted");
    let _calls = node.database.take_calls();
    assert_eq!((node.sees(user).await, node.state_reads()), (1, 0));
}

/// The first try was committed, but whoever made it could not tell the shelf. Who tries again and
/// hears that things are so already may rely on it.
#[tokio::test(start_paused = true)]
async fn who_hears_that_things_are_so_sees_them_so() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    node.sees(user).await;
    touch(&ground.database, user).await.expect("written by a node that crashed");
    assert_eq!(node.sees(user).await, 1);
    let written = leave(&node.stores, user).await.expect("left");
    assert!(matches!(written, UserWriteOutcome::Unchanged(_)), "{written:?}");
    assert_eq!(node.sees(user).await, 2);
}

/// Reads the user on a node, which is held with what it read.
async fn slow_reader(node: &Node, user: goat_core::UserId) -> SlowReader {
    let held = node.database.hold("users.state", Point::Return);
    let reading = node.seeing(user);
    held.reached().await;
    SlowReader { held, reading }
}

struct SlowReader {
    held: goat_core::testing::Held,
    reading: tokio::task::JoinHandle<u64>,
}

impl SlowReader {
    /// Lets it go on, and lay down what it read. Answers that.
    async fn goes_on(self) -> u64 {
        self.held.release();
        self.reading.await.expect("no panic")
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_bring_back_what_a_write_replaced() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (slow, writer) = (ground.node(), ground.node());
    let reader = slow_reader(&slow, user).await;
    writer.touch(user).await.expect("written");
    assert_eq!(reader.goes_on().await, 1, "it asked before the write was answered");
    assert_eq!((writer.sees(user).await, slow.sees(user).await), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_bring_back_who_was_deleted() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (slow, writer) = (ground.node(), ground.node());
    let reader = slow_reader(&slow, user).await;
    delete(&writer.stores, user).await.expect("deleted");
    assert_eq!(reader.goes_on().await, 1);
    for node in [&slow, &writer] {
        assert_eq!(node.cached_state(user).await.value, None);
    }
}

/// The write began long before the read that it overtakes, and what it left is known long enough.
#[tokio::test(start_paused = true)]
async fn a_revision_is_known_until_no_older_read_can_come() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (slow, writer) = (ground.node(), ground.node());
    let held = writer.database.hold("users.write", Point::Entry);
    let writing = tokio::spawn({
        let writer = writer.clone();
        async move { writer.touch(user).await }
    });
    held.reached().await;
    ground.clock.advance(Duration::from_millis(900));
    let reader = slow_reader(&slow, user).await;
    held.release();
    writing.await.expect("no panic").expect("written");
    ground.clock.advance(STALENESS - MOMENT);
    assert_eq!(reader.goes_on().await, 1);
    assert_eq!((slow.sees(user).await, writer.sees(user).await), (2, 2));
}

/// What replaces the mark of a write was itself read with an early stamp, and is gone early.
#[tokio::test(start_paused = true)]
async fn an_entry_that_ends_early_does_not_let_an_older_one_in() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (early, slow, writer) = (ground.node(), ground.node(), ground.node());
    let held = early.database.hold("users.state", Point::Entry);
    let reading = early.seeing(user);
    held.reached().await;
    ground.clock.advance(Duration::from_millis(500));
    let reader = slow_reader(&slow, user).await;
    writer.touch(user).await.expect("written");
    held.release();
    assert_eq!(reading.await.expect("no panic"), 2);
    let entry = ground.on_the_shelf(CacheKey::User(user)).await.expect("it lies there");
    assert_eq!((entry.revision, entry.read_at.0), (2, 0));

    ground.clock.advance(Duration::from_millis(700));
    assert_eq!(reader.goes_on().await, 1);
    assert_eq!((slow.sees(user).await, writer.sees(user).await), (2, 2));
}

/// Which of the two comes first to the shelf, the reader or the writer, makes no difference.
#[tokio::test(start_paused = true)]
async fn a_write_wins_over_what_is_laid_down_at_the_same_time() {
    for point in Point::ALL {
        let ground = Ground::new();
        let user = ground.user().await;
        let (reader, writer) = (ground.node(), ground.node());
        let put: HeldCall = ground.shelf.hold("put", point);
        let reading = reader.seeing(user);
        put.reached().await;
        writer.touch(user).await.expect("written");
        put.release();
        assert_eq!(reading.await.expect("no panic"), 1);
        assert_eq!(reader.sees(user).await, 2, "{point:?}");
    }
}

/// A reader may see the commit before the writer has told the shelf.
#[tokio::test(start_paused = true)]
async fn what_was_read_after_the_commit_stays() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (reader, writer) = (ground.node(), ground.node());
    let raise = ground.shelf.hold("invalidate_below", Point::Entry);
    let writing = tokio::spawn({
        let writer = writer.clone();
        async move { writer.touch(user).await }
    });
    raise.reached().await;
    assert_eq!(reader.sees(user).await, 2);
    raise.release();
    writing.await.expect("no panic").expect("written");
    let _reads = reader.state_reads();
    assert_eq!((reader.sees(user).await, reader.state_reads()), (2, 0));
}

/// A crash between the commit and the shelf leaves what was there, for its short life.
#[tokio::test(start_paused = true)]
async fn a_crash_after_the_commit_leaves_what_is_old_for_the_staleness_at_most() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    node.sees(user).await;
    ground.clock.advance(MOMENT);
    touch(&ground.database, user).await.expect("written by a node that crashed");
    ground.clock.advance(STALENESS - MOMENT * 3);
    assert_eq!(node.sees(user).await, 1);
    ground.clock.advance(MOMENT);
    assert_eq!(node.sees(user).await, 2);
}

/// The database committed, and its answer was lost.
#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_that_was_committed_is_seen() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (node, other) = (ground.node(), ground.node());
    assert_eq!(node.sees(user).await, 1);
    node.database.fail("users.write", Point::Return);
    node.touch(user).await.expect_err("its answer is lost");
    assert_eq!((other.sees(user).await, node.sees(user).await), (2, 2));

    grant(&node.stores).await.expect("granted");
    assert_eq!(node.recent_rows().await.value.revision, 1);
    node.database.fail("roles.write", Point::Return);
    grant(&node.stores).await.expect_err("its answer is lost");
    assert_eq!(other.recent_rows().await.value.revision, 2);
}

/// A slow reader that began before is held off too, whatever became of the write.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_undo_a_write_of_unknown_outcome() {
    let ground = Ground::new();
    let user = ground.user().await;
    let (slow, node) = (ground.node(), ground.node());
    let reader = slow_reader(&slow, user).await;
    node.database.fail("users.write", Point::Return);
    node.touch(user).await.expect_err("its answer is lost");
    assert_eq!(reader.goes_on().await, 1);
    assert_eq!(slow.sees(user).await, 2);
}

/// The store never saw it: nothing can have changed, and nothing is forgotten.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_never_decided_leaves_what_is_remembered() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    node.sees(user).await;
    node.database.fail("users.write", Point::Entry);
    node.touch(user).await.expect_err("it is not there");
    let _calls = node.database.take_calls();
    assert_eq!((node.sees(user).await, node.state_reads()), (1, 0));
    assert!(!ground.shelf.take_calls().contains(&"invalidate_below"));
}

/// Allowed by the rules, and then not committed: the state that goes on is asked of the database
/// until the mark is gone, and is remembered again after.
#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_that_was_not_committed_costs_reads_only() {
    let ground = Ground::new();
    let user = ground.user().await;
    let failing = NeverCommits::over(&ground.database);
    let (failing, node) = (ground.node_over(failing, STALENESS), ground.node());
    assert_eq!(node.sees(user).await, 1);
    failing.touch(user).await.expect_err("it does not commit");
    let _reads = node.state_reads();
    for _ in 0..2 {
        assert_eq!((node.sees(user).await, node.state_reads()), (1, 1));
    }
    ground.clock.advance(STALENESS * 2);
    assert_eq!((node.sees(user).await, node.state_reads()), (1, 1));
    assert_eq!((node.sees(user).await, node.state_reads()), (1, 0));
}

/// Hangs up on a write that is held, and waits until the shelf has been told.
async fn hang_up(
    ground: &Ground,
    writing: tokio::task::JoinHandle<Result<UserWriteOutcome, StoreError>>,
    go_on: impl FnOnce(),
) {
    let raised = ground.shelf.hold("invalidate_below", Point::Return);
    writing.abort();
    assert!(writing.await.expect_err("it was dropped").is_cancelled());
    go_on();
    raised.reached().await;
    raised.release();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_nothing_old_behind() {
    let ground = Ground::new();
    let user = ground.user().await;
    let node = ground.node();
    let writing = || {
        let node = node.clone();
        tokio::spawn(async move { node.touch(user).await })
    };
    // After the commit, before the store has answered.
    assert_eq!(node.sees(user).await, 1);
    let held = node.database.hold("users.write", Point::Return);
    let write = writing();
    held.reached().await;
    hang_up(&ground, write, || {}).await;
    assert_eq!(node.sees(user).await, 2);

    // While the shelf is being told.
    let raise = ground.shelf.hold("invalidate_below", Point::Entry);
    let write = writing();
    raise.reached().await;
    hang_up(&ground, write, || raise.release()).await;
    assert_eq!(node.sees(user).await, 3);
}

//! Seeded faults: the comparison detects a backend that is slightly wrong.

use std::sync::Arc;
use std::time::Duration;

use goat_core::Quota;
use goat_core::invalidation::LocalInvalidations;
use goat_core::limit::{LimitKey, LimitStore, StoreAcquire, StoreDecision, StoreReply};

use super::difference::difference as compare;
use super::run::{NodeStores, Run};
use super::{AS_IS, scenarios, transcript, transcript_in_memory};
use crate::support::app::Setup;
use crate::support::backend::Backend;

/// Limits that recover one millisecond late.
#[derive(Debug)]
struct Late(Arc<dyn LimitStore>);

impl LimitStore for Late {
    fn acquire(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> StoreAcquire {
        let StoreReply::Ready(decision) = self.0.acquire(key, quota, elapsed) else {
            panic!("memory decides synchronously")
        };
        StoreReply::Ready(late(decision))
    }

    fn acquire_both(
        &self,
        counters: [(LimitKey, Quota); 2],
        elapsed: Duration,
    ) -> StoreReply<[StoreDecision; 2]> {
        let StoreReply::Ready(decisions) = self.0.acquire_both(counters, elapsed) else {
            panic!("memory decides synchronously")
        };
        StoreReply::Ready(decisions.map(late))
    }

    fn reset(&self, key: LimitKey, quota: Quota) -> StoreReply<()> {
        self.0.reset(key, quota)
    }
}

fn late(decision: StoreDecision) -> StoreDecision {
    let late = |after: Duration| after + Duration::from_millis(1);
    StoreDecision {
        retry_after: decision.retry_after.map(late),
        reset_after: late(decision.reset_after),
        ..decision
    }
}

async fn detect(
    other: impl Into<NodeStores>,
    changes: [fn(&mut Setup); 2],
    scenario: impl AsyncFn(&mut Run),
) -> Option<String> {
    let [change, other_change] = changes;
    let one = transcript_in_memory(change, &scenario).await;
    let two = transcript(other, other_change, &scenario).await;
    compare(("right", &one), ("wrong", &two))
}

#[tokio::test]
async fn late_limit_store_is_detected_in_a_header() {
    let mut memory = Backend::Memory.open().await;
    memory.stores.limits = Arc::new(Late(memory.stores.limits));
    let scenario = scenarios::limits::login_limits;
    let difference =
        detect(memory, [Setup::shipped_limits; 2], scenario).await.expect("a difference");
    assert!(difference.contains(r#"- ratelimit: "auth";r=4;t=60"#), "{difference}");
    assert!(difference.contains(r#"+ ratelimit: "auth";r=4;t=61"#), "{difference}");
}

#[tokio::test]
async fn early_eviction_is_detected() {
    let fewer: fn(&mut Setup) = |setup| setup.goat.sessions_per_user = 4;
    let scenario = scenarios::sessions::list_and_revoke_sessions;
    let memory = Backend::Memory.open().await;
    let difference = detect(memory, [AS_IS, fewer], scenario).await.expect("a difference");
    assert!(
        difference.contains(r#""total":5"#) && difference.contains(r#""total":4"#),
        "{difference}"
    );
}

/// The status and the lengths are equal; an id is not.
#[tokio::test]
async fn response_about_another_user_is_detected() {
    async fn asks_twice(run: &mut Run, second: usize) {
        let users = [run.member("ann", "admin").await, run.member("bob", "admin").await];
        for of in [0, second] {
            let path = format!("/api/v1/user/{}/sessions?limit=1", users[of].id);
            run.get(&path, &users[0]).await;
        }
    }
    let one = transcript_in_memory(AS_IS, async |run| asks_twice(run, 0).await).await;
    let two = transcript_in_memory(AS_IS, async |run| asks_twice(run, 1).await).await;
    assert!(compare(("right", &one), ("wrong", &two)).is_some());
}

/// One node still serves a session that the other one ended.
#[tokio::test]
async fn missing_invalidations_between_nodes_are_detected() {
    let mut first = Backend::PostgresAndRedis.open().await;
    let mut second = first.second_node();
    for stores in [&mut first, &mut second] {
        stores.stores.invalidations = Arc::new(LocalInvalidations::default());
    }
    let nodes = NodeStores { first, second: Some(second) };
    let scenario = scenarios::access::status_changes;
    let difference = detect(nodes, [AS_IS; 2], scenario).await.expect("a difference");
    assert!(difference.contains("- 401") && difference.contains("+ 200"), "{difference}");
}

//! What would go unseen if this did not see it: a store that is wrong by a little.

use std::sync::Arc;
use std::time::Duration;

use goat_core::Quota;
use goat_core::invalidation::LocalInvalidations;
use goat_core::limit::{LimitKey, LimitStore, Spending, Spent};

use super::difference::difference;
use super::play::{NodeStores, Play};
use super::{AS_IS, scenarios, transcript, transcript_in_memory};
use crate::support::app::Setup;
use crate::support::backend::Backend;

/// Limits that give back a millisecond late.
#[derive(Debug)]
struct Late(Arc<dyn LimitStore>);

impl LimitStore for Late {
    fn spend(&self, key: LimitKey, quota: Quota, elapsed: Duration) -> Spending {
        let Spending::Done(spent) = self.0.spend(key, quota, elapsed) else {
            panic!("memory responses at once")
        };
        let late = |after: Duration| after + Duration::from_millis(1);
        let retry_after = spent.retry_after.map(late);
        Spending::Done(Spent { retry_after, reset_after: late(spent.reset_after), ..spent })
    }
}

async fn seen(
    other: impl Into<NodeStores>,
    changes: [fn(&mut Setup); 2],
    scenario: impl AsyncFn(&mut Play),
) -> Option<String> {
    let [change, other_change] = changes;
    let one = transcript_in_memory(change, &scenario).await;
    let two = transcript(other, other_change, &scenario).await;
    difference(("right", &one), ("wrong", &two))
}

#[tokio::test]
async fn a_store_of_limits_that_is_late_is_seen_in_a_header() {
    let mut memory = Backend::Memory.open().await;
    memory.stores.limits = Arc::new(Late(memory.stores.limits));
    let scenario = scenarios::limits::attempts_are_limited_by_address_and_account;
    let seen = seen(memory, [Setup::shipped_limits; 2], scenario).await.expect("a difference");
    assert!(seen.contains(r#"- ratelimit: "auth";r=4;t=60"#), "{seen}");
    assert!(seen.contains(r#"+ ratelimit: "auth";r=4;t=61"#), "{seen}");
}

#[tokio::test]
async fn a_session_that_ends_too_early_is_seen() {
    let fewer: fn(&mut Setup) = |setup| setup.goat.sessions_per_user = 4;
    let scenario = scenarios::sessions::sessions_are_listed_and_ended;
    let seen =
        seen(Backend::Memory.open().await, [AS_IS, fewer], scenario).await.expect("a difference");
    assert!(seen.contains(r#""total":5"#) && seen.contains(r#""total":4"#), "{seen}");
}

/// The same status, the same lengths, and another id than before.
#[tokio::test]
async fn an_answer_about_somebody_else_is_seen() {
    async fn asks_twice(play: &mut Play, second: usize) {
        let people = [play.member("ann", "admin").await, play.member("bob", "admin").await];
        for of in [0, second] {
            let path = format!("/api/v1/user/{}/sessions?limit=1", people[of].id);
            play.get(&path, &people[0]).await;
        }
    }
    let one = transcript_in_memory(AS_IS, async |play| asks_twice(play, 0).await).await;
    let two = transcript_in_memory(AS_IS, async |play| asks_twice(play, 1).await).await;
    assert!(difference(("right", &one), ("wrong", &two)).is_some());
}

/// What one node has ended, the other goes on to serve.
#[tokio::test]
async fn two_nodes_that_tell_each_other_nothing_are_seen() {
    let mut first = Backend::PostgresAndRedis.open().await;
    let mut second = first.second_node();
    for stores in [&mut first, &mut second] {
        stores.stores.invalidations = Arc::new(LocalInvalidations::default());
    }
    let nodes = NodeStores { first, second: Some(second) };
    let scenario = scenarios::access::users_are_let_in_and_shut_out;
    let seen = seen(nodes, [AS_IS; 2], scenario).await.expect("a difference");
    assert!(seen.contains("- 401") && seen.contains("+ 200"), "{seen}");
}

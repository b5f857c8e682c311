//! The session cache: a fill against an eviction, and a lookup against a renewed lease.

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::Principal;
use crate::id::{Credential, SessionId, UserId};
use crate::lease::Lease;
use crate::session_cache::SessionCache;
use crate::user::Revisions;

const NOW: Duration = Duration::from_secs(100);
const STALENESS: Duration = Duration::from_secs(1);
const REVISIONS: Revisions = Revisions { user: 1, roles: 1 };
const SESSION: SessionId = SessionId::from_u128(2);
const PRINCIPAL: Principal = Principal {
    user: UserId::from_u128(1),
    credential: Credential::Session(SESSION),
    revisions: REVISIONS,
};

/// A cache, and the state of its one session in the store.
struct Node {
    cache: SessionCache,
    lease: Arc<Lease>,
    is_live: AtomicBool,
}

impl Node {
    fn start() -> Arc<Self> {
        let lease = Arc::new(Lease::default());
        let cache = SessionCache::new(STALENESS, 1000, Arc::clone(&lease));
        Arc::new(Self { cache, lease, is_live: AtomicBool::new(true) })
    }

    /// Validates the session as a request does: by the cache, else by the store.
    fn validate(&self) -> bool {
        if self.cached() {
            return true;
        }
        let fill_token = self.cache.begin(PRINCIPAL.user, NOW);
        let is_live = self.is_live.load(Ordering::SeqCst);
        if is_live {
            self.cache.insert(fill_token, &PRINCIPAL, Duration::ZERO, NOW);
        }
        is_live
    }

    fn cached(&self) -> bool {
        self.cache.get(PRINCIPAL.user, PRINCIPAL.credential, REVISIONS, NOW).is_some()
    }

    /// Ends the session, as a write does: first in the store, then in the cache.
    fn end_session(&self, evict: fn(&SessionCache)) {
        self.is_live.store(false, Ordering::SeqCst);
        evict(&self.cache);
        assert!(!self.validate(), "a request after the change");
    }
}

fn spawn(node: &Arc<Node>, run: impl FnOnce(&Node) + 'static) -> thread::JoinHandle<()> {
    let node = Arc::clone(node);
    thread::spawn(move || run(&node))
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// Two requests fill the cache while a change ends the session.
pub fn fills_against_the_eviction_of_a_user() {
    fills_against(|cache| cache.evict_user(PRINCIPAL.user, NOW));
}

/// The same for the eviction of one session.
pub fn fills_against_the_eviction_of_a_session() {
    fills_against(|cache| cache.evict_session(PRINCIPAL.user, SESSION));
}

/// The same for the eviction of a user's principals, as at a login.
pub fn fills_against_the_eviction_of_principals() {
    fills_against(|cache| cache.evict_principals(PRINCIPAL.user));
}

fn fills_against(evict: fn(&SessionCache)) {
    let node = Node::start();
    let requests = [(); 2].map(|()| {
        spawn(&node, |node| {
            node.validate();
        })
    });
    node.end_session(evict);
    join(requests);
    assert!(!node.validate(), "a request after all of them");
}

/// A request fills the cache while an invalidation of everything ends the session.
pub fn a_fill_against_the_eviction_of_everything() {
    let node = Node::start();
    let request = spawn(&node, |node| {
        node.validate();
    });
    node.end_session(|cache| cache.evict_all(NOW));
    join([request]);
    assert!(!node.validate(), "a request after both");
}

/// The channel was lost, and with it the invalidation of a session that this node has cached. Requests
/// arrive while the node clears its cache and renews the lease.
pub fn lookups_against_a_renewed_lease() {
    let node = Node::start();
    assert!(node.validate() && node.cached());
    node.lease.end();
    node.is_live.store(false, Ordering::SeqCst);
    let request = spawn(&node, |node| assert!(!node.validate(), "the session has ended"));
    node.cache.clear();
    node.lease.renew(NOW + STALENESS);
    join([request]);
    assert!(!node.validate());
}

/// A request began to fill the cache before the channel was lost and the session ended.
pub fn a_fill_against_a_renewed_lease() {
    let node = Node::start();
    let request = spawn(&node, |node| {
        node.validate();
    });
    node.lease.end();
    node.is_live.store(false, Ordering::SeqCst);
    node.cache.clear();
    node.lease.renew(NOW + STALENESS);
    assert!(!node.validate(), "a request after the channel is back");
    join([request]);
    assert!(!node.validate());
}

//! Redis uses its own clock: the clock of a node does not affect decisions.

use std::time::Duration;

use goat_core::PageRequest;
use goat_core::session::SessionEpoch;
use goat_core::store::Rotated;
use goat_engines::Redis;

use crate::redis::support::{made, now, open, rotation, session_of, shared};

const HOUR: Duration = Duration::from_secs(3600);

/// R3: without the seam of the tests, the grace period is measured by the server's clock.
#[tokio::test(flavor = "multi_thread")]
async fn rotation_uses_the_servers_clock() {
    let options = shared();
    let (slow, fast) = (open(&options).sessions(), open(&options).sessions());
    let session = made(&slow).await;
    let mut request = rotation(&session, HOUR / 2);
    request.now = now() - HOUR;
    let Rotated::Rotated(used) = slow.rotate(&request).await.expect("a reply") else {
        panic!("the current token")
    };
    let used_at = used.previous.expect("it was used").used_at;
    assert!(now().since(used_at) < HOUR / 2, "{used_at:?}");
    assert!(used_at.since(now()) < HOUR / 2, "{used_at:?}");
    assert_eq!(used.last_used_at, used_at);
    // By this node's clock the grace period and the session have ended long ago.
    request.now = now() + HOUR * 48;
    request.successor.id = goat_core::TokenId::generate(request.now);
    let again = fast.rotate(&request).await.expect("a reply");
    assert_eq!(again, Rotated::Repeated(used.clone()));
    let (epoch, page) = (SessionEpoch::default(), PageRequest::default());
    let list = fast.list(session.user, epoch, request.now, page).await.expect("a reply");
    assert_eq!(list.items, [used]);
    let ended = fast.revoke_all(session.user, epoch, request.now, None).await;
    assert_eq!(ended.expect("a reply"), 1);
}

/// A user's key expires with the last of the user's sessions.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_user_expires_with_the_last_session() {
    let prefix = Redis::prefix();
    let (redis, store) = (Redis::shared(), open(&shared().prefix(&*prefix)).sessions());
    let mut long = made(&store).await;
    let key = format!("{prefix}:{{{}}}:s", long.user);
    let left = || {
        let left: i64 = redis.cli(&["PTTL", &key]).parse().expect("a number");
        Duration::from_millis(u64::try_from(left).expect("it expires"))
    };
    let is_about = |expected: Duration| left() <= expected && left() + HOUR / 60 > expected;
    assert!(is_about(HOUR), "{:?}", left());
    // A session that expires earlier does not shorten it.
    let mut short = session_of(long.user);
    short.idle_at = now() + HOUR / 4;
    store.create(&short, 9).await.expect("a reply");
    assert!(is_about(HOUR), "{:?}", left());
    // A rotation extends it; the rotation of an earlier session does not shorten it.
    let mut request = rotation(&long, Duration::ZERO);
    request.successor.expires_at = now() + HOUR * 20;
    let Rotated::Rotated(rotated) = store.rotate(&request).await.expect("a reply") else {
        panic!("the current token")
    };
    long = rotated;
    assert!(is_about(HOUR * 20), "{:?}", left());
    store.rotate(&rotation(&short, Duration::ZERO)).await.expect("a reply");
    assert!(is_about(HOUR * 20), "{:?}", left());
    for session in [&short, &long] {
        assert!(store.end(session.user, session.id).await.expect("a reply"));
    }
    assert_eq!(redis.cli(&["EXISTS", &key]), "0");
    // A session that is already expired is removed at once.
    let mut over = session_of(long.user);
    over.idle_at = now() - HOUR;
    store.create(&over, 9).await.expect("a reply");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(redis.cli(&["EXISTS", &key]), "0");
}

//! Redis goes by its own clock: what a node takes for the time decides nothing.

use std::time::Duration;

use goat_core::PageRequest;
use goat_core::session::{Rotated, SessionEpoch};
use goat_engines::Redis;

use crate::support::{made, now, open, rotation, session_of, shared};

const HOUR: Duration = Duration::from_secs(3600);

/// R3: the leeway begins and ends by the server's clock.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_whose_clocks_are_wrong_rotate_by_the_servers() {
    let options = shared();
    let (slow, fast) = (open(&options).sessions(), open(&options).sessions());
    let session = made(&slow).await;
    let mut request = rotation(&session, Duration::from_secs(10));
    request.now = now() - HOUR;
    let Rotated::Rotated(used) = slow.rotate(&request).await.expect("it answers") else {
        panic!("it is current")
    };
    let used_at = used.previous.expect("it was used").used_at;
    assert!(now().since(used_at) < Duration::from_secs(5), "{used_at:?}");
    assert!(used_at.since(now()) < Duration::from_secs(5), "{used_at:?}");
    assert_eq!(used.last_used_at, used_at);
    // By this one's clock the leeway is long over, and the session too.
    request.now = now() + HOUR * 48;
    request.successor.id = goat_core::TokenId::generate(request.now);
    let again = fast.rotate(&request).await.expect("it answers");
    assert_eq!(again, Rotated::Repeated(used.clone()));
    let (epoch, page) = (SessionEpoch::default(), PageRequest::default());
    let list = fast.list(session.user, epoch, request.now, page).await.expect("it answers");
    assert_eq!(list.items, [used]);
    let ended = fast.revoke_all(session.user, epoch, request.now, None).await;
    assert_eq!(ended.expect("it answers"), 1);
}

/// The key of a user lives as long as the longest of their sessions may, and is gone with the last.
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
    // A shorter one does not take the longer along.
    let mut short = session_of(long.user);
    short.idle_at = now() + HOUR / 4;
    store.create(&short, 9).await.expect("it answers");
    assert!(is_about(HOUR), "{:?}", left());
    // A rotation lengthens it, and one that is used up to its end does not shorten it.
    let mut request = rotation(&long, Duration::ZERO);
    request.successor.expires_at = now() + HOUR * 20;
    let Rotated::Rotated(rotated) = store.rotate(&request).await.expect("it answers") else {
        panic!("it is current")
    };
    long = rotated;
    assert!(is_about(HOUR * 20), "{:?}", left());
    store.rotate(&rotation(&short, Duration::ZERO)).await.expect("it answers");
    assert!(is_about(HOUR * 20), "{:?}", left());
    for session in [&short, &long] {
        assert!(store.end(session.user, session.id).await.expect("it answers"));
    }
    assert_eq!(redis.cli(&["EXISTS", &key]), "0");
    // What is over when it is made is gone at once.
    let mut over = session_of(long.user);
    over.idle_at = now() - HOUR;
    store.create(&over, 9).await.expect("it answers");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(redis.cli(&["EXISTS", &key]), "0");
}

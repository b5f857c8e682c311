//! Nodes with different clocks: the database's clock decides.

use std::time::Duration;

use goat_core::session::SessionEpoch;
use goat_core::store::sql::PostgresOptions;
use goat_core::store::{Revoked, Rotated};
use goat_core::{PageRequest, Timestamp, UserId};
use goat_engines::Postgres;

use crate::postgres::support::{name, now, open, rotation, session};

const MINUTE: Duration = Duration::from_secs(60);

fn is_about(moment: Timestamp, expected: Timestamp) -> bool {
    moment.since(expected) < MINUTE / 2 && expected.since(moment) < MINUTE / 2
}

/// R1, R3: whichever node's clock is behind, the predecessor receives the same successor within the
/// grace period.
#[tokio::test]
async fn a_predecessor_is_accepted_by_a_node_with_another_clock() {
    let url = Postgres::shared().create_database();
    let options = PostgresOptions::new(url);
    let (one, other) = (open(&options).await.sessions(), open(&options).await.sessions());
    let leeway = MINUTE / 2;
    for (first, second) in [(now() - MINUTE, now() + MINUTE), (now() + MINUTE, now() - MINUTE)] {
        let session = session(UserId::generate(now()));
        one.create(&session, 9).await.expect("the store responds");
        let used = rotation(&session, session.current.id, first, leeway);
        let Rotated::Rotated(rotated) = one.rotate(&used).await.expect("the store responds") else {
            panic!("it was current");
        };
        let used_at = rotated.previous.expect("a predecessor").used_at;
        assert!(is_about(used_at, now()), "{used_at:?}");
        assert_eq!(rotated.last_used_at, used_at);
        let again = rotation(&session, session.current.id, second, leeway);
        let again = other.rotate(&again).await.expect("the store responds");
        assert_eq!(again, Rotated::Repeated(rotated));
    }
}

/// R2: a node whose clock is ahead does not extend the grace period.
#[tokio::test]
async fn a_clock_that_is_ahead_does_not_extend_the_grace_period() {
    let url = Postgres::shared().create_database();
    let options = PostgresOptions::new(url);
    let (one, other) = (open(&options).await.sessions(), open(&options).await.sessions());
    let leeway = Duration::from_millis(100);
    let session = session(UserId::generate(now()));
    one.create(&session, 9).await.expect("the store responds");
    let used = rotation(&session, session.current.id, now() + MINUTE, leeway);
    let Rotated::Rotated(rotated) = one.rotate(&used).await.expect("the store responds") else {
        panic!("it was current");
    };
    tokio::time::sleep(leeway).await;
    let late = rotation(&session, session.current.id, now(), leeway);
    let late = other.rotate(&late).await.expect("the store responds");
    assert_eq!(late, Rotated::Reused(rotated));
}

/// R6: sessions expire by the database's clock.
#[tokio::test]
async fn sessions_expire_by_the_databases_clock() {
    let sessions = open(&PostgresOptions::new(Postgres::shared().create_database())).await;
    let sessions = sessions.sessions();
    let user = UserId::generate(now());
    let session = session(user);
    sessions.create(&session, 9).await.expect("the store responds");
    let (epoch, page) = (SessionEpoch::default(), PageRequest::default());
    let tomorrow = now() + Duration::from_secs(48 * 3600);

    assert_eq!(sessions.purge(tomorrow, 9).await.expect("the store responds"), 0);
    let listed = sessions.list(user, epoch, tomorrow, page).await.expect("the store responds");
    assert_eq!((listed.total, listed.items), (1, vec![session.clone()]));
    let late = rotation(&session, session.current.id, tomorrow, MINUTE);
    let mut rotated = late.clone();
    rotated.successor = crate::postgres::support::token(now());
    let rotated = sessions.rotate(&rotated).await.expect("the store responds");
    assert!(matches!(rotated, Rotated::Rotated(_)), "{rotated:?}");
    let ended = sessions.revoke(user, epoch, tomorrow, &[session.id]).await;
    assert_eq!(ended.expect("the store responds"), Revoked::All(1));

    // Conversely, a session that is expired by the database's clock is expired for a node that is
    // behind.
    let mut over = crate::postgres::support::session(user);
    (over.idle_at, over.ends_at) = (now() - MINUTE, now() - MINUTE);
    over.current.expires_at = over.idle_at;
    sessions.create(&over, 9).await.expect("the store responds");
    let yesterday = now() - Duration::from_secs(24 * 3600);
    let listed = sessions.list(user, epoch, yesterday, page).await.expect("the store responds");
    assert_eq!(listed.total, 0);
    let ended = sessions.revoke(user, epoch, yesterday, &[over.id]).await;
    assert_eq!(ended.expect("the store responds"), Revoked::Missing);
    let unknown = rotation(&over, over.current.id, yesterday, MINUTE);
    assert_eq!(sessions.rotate(&unknown).await.expect("the store responds"), Rotated::Unknown);
    let ended = sessions.revoke_all(user, epoch, yesterday, None).await;
    assert_eq!(ended.expect("the store responds"), 0);
    sessions.create(&over, 9).await.expect("the store responds");
    assert_eq!(sessions.purge(yesterday, 9).await.expect("the store responds"), 1);
}

/// R1, R2: a rotation that waited for another uses the time at which it got the lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_uses_the_time_at_which_it_got_the_lock() {
    let server = Postgres::shared();
    let url = server.create_database();
    let sessions = open(&PostgresOptions::new(url.as_str())).await.sessions();
    let session = session(UserId::generate(now()));
    sessions.create(&session, 9).await.expect("the store responds");
    let hold = "BEGIN; SELECT FROM goat_sessions FOR UPDATE; SELECT pg_advisory_lock(7); \
                SELECT pg_sleep(0.5); \
                SELECT FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000); ROLLBACK";
    let database = name(&url).to_owned();
    let holder = std::thread::spawn({
        let database = database.clone();
        move || server.psql(&database, hold)
    });
    let held = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database \
                WHERE locktype = 'advisory' AND datname = current_database()";
    while server.psql(&database, held) == "0" {}
    let request = rotation(&session, session.current.id, now(), MINUTE);
    let Rotated::Rotated(rotated) = sessions.rotate(&request).await.expect("an answer") else {
        panic!("it was current");
    };
    let output = holder.join().expect("the lock was held");
    let released: i64 = output.lines().last().expect("a time").parse().expect("a number");
    assert!(rotated.last_used_at.as_millis() >= released, "{rotated:?} {released}");
}

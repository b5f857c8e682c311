//! Callers who go away at every moment there is: a connection never stays in the middle of what they
//! began.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use goat_core::session::{Rotated, SessionEpoch};
use goat_core::store::sql::PostgresOptions;
use goat_core::user::{UserQuery, UserStore};
use goat_core::{PageRequest, Timestamp, UserId};
use goat_engines::Postgres;

use crate::support::{Patience, account, name, now, open, put, role, rotation, session};

/// More often than the longest of the calls is polled.
const POLLS: usize = 40;

/// Polls a future so many times at most, and drops it then; answers whether it was done.
async fn polled<F: Future>(future: F, times: usize) -> bool {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|context| {
        if polls == times {
            return Poll::Ready(false);
        }
        polls += 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

/// The one connection of one handle, looked at by another.
struct Watched {
    users: Arc<dyn UserStore>,
    observer: Arc<dyn UserStore>,
    id: UserId,
    time: i64,
    done: usize,
}

impl Watched {
    /// Drops a call at this moment, and makes sure that what comes next on the connection is not part
    /// of a transaction that nobody will ever end.
    async fn drops<F: Future>(&mut self, call: F, times: usize) {
        self.done += usize::from(polled(call, times).await);
        self.time += 1;
        let time = Timestamp::from_millis(self.time);
        self.users.signed_in(self.id, time, None).await.expect("the connection is free");
        let seen = self.observer.by_id(self.id).await.expect("the store answers");
        assert_eq!(seen.expect("the user").user.last_login_at, Some(time), "after {times} polls");
    }
}

/// O1: whole or nothing, and with one connection for all, the next call gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_dropped_at_every_moment_leave_no_transaction_behind() {
    let server = Postgres::shared();
    for prepared_statements in [true, false] {
        let url = server.create_database();
        let options = PostgresOptions {
            connections: 1,
            prepared_statements,
            acquire_timeout: Duration::from_secs(20),
            ..PostgresOptions::new(url.as_str())
        };
        let database = open(&options).await;
        let (users, sessions, roles) = (database.users(), database.sessions(), database.roles());
        let mut owner = account(&role("client"));
        put(&users, None, &owner).await.expect("the store answers");
        let id = owner.user.id;
        let query =
            UserQuery { filter: Default::default(), hidden_roles: Vec::new(), except: Some(id) };
        let (epoch, page, leeway) =
            (SessionEpoch::default(), PageRequest::default(), Duration::from_secs(60));

        let observer = open(&options).await.users();
        let time = now().as_millis();
        let mut watched = Watched { users: Arc::clone(&users), observer, id, time, done: 0 };
        for times in 0..POLLS {
            let session = session(id);
            sessions.create(&session, 99).await.expect("the connection is free");
            let used = rotation(&session, session.current.id, now(), leeway);
            let another = crate::support::session(id);
            owner.epoch.number += 1;
            watched.drops(put(&users, Some(id), &owner), times).await;
            let written = users.by_id(id).await.expect("the connection is free").expect("the user");
            assert!(owner.epoch.number - written.epoch.number <= 1, "{written:?}");
            owner.epoch = written.epoch;
            watched.drops(users.list(&query), times).await;
            watched.drops(users.signed_in(id, Timestamp::default(), None), times).await;
            watched.drops(sessions.find(id, session.id), times).await;
            watched.drops(sessions.rotate(&used), times).await;
            watched.drops(sessions.create(&another, 99), times).await;
            watched.drops(sessions.list(id, epoch, now(), page), times).await;
            watched.drops(sessions.purge(Timestamp::default(), 9), times).await;
            watched.drops(roles.load(), times).await;
            // Rotated or not, the client that lost the answer is not logged out.
            let again = sessions.rotate(&used).await.expect("the connection is free");
            assert!(matches!(again, Rotated::Rotated(_) | Rotated::Repeated(_)), "{again:?}");
            watched.drops(sessions.end(id, session.id), times).await;
            watched.drops(sessions.revoke_all(id, epoch, now(), None), times).await;
            sessions.revoke_all(id, epoch, now(), None).await.expect("the connection is free");
            let found = sessions.find(id, another.id).await.expect("the connection is free");
            assert!(found.is_none(), "a call that was dropped came back");
        }
        // The last rounds were not cut short: the moments of the longest call were all tried.
        assert!(watched.done > 10 * 11, "{} calls came to their end", watched.done);

        let patience = Patience::of(20);
        let idle = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' \
             AND state LIKE 'idle in transaction%'",
            name(&url)
        );
        while server.psql("postgres", &idle) != "0" {
            assert!(!patience.is_over(), "a transaction was left open");
        }
    }
}

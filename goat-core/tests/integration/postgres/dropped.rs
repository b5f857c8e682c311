//! Calls dropped at every await: no connection is left in a transaction.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use goat_core::Secret;
use goat_core::challenge::{ATTEMPTS, Challenge, Purpose, Subject};
use goat_core::session::SessionEpoch;
use goat_core::store::sql::PostgresOptions;
use goat_core::store::{Rotated, UserStore};
use goat_core::user::UserQuery;
use goat_core::{ChallengeId, PageRequest, Timestamp, UserId};
use goat_engines::Postgres;

use crate::postgres::support::{Deadline, account, name, now, open, put, role, rotation, session};

/// Above the number of polls of the longest call.
const POLLS: usize = 40;

/// Polls a future at most `times` times, then drops it; returns whether it completed.
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

/// A handle with one connection, observed by another handle.
struct Watched {
    users: Arc<dyn UserStore>,
    observer: Arc<dyn UserStore>,
    id: UserId,
    time: i64,
    done: usize,
}

impl Watched {
    /// Drops a call after `times` polls, and checks that the next operation on the connection is
    /// not part of an abandoned transaction.
    async fn drops<F: Future>(&mut self, call: F, times: usize) {
        self.done += usize::from(polled(call, times).await);
        self.time += 1;
        let time = Timestamp::from_millis(self.time);
        self.users.signed_in(self.id, time, None).await.expect("the connection is free");
        let seen = self.observer.by_id(self.id).await.expect("the store responds");
        assert_eq!(seen.expect("the user").user.last_login_at, Some(time), "after {times} polls");
    }
}

fn challenge(user: UserId) -> Challenge {
    Challenge {
        id: ChallengeId::generate(now()),
        purpose: Purpose::PendingSignIn,
        user: Some(user),
        epoch: 0,
        link: Some([1; 32]),
        code: None,
        attempts_left: ATTEMPTS,
        made_at: now(),
        expires_at: now() + Duration::from_secs(600),
        payload: Secret::new(Vec::new()),
    }
}

/// O1: all or nothing, and the next call gets the only connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_calls_leave_no_open_transaction() {
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
        put(&users, None, &owner).await.expect("the store responds");
        let id = owner.user.id;
        let query =
            UserQuery { filter: Default::default(), hidden_roles: Vec::new(), except: Some(id) };
        let challenges = database.challenges();
        let subject = Subject::user(id);
        let (epoch, page, leeway) =
            (SessionEpoch::default(), PageRequest::default(), Duration::from_secs(60));

        let observer = open(&options).await.users();
        let time = now().as_millis();
        let mut watched = Watched { users: Arc::clone(&users), observer, id, time, done: 0 };
        for times in 0..POLLS {
            let session = session(id);
            sessions.create(&session, 99).await.expect("the connection is free");
            let used = rotation(&session, session.current.id, now(), leeway);
            let another = crate::postgres::support::session(id);
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
            let (challenge, purpose) = (challenge(id), Purpose::PendingSignIn);
            watched.drops(challenges.put(&challenge, &subject, 1), times).await;
            challenges.put(&challenge, &subject, 1).await.ok();
            watched.drops(challenges.find(challenge.id, purpose, now()), times).await;
            watched.drops(challenges.attempt(challenge.id, purpose, now()), times).await;
            watched.drops(challenges.purge(now(), 9), times).await;
            watched.drops(challenges.take(challenge.id), times).await;
            watched.drops(challenges.remove_all(id, None), times).await;
            // Rotated or not, a client that lost the response is not logged out.
            let again = sessions.rotate(&used).await.expect("the connection is free");
            assert!(matches!(again, Rotated::Rotated(_) | Rotated::Repeated(_)), "{again:?}");
            watched.drops(sessions.end(id, session.id), times).await;
            watched.drops(sessions.revoke_all(id, epoch, now(), None), times).await;
            sessions.revoke_all(id, epoch, now(), None).await.expect("the connection is free");
            let found = sessions.find(id, another.id).await.expect("the connection is free");
            assert!(found.is_none(), "a dropped call took effect later");
        }
        // The last rounds ran to completion: every await of the longest call was tried.
        assert!(watched.done > 10 * 17, "{} calls completed", watched.done);

        let deadline = Deadline::after(20);
        let idle = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' \
             AND state LIKE 'idle in transaction%'",
            name(&url)
        );
        while server.psql("postgres", &idle) != "0" {
            assert!(!deadline.has_passed(), "a transaction was left open");
        }
    }
}

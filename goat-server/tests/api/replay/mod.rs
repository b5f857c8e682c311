//! The same requests on SQLite and memory, on PostgreSQL, on PostgreSQL and Redis, and on two nodes of
//! those in turn are given the same answers, byte for byte but for what is random.
//!
//! A scenario is written once. Each run of it makes a transcript: every request, and of its answer the
//! status, all headers and the body. Ids and tokens are replaced by names in the order in which they
//! appear, and what is signed in a token is shown beside it. Times are compared as they are, since
//! the clock is the test's.

#[path = "../common/mod.rs"]
mod common;

mod difference;
mod failing;
mod names;
mod play;
mod scenarios;

use std::collections::BTreeSet;

use common::{Ground, Setup};
use difference::difference;
use goat_server::router::table;
use play::{Exchange, Grounds, Play};

/// What the server may stand on.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Memory,
    Sqlite,
    Postgres,
    Engines,
    /// Two nodes of it, asked in turn.
    Nodes,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "SQLite and memory",
            Self::Postgres => "PostgreSQL and memory",
            Self::Engines => "PostgreSQL and Redis",
            Self::Nodes => "two nodes on PostgreSQL and Redis",
        }
    }

    async fn grounds(self) -> Grounds {
        match self {
            Self::Memory => Ground::memory().into(),
            Self::Sqlite => Ground::sqlite().await.into(),
            Self::Postgres => Ground::postgres().into(),
            Self::Engines => Ground::engines().into(),
            Self::Nodes => {
                let first = Ground::engines();
                Grounds { second: Some(first.neighbour()), first }
            }
        }
    }
}

/// The transcript of a scenario on a ground.
async fn transcript(
    grounds: impl Into<Grounds>,
    change: impl Fn(&mut Setup),
    scenario: impl AsyncFn(&mut Play),
) -> Vec<Exchange> {
    let mut play = Play::on(grounds.into(), change).await;
    scenario(&mut play).await;
    play.into_transcript()
}

/// Each scenario with what it changes of the setup: a test of its own, and its part of all of them.
macro_rules! replayed {
    ($($theme:ident :: $scenario:ident ($change:expr)),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $scenario() {
                let scenario = scenarios::$theme::$scenario;
                let reference = transcript(Kind::Sqlite.grounds().await, $change, scenario).await;
                assert!(reference.len() >= 10, "{} requests are none", reference.len());
                for kind in [Kind::Memory, Kind::Postgres, Kind::Engines, Kind::Nodes] {
                    let replayed = transcript(kind.grounds().await, $change, scenario).await;
                    let sides = (Kind::Sqlite.name(), &*reference);
                    if let Some(difference) = difference(sides, (kind.name(), &replayed)) {
                        panic!("{}: {difference}", stringify!($scenario));
                    }
                }
            }
        )*

        /// Every scenario, in memory.
        async fn all() -> Vec<Exchange> {
            let mut all = Vec::new();
            $(
                let scenario = scenarios::$theme::$scenario;
                all.extend(transcript(Ground::memory(), $change, scenario).await);
            )*
            all
        }
    };
}

const AS_IS: fn(&mut Setup) = |_| {};

replayed![
    signing::people_sign_up(AS_IS),
    signing::people_sign_in_or_not(AS_IS),
    tokens::tokens_are_refreshed_and_reused(AS_IS),
    tokens::tokens_and_sessions_run_out(AS_IS),
    tokens::services_ask_what_a_token_may(AS_IS),
    sessions::sessions_are_listed_and_ended(AS_IS),
    sessions::too_many_sessions_end_the_oldest(|setup| setup.goat.sessions_per_user = 3),
    users::users_are_made_changed_and_deleted(AS_IS),
    users::users_are_searched_sorted_and_paged(AS_IS),
    users::people_change_themselves(AS_IS),
    access::users_are_let_in_and_shut_out(AS_IS),
    access::roles_change_under_way(AS_IS),
    access::permissions_are_granted_and_taken_away(AS_IS),
    limits::attempts_are_limited_by_address_and_account(Setup::shipped_limits),
    limits::requests_are_limited_by_user_address_and_path(|setup| {
        setup.shipped_limits();
        setup.limits.user = Some(goat_core::Quota::per_minute(4));
        setup.limits.address = Some(goat_core::Quota::per_minute(12));
        setup.limits.public = Some(goat_core::Quota::per_minute(3));
        setup.limits.refresh = Some(goat_core::Quota::per_minute(2));
    }),
    wrong::requests_are_wrong_at_the_door(AS_IS),
    wrong::bodies_and_queries_are_wrong(AS_IS),
    wrong::what_anyone_may_see(AS_IS),
];

/// What is shown of the process itself, and differs.
const NOT_REPLAYED: [&str; 1] = ["GET /api/metrics"];

#[tokio::test]
async fn every_route_and_nearly_every_status_is_replayed() {
    let all = all().await;
    let succeeded: Vec<_> = all.iter().filter(|exchange| exchange.status < 300).collect();
    let mut missing = BTreeSet::new();
    for endpoint in table() {
        let name = format!("{} {}", endpoint.method(), endpoint.path());
        let is_it = |line: &str| {
            let line = line.split('?').next().unwrap_or_default();
            let (one, other) = (line.split('/'), name.split('/'));
            one.clone().count() == other.clone().count()
                && one.zip(other).all(|(one, other)| one == other || other.starts_with('{'))
        };
        if !succeeded.iter().any(|exchange| is_it(&exchange.line)) {
            missing.insert(name);
        }
    }
    assert_eq!(missing, NOT_REPLAYED.map(str::to_owned).into());
    let statuses: BTreeSet<u16> = all.iter().map(|exchange| exchange.status).collect();
    let expected = [200, 201, 204, 400, 401, 403, 404, 405, 409, 413, 415, 429];
    assert!(statuses.is_superset(&expected.into()), "{statuses:?}");
}

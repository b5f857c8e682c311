//! The same requests on SQLite and memory, on PostgreSQL, on PostgreSQL and Redis, and on two nodes of
//! those in turn are given the same responses, byte for byte but for what is random.
//!
//! A scenario is written once. Each run of it makes a transcript: every request, and of its response the
//! status, all headers and the body. Ids and tokens are replaced by names in the order in which they
//! appear, and what is signed in a token is shown beside it. Times are compared as they are, since
//! the clock is the test's.

mod difference;
mod failing;
mod names;
mod play;
mod scenarios;

use std::collections::BTreeSet;

use goat_server::api::table;

use crate::support::app::Setup;
use crate::support::backend::Backend;
use difference::difference;
use play::{Exchange, NodeStores, Play};

/// The deployments that a scenario is replayed on, with the names that a difference shows.
const DEPLOYMENTS: [(&str, Deployment); 5] = [
    ("SQLite", Deployment::One(Backend::Sqlite)),
    ("memory", Deployment::One(Backend::Memory)),
    ("PostgreSQL", Deployment::One(Backend::Postgres)),
    ("PostgreSQL and Redis", Deployment::One(Backend::PostgresAndRedis)),
    ("two nodes on PostgreSQL and Redis", Deployment::Two),
];

#[derive(Clone, Copy, Debug)]
enum Deployment {
    One(Backend),
    /// Two nodes on PostgreSQL and Redis, which receive the requests in turn.
    Two,
}

impl Deployment {
    async fn open(self) -> NodeStores {
        match self {
            Self::One(backend) => backend.open().await.into(),
            Self::Two => {
                let first = Backend::PostgresAndRedis.open().await;
                NodeStores { second: Some(first.second_node()), first }
            }
        }
    }
}

/// Plays a scenario and returns its transcript.
async fn transcript(
    stores: impl Into<NodeStores>,
    change: impl Fn(&mut Setup),
    scenario: impl AsyncFn(&mut Play),
) -> Vec<Exchange> {
    let mut play = Play::on(stores.into(), change).await;
    scenario(&mut play).await;
    play.into_transcript()
}

/// The transcript of a scenario in memory.
async fn transcript_in_memory(
    change: impl Fn(&mut Setup),
    scenario: impl AsyncFn(&mut Play),
) -> Vec<Exchange> {
    transcript(Backend::Memory.open().await, change, scenario).await
}

/// Each scenario with what it changes of the setup: a test of its own, and its part of all of them.
macro_rules! replayed {
    ($($theme:ident :: $scenario:ident ($change:expr)),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $scenario() {
                let scenario = scenarios::$theme::$scenario;
                let [(name, deployment), others @ ..] = DEPLOYMENTS;
                let reference = transcript(deployment.open().await, $change, scenario).await;
                assert!(reference.len() >= 10, "only {} requests", reference.len());
                for (other, deployment) in others {
                    let replayed = transcript(deployment.open().await, $change, scenario).await;
                    if let Some(difference) = difference((name, &reference), (other, &replayed)) {
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
                all.extend(transcript_in_memory($change, scenario).await);
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

//! Replay suite: the same requests on every backend, and on two nodes, get the same responses, byte for
//! byte except for random values.
//!
//! A scenario is written once. Each run of it records a transcript: every request, with the status, all
//! headers and the body of its response. Ids and tokens are replaced by names in order of appearance,
//! and the content of each token is recorded beside it. Times are compared as they are, since the clock
//! is the test's.

mod difference;
mod names;
mod run;
mod scenarios;
mod seeded_faults;

use std::collections::BTreeSet;

use goat_server::api::table;

use crate::support::app::Setup;
use crate::support::backend::Backend;
use difference::difference;
use run::{Exchange, NodeStores, Run};

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

/// Runs a scenario and returns its transcript.
async fn transcript(
    stores: impl Into<NodeStores>,
    change: impl Fn(&mut Setup),
    scenario: impl AsyncFn(&mut Run),
) -> Vec<Exchange> {
    let mut run = Run::on(stores.into(), change).await;
    scenario(&mut run).await;
    run.into_transcript()
}

/// The transcript of a scenario in memory.
async fn transcript_in_memory(
    change: impl Fn(&mut Setup),
    scenario: impl AsyncFn(&mut Run),
) -> Vec<Exchange> {
    transcript(Backend::Memory.open().await, change, scenario).await
}

/// One test per scenario, with the change of the setup that it needs.
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

        /// The transcripts of all scenarios in memory.
        async fn all_transcripts() -> Vec<Exchange> {
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
    login::signup(AS_IS),
    login::login(AS_IS),
    login::second_factor(AS_IS),
    tokens::refresh_and_reuse(AS_IS),
    tokens::expiry(AS_IS),
    tokens::verify(AS_IS),
    tokens::introspection_and_revocation(AS_IS),
    mail::confirmed_signup(Setup::every_route),
    mail::recovery_and_sign_in(Setup::every_route),
    mail::addresses(Setup::every_route),
    mail::invitations(Setup::every_route),
    keys::own_keys(|setup| setup.goat.keys_per_user = 3),
    keys::keys_of_service_accounts(AS_IS),
    keys::use_of_keys(AS_IS),
    sessions::list_and_revoke_sessions(AS_IS),
    sessions::session_limit(|setup| setup.goat.sessions_per_user = 3),
    users::user_administration(AS_IS),
    users::user_list(AS_IS),
    users::service_accounts(AS_IS),
    users::own_account(|setup| {
        setup.goat.self_attributes = ["locale", "theme"].map(str::to_owned).to_vec();
    }),
    access::status_changes(AS_IS),
    access::role_changes(AS_IS),
    access::permissions(AS_IS),
    limits::login_limits(Setup::shipped_limits),
    limits::request_limits(|setup| {
        setup.shipped_limits();
        setup.limits.user = Some(goat_core::Quota::per_minute(4));
        setup.limits.address = Some(goat_core::Quota::per_minute(12));
        setup.limits.public = Some(goat_core::Quota::per_minute(3));
        setup.limits.refresh = Some(goat_core::Quota::per_minute(2));
    }),
    rejections::unroutable_and_unauthenticated_requests(AS_IS),
    rejections::invalid_bodies_and_queries(AS_IS),
    rejections::public_routes(Setup::every_route),
];

/// The metrics of the process, which differ.
const NOT_REPLAYED: [&str; 1] = ["GET /api/metrics"];

#[tokio::test]
async fn scenarios_cover_every_route_and_status() {
    let all = all_transcripts().await;
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

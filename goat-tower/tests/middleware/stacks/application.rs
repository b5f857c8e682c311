//! The test of an application that builds its own goat.

use axum::Router;
use axum::routing::{get, post};
use goat_core::token::TokenKeys;
use goat_core::{Actor, Goat, Permission, Quota, Stores};
use goat_tower::{GoatExt, Principal};
use http_body_util::Full;

use crate::support::connection::{Client, VERSIONS, serve, with_body};

const REPORTS: Permission = Permission::new("report:read");

async fn list(me: Principal) -> String {
    me.user().to_string()
}

async fn export(_: Principal) {}

fn app(goat: &Goat) -> Router {
    Router::new()
        .route("/reports", post(list).route_layer(goat.require(REPORTS)))
        .route("/exports", get(export).route_layer(goat.limit(Quota::per_minute(5)).by_user()))
        .layer(goat.authenticate())
        .layer(goat.limit(Quota::per_minute(300)).by_address())
}

#[tokio::test]
async fn test_users_have_a_real_bearer_token() {
    let goat = Goat::builder(Stores::memory(), TokenKeys::generate()).build().unwrap();
    // The application has its own roles; the requested permissions must belong to one.
    goat.roles().grant(Actor::system("start"), "client", REPORTS).await.unwrap();
    let alice = goat.testing().sign_in("alice", [REPORTS]).await;
    let bob = goat.testing().sign_in_as("bob", "operator").await;
    for version in VERSIONS {
        let mut client = Client::connect(version, serve(version, app(&goat)).await).await;
        let response = client.fetch(with_body(Some(&alice), Full::default())).await;
        assert_eq!(
            (response.status.as_u16(), response.body),
            (200, alice.user.id.to_string().into())
        );
        let response = client.fetch(with_body(Some(&bob), Full::default())).await;
        assert_eq!((response.status.as_u16(), response.code()), (403, "forbidden"));
        let response = client.fetch(with_body(None, Full::default())).await;
        assert_eq!((response.status.as_u16(), response.code()), (401, "unauthenticated"));
    }
    let me = goat.authenticate_token(alice.access_token()).await.unwrap();
    goat.logout(&me, &Default::default()).await.unwrap();
    let version = VERSIONS[0];
    let mut client = Client::connect(version, serve(version, app(&goat)).await).await;
    let response = client.fetch(with_body(Some(&alice), Full::default())).await;
    assert_eq!((response.status.as_u16(), response.code()), (401, "session-revoked"));
}

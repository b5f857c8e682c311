//! The contract for cookie authentication, with CSRF rejections.

use goat_core::Quota;
use goat_tower::GoatExt;

use super::layers::{WITH_LIMITS_HEADERS, World, world};
use super::{Case, Make, broken_promises};
use crate::cookie::{COOKIES, from_page, from_site};

/// A cross-site request with a cached user's cookie.
fn cross_site(world: &World) -> Option<Make> {
    let victim = world.alice.clone();
    Some(Box::new(move || from_site("cross-site", victim.access_token())))
}

#[tokio::test]
async fn authentication_by_cookie_keeps_the_contract() {
    let world = world(false).await;
    let case = Case {
        layer: world.test.goat.authenticate().cookies(COOKIES),
        allowed: world.cached_with(from_page),
        adds: &["cache-control"],
        rejected: cross_site(&world),
        store: world.store_by(from_page, &world.gone, false),
    };
    assert!((case.allowed)().headers().contains_key("cookie"));
    assert_eq!(broken_promises(&case).await, []);
}

#[tokio::test]
async fn authentication_by_cookie_with_limits_keeps_the_contract() {
    for remote in [false, true] {
        let world = world(remote).await;
        let goat = &world.test.goat;
        let limit = goat.limit(Quota::per_minute(100));
        let authenticate = goat.authenticate().cookies(COOKIES);
        let case = Case {
            layer: authenticate.limited(limit.clone().by_address(), limit.by_user()),
            allowed: world.cached_with(from_page),
            adds: WITH_LIMITS_HEADERS,
            rejected: if remote { None } else { cross_site(&world) },
            store: world.store_by(from_page, &world.gone, remote),
        };
        assert_eq!(broken_promises(&case).await, [], "{remote}");
    }
}

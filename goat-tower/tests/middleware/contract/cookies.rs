//! The same promises where the credentials are in a cookie, and where such a request is refused for
//! where it comes from.

use goat_core::Quota;
use goat_tower::GoatExt;

use super::layers::{ADMIT_HEADERS, World, world};
use super::{Case, Make, broken};
use crate::cookie::{COOKIES, from_page, from_site};

/// What another site's page makes a browser send whose user the cache knows.
fn foreign(world: &World) -> Option<Make> {
    let victim = world.alice.clone();
    Some(Box::new(move || from_site("cross-site", victim.access_token())))
}

#[tokio::test]
async fn authentication_by_cookie_keeps_the_contract() {
    let world = world(false).await;
    let case = Case {
        layer: world.test.goat.authenticate().cookies(COOKIES),
        allowed: world.known_by(from_page),
        adds: &["cache-control"],
        refused: foreign(&world),
        store: world.store_by(from_page, &world.gone, false),
    };
    assert!((case.allowed)().headers().contains_key("cookie"));
    assert_eq!(broken(&case).await, []);
}

#[tokio::test]
async fn admission_by_cookie_keeps_the_contract_wherever_limits_are() {
    for elsewhere in [false, true] {
        let world = world(elsewhere).await;
        let goat = &world.test.goat;
        let limit = goat.limit(Quota::per_minute(100));
        let authenticate = goat.authenticate().cookies(COOKIES);
        let case = Case {
            layer: authenticate.limited(limit.clone().by_address(), limit.by_user()),
            allowed: world.known_by(from_page),
            adds: ADMIT_HEADERS,
            refused: if elsewhere { None } else { foreign(&world) },
            store: world.store_by(from_page, &world.gone, elsewhere),
        };
        assert_eq!(broken(&case).await, [], "{elsewhere}");
    }
}

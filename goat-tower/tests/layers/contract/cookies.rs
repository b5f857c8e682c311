//! The same promises where the credentials are in a cookie, and where such a request is refused for
//! where it comes from.

use std::sync::Arc;

use goat_core::Quota;
use goat_core::testing::TestGoat;
use goat_tower::GoatExt;
use http::Request;

use super::{Case, admission, broken, known, unknown};
use crate::cookie::{COOKIES, from_page, from_site};
use crate::fixture::{REPORTS, Sent};

type Requests = Arc<dyn Fn() -> Request<Sent>>;

/// What somebody's page sends, and what another site's page makes their browser send.
async fn pages(test: &TestGoat) -> (Requests, Requests) {
    let alice = test.sign_in("alice", [REPORTS]).await;
    test.goat.authenticate_token(alice.access_token()).await.expect("a principal");
    let victim = alice.clone();
    let foreign = move || from_site("cross-site", victim.access_token());
    (Arc::new(move || from_page(&alice)), Arc::new(foreign))
}

#[tokio::test]
async fn authentication_by_cookie_keeps_the_contract() {
    let (test, switch, _) = known().await;
    let (own, foreign) = pages(&test).await;
    let (allowed, asked) = (Arc::clone(&own), Arc::clone(&own));
    let case = Case {
        layer: test.goat.authenticate().cookies(COOKIES),
        allowed: Box::new(move || allowed()),
        refused: Box::new(move || foreign()),
        asking: Some(unknown(&test, &move || asked())),
        store: Some(switch),
    };
    // Whatever asks a store does so from a page of the same origin.
    assert!(case.asking.as_ref().is_some_and(|ask| ask().headers().contains_key("cookie")));
    assert_eq!(broken(&case).await, []);
}

#[tokio::test]
async fn admission_by_cookie_keeps_the_contract_wherever_limits_are() {
    for elsewhere in [false, true] {
        let (test, switch, ..) = admission(elsewhere).await;
        let limit = test.goat.limit(Quota::per_minute(100));
        let (own, foreign) = pages(&test).await;
        let (allowed, asked) = (Arc::clone(&own), Arc::clone(&own));
        let authenticate = test.goat.authenticate().cookies(COOKIES);
        let case = Case {
            layer: authenticate.limited(limit.clone().by_address(), limit.by_user()),
            allowed: Box::new(move || allowed()),
            refused: Box::new(move || foreign()),
            asking: Some(unknown(&test, &move || asked())),
            store: Some(switch),
        };
        assert_eq!(broken(&case).await, [], "{elsewhere}");
    }
}

//! The inner service's error type passes every layer unchanged.

use std::convert::Infallible;

use bytes::Bytes;
use goat_core::Quota;
use goat_core::testing::{TestGoat, TestUser};
use goat_tower::GoatExt;
use goat_tower::address::{ClientAddressLayer, PeerAddress};
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use crate::support::connection::REPORTS;

type Sent = Full<Bytes>;

/// An application's error type: no `std::error::Error`, no conversions, not `Clone`.
#[derive(Debug, PartialEq)]
enum Own {
    Broken(u8),
}

/// The signature requires the error type `E`.
async fn error<S, R, E>(service: S, user: &TestUser) -> Option<E>
where
    S: Service<Request<Sent>, Response = Response<R>, Error = E>,
{
    let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
    let request = Request::builder().header("authorization", user.bearer()).extension(peer);
    service.oneshot(request.body(Full::default()).unwrap()).await.err()
}

/// Returns the errors from each layer.
async fn through_every_layer<S, E>(inner: S) -> Vec<Option<E>>
where
    S: Service<Request<Sent>, Response = Response<Sent>, Error = E> + Clone,
{
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let goat = &test.goat;
    let limit = goat.limit(Quota::per_minute(9)).by_address();
    let with_limits = goat.authenticate().limited(limit.clone(), limit.clone());
    vec![
        error(goat.authenticate().layer(inner.clone()), &alice).await,
        error(goat.authenticate().optional().layer(inner.clone()), &alice).await,
        error(goat.require(REPORTS).layer(inner.clone()), &alice).await,
        error(goat.require(REPORTS).fresh().layer(inner.clone()), &alice).await,
        error(limit.layer(inner.clone()), &alice).await,
        error(with_limits.layer(inner.clone()), &alice).await,
        error(ClientAddressLayer::new().layer(inner.clone()), &alice).await,
        error(with_limits.layer(goat.require(REPORTS).layer(limit.layer(inner))), &alice).await,
    ]
}

#[tokio::test]
async fn custom_errors_pass_unchanged() {
    let inner = service_fn(async |_| Err::<Response<Sent>, _>(Own::Broken(7)));
    for error in through_every_layer(inner).await {
        assert_eq!(error, Some(Own::Broken(7)));
    }
}

#[tokio::test]
async fn boxed_errors_are_not_boxed_again() {
    #[derive(Debug)]
    struct Known;
    impl std::fmt::Display for Known {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("known")
        }
    }
    impl std::error::Error for Known {}

    let inner = service_fn(async |_| Err::<Response<Sent>, BoxError>(Box::new(Known)));
    for error in through_every_layer(inner).await {
        assert!(error.unwrap().is::<Known>(), "not boxed again");
    }
}

#[tokio::test]
async fn infallible_services_stay_infallible() {
    let inner = service_fn(async |_| Ok::<_, Infallible>(Response::new(Sent::default())));
    for error in through_every_layer(inner).await {
        let None::<Infallible> = error;
    }
}

//! Layers stacked as in a service, over several error and body types.

use std::convert::Infallible;

use bytes::Bytes;
use goat_core::Quota;
use goat_core::testing::{TestGoat, TestUser};
use goat_tower::address::ClientAddressLayer;
use goat_tower::{GoatExt, ResponseBody};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::{
    EXPORTS, Mark, Odd, Probe, REPORTS, Sent, request, send, whoami, with_header,
};

/// The precedence of rejections: 429 by address, 400, 401, 429 by user, 403.
#[tokio::test]
async fn the_outermost_layer_rejects_first() {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    let bob = test.sign_in("bob", [EXPORTS]).await;
    let service = ServiceBuilder::new()
        .layer(test.goat.limit(Quota::per_minute(6)).by_address())
        .layer(test.goat.authenticate())
        .layer(test.goat.limit(Quota::per_minute(2)).by_user())
        .layer(test.goat.require(REPORTS))
        .service(whoami());
    let bad = || with_header("authorization", "Bearer nonsense");

    let response = send(&service, bad()).await;
    assert_eq!(response.outcome(), (401, "invalid-token"));
    assert_eq!(
        response.header("ratelimit"),
        r#""address";r=5;t=60"#,
        "only the address is charged"
    );
    let response = send(&service, request(Some(&bob))).await;
    assert_eq!(response.outcome(), (403, "forbidden"));
    assert_eq!(response.header("ratelimit"), r#""address";r=4;t=60, "user";r=1;t=60"#);
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
    assert_eq!(send(&service, request(Some(&bob))).await.outcome(), (403, "forbidden"));
    assert_eq!(send(&service, request(Some(&bob))).await.outcome(), (429, "rate-limited"));
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
    // The address's quota is exhausted, which precedes every other rejection.
    for rejected in [bad(), request(None), request(Some(&alice)), request(Some(&bob))] {
        let response = send(&service, rejected).await;
        assert_eq!(response.outcome(), (429, "rate-limited"));
        assert_eq!(response.header("ratelimit"), r#""address";r=0;t=60"#);
    }
}

/// All three layers, without naming a type.
fn protected<S, R>(
    test: &TestGoat,
    inner: S,
) -> impl Service<Request<Sent>, Response = Response<impl Sized + use<S, R>>, Error = S::Error> + Clone
where
    S: Service<Request<Sent>, Response = Response<R>> + Clone,
{
    ServiceBuilder::new()
        .layer(ClientAddressLayer::new())
        .layer(test.goat.limit(Quota::per_minute(60)).by_address())
        .layer(test.goat.authenticate())
        .layer(test.goat.require(REPORTS))
        .service(inner)
}

async fn alice() -> (TestGoat, TestUser) {
    let test = TestGoat::new();
    let alice = test.sign_in("alice", [REPORTS]).await;
    (test, alice)
}

#[tokio::test]
async fn errors_of_the_inner_service_pass_unchanged() {
    let (test, alice) = alice().await;
    let mut fails = request(Some(&alice));
    fails.headers_mut().insert("x-fail", "1".parse().unwrap());
    let odd: Result<_, Odd> = protected(&test, Probe::default()).oneshot(fails).await;
    assert_eq!(odd.map(|_| ()).unwrap_err(), Odd::Failed);

    let boxed =
        service_fn(async |_: Request<Sent>| Err::<Response<Sent>, _>(BoxError::from("broken")));
    let error: Result<_, BoxError> = protected(&test, boxed).oneshot(request(Some(&alice))).await;
    assert_eq!(error.map(|_| ()).unwrap_err().to_string(), "broken");

    let never: Result<_, Infallible> =
        protected(&test, whoami()).oneshot(request(Some(&alice))).await;
    let Ok(response) = never;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_denial_is_a_response_not_an_error() {
    let (test, _) = alice().await;
    let response = protected(&test, Probe::default()).oneshot(request(None)).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_body_type_needs_no_body_trait() {
    struct NoBody;
    let (test, alice) = alice().await;
    let inner = service_fn(async |_: Request<Sent>| Ok::<_, Infallible>(Response::new(NoBody)));
    let service = test.goat.authenticate().layer(inner);
    let response: Response<ResponseBody<NoBody>> =
        service.oneshot(request(Some(&alice))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn allowed_requests_pass_unchanged_except_for_added_headers() {
    let (test, alice) = alice().await;
    let plain = send(&Probe::default(), request(Some(&alice))).await;
    let limit = test.goat.limit(Quota::per_minute(60)).by_address();
    let through = [
        (send(&test.goat.authenticate().layer(Probe::default()), request(Some(&alice))).await, 1),
        (send(&limit.layer(Probe::default()), request(Some(&alice))).await, 2),
        (
            send(
                &test.goat.require(REPORTS).fresh().layer(Probe::default()),
                request(Some(&alice)),
            )
            .await,
            1,
        ),
    ];
    for (response, added) in through {
        assert_eq!((response.status, &response.body), (plain.status, &plain.body));
        let mark = response.head.extensions().get::<Mark>();
        assert_eq!(mark, plain.head.extensions().get::<Mark>());
        let (new, old) = (response.head.headers(), plain.head.headers());
        assert_eq!(new.len(), old.len() + added);
        for name in old.keys() {
            assert!(new.get_all(name).iter().eq(old.get_all(name)), "{name}");
        }
    }
}

/// H1: regardless of the service's own headers, and of the responding layer.
#[tokio::test]
async fn responses_to_credentials_have_one_no_store_header() {
    let (test, alice) = alice().await;
    let inner = service_fn(async |_: Request<Sent>| {
        let response = Response::builder().header("cache-control", "public, max-age=60");
        Ok::<_, Infallible>(response.body(Sent::default()).unwrap())
    });
    let goat = &test.goat;
    let by_address = goat.limit(Quota::per_minute(60)).by_address();
    let responses = [
        send(&goat.authenticate().layer(inner), request(Some(&alice))).await,
        send(&goat.authenticate().optional().layer(inner), request(Some(&alice))).await,
        send(&goat.require(REPORTS).layer(inner), request(Some(&alice))).await,
        send(&goat.require(EXPORTS).layer(inner), request(Some(&alice))).await,
        send(&goat.require(REPORTS).fresh().layer(inner), request(Some(&alice))).await,
        send(
            &goat.authenticate().limited(by_address.clone(), None).layer(inner),
            request(Some(&alice)),
        )
        .await,
    ];
    for response in responses {
        let cache_control = response.head.headers().get_all("cache-control").iter();
        assert!(cache_control.eq(["no-store"]), "{response:?}");
    }
    for unchanged in [
        send(&goat.authenticate().optional().layer(inner), request(None)).await,
        send(&by_address.layer(inner), request(Some(&alice))).await,
    ] {
        let cache_control = unchanged.header("cache-control");
        assert_eq!(cache_control, "public, max-age=60", "the response is not personal");
    }
}

#[tokio::test]
async fn the_request_body_passes_unchanged() {
    let (test, alice) = alice().await;
    let bytes = Bytes::from(vec![7; 4096]);
    let address = bytes.as_ptr();
    let inner = service_fn(move |request: Request<Sent>| {
        use http_body_util::BodyExt;
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.as_ptr(), address);
            Ok::<_, Infallible>(Response::new(Full::new(body)))
        }
    });
    let mut request = request(Some(&alice));
    *request.body_mut() = Full::new(bytes);
    let response = send(&test.goat.require(REPORTS).layer(inner), request).await;
    assert_eq!((response.status.as_u16(), response.body.len()), (200, 4096));
}

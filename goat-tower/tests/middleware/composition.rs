//! The layers stacked as a service stacks them, over several kinds of errors and bodies.

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

/// Which answer wins: 429 by address, 400, 401, 429 by user, 403.
#[tokio::test]
async fn a_request_is_refused_by_the_outermost_reason() {
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

    let answer = send(&service, bad()).await;
    assert_eq!(answer.outcome(), (401, "invalid-token"));
    assert_eq!(answer.header("ratelimit"), r#""address";r=5;t=60"#, "the address alone is charged");
    let answer = send(&service, request(Some(&bob))).await;
    assert_eq!(answer.outcome(), (403, "forbidden"));
    assert_eq!(answer.header("ratelimit"), r#""address";r=4;t=60, "user";r=1;t=60"#);
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
    assert_eq!(send(&service, request(Some(&bob))).await.outcome(), (403, "forbidden"));
    assert_eq!(send(&service, request(Some(&bob))).await.outcome(), (429, "rate-limited"));
    assert_eq!(send(&service, request(Some(&alice))).await.outcome(), (200, ""));
    // The address has nothing left now, and that wins over whatever else is wrong.
    for late in [bad(), request(None), request(Some(&alice)), request(Some(&bob))] {
        let answer = send(&service, late).await;
        assert_eq!(answer.outcome(), (429, "rate-limited"));
        assert_eq!(answer.header("ratelimit"), r#""address";r=0;t=60"#);
    }
}

/// All three, as one layer. Nobody names a type.
fn guarded<S, R>(
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
async fn any_error_of_the_inner_service_comes_out_as_it_is() {
    let (test, alice) = alice().await;
    let mut fails = request(Some(&alice));
    fails.headers_mut().insert("x-fail", "1".parse().unwrap());
    let odd: Result<_, Odd> = guarded(&test, Probe::default()).oneshot(fails).await;
    assert_eq!(odd.map(|_| ()).unwrap_err(), Odd::Failed);

    let boxed =
        service_fn(async |_: Request<Sent>| Err::<Response<Sent>, _>(BoxError::from("broken")));
    let error: Result<_, BoxError> = guarded(&test, boxed).oneshot(request(Some(&alice))).await;
    assert_eq!(error.map(|_| ()).unwrap_err().to_string(), "broken");

    let never: Result<_, Infallible> =
        guarded(&test, whoami()).oneshot(request(Some(&alice))).await;
    let Ok(response) = never;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_denial_is_an_answer_and_no_error_of_the_service() {
    let (test, _) = alice().await;
    let response = guarded(&test, Probe::default()).oneshot(request(None)).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_body_need_not_even_be_one() {
    struct NoBody;
    let (test, alice) = alice().await;
    let inner = service_fn(async |_: Request<Sent>| Ok::<_, Infallible>(Response::new(NoBody)));
    let service = test.goat.authenticate().layer(inner);
    let response: Response<ResponseBody<NoBody>> =
        service.oneshot(request(Some(&alice))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_allowed_passes_unchanged_but_for_the_headers_of_the_layers() {
    let (test, alice) = alice().await;
    let plain = send(&Probe::default(), request(Some(&alice))).await;
    let limit = test.goat.limit(Quota::per_minute(60)).by_address();
    let through = [
        (send(&test.goat.authenticate().layer(Probe::default()), request(Some(&alice))).await, 1),
        (send(&limit.layer(Probe::default()), request(Some(&alice))).await, 5),
        (
            send(
                &test.goat.require(REPORTS).fresh().layer(Probe::default()),
                request(Some(&alice)),
            )
            .await,
            1,
        ),
    ];
    for (answer, added) in through {
        assert_eq!((answer.status, &answer.body), (plain.status, &plain.body));
        let mark = answer.response.extensions().get::<Mark>();
        assert_eq!(mark, plain.response.extensions().get::<Mark>());
        let (new, old) = (answer.response.headers(), plain.response.headers());
        assert_eq!(new.len(), old.len() + added);
        for name in old.keys() {
            assert!(new.get_all(name).iter().eq(old.get_all(name)), "{name}");
        }
    }
}

/// H1: whatever the service says of caches, and whoever answers.
#[tokio::test]
async fn what_answers_credentials_is_kept_by_no_cache_and_that_is_said_once() {
    let (test, alice) = alice().await;
    let inner = service_fn(async |_: Request<Sent>| {
        let response = Response::builder().header("cache-control", "public, max-age=60");
        Ok::<_, Infallible>(response.body(Sent::default()).unwrap())
    });
    let goat = &test.goat;
    let by_address = goat.limit(Quota::per_minute(60)).by_address();
    let answers = [
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
    for answer in answers {
        let said = answer.response.headers().get_all("cache-control").iter();
        assert!(said.eq(["no-store"]), "{answer:?}");
    }
    for layered in [
        send(&goat.authenticate().optional().layer(inner), request(None)).await,
        send(&by_address.layer(inner), request(Some(&alice))).await,
    ] {
        let said = layered.header("cache-control");
        assert_eq!(
            said, "public, max-age=60",
            "that layer is not for it, or there is nothing to hide"
        );
    }
}

#[tokio::test]
async fn the_body_of_a_request_is_not_touched() {
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
    let answer = send(&test.goat.require(REPORTS).layer(inner), request).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 4096));
}

//! Allocations per request: a guard against regressions that needs no clock.
//!
//! The whole API is counted, from the prepared request to the response and its body, without the
//! connection: with a cached session, limits in memory, and no subscriber for the log. The budget is in
//! `.ci/budgets/allocations.txt`.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use goat_tower::address::PeerAddress;
use http::{Method, Request, Response};
use http_body::Body as _;
use tower::Service;

use crate::support::app::TestApp;

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/budgets/allocations.txt");

/// Requests after which no table of the server grows for the next ones.
const WARM_UP: usize = 600;

fn request(method: &Method, path: &str, token: Option<&str>) -> Request<Body> {
    let peer = PeerAddress(([192, 0, 2, 7], 4711).into());
    let mut request = Request::builder().method(method).uri(path).extension(peer);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.header("host", "localhost").body(Body::empty()).expect("a request")
}

/// Counts the allocations of one request, which completes at the first poll.
fn count<S, B>(api: &mut S, request: Request<Body>) -> (u16, u64)
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: http_body::Body,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(api.poll_ready(&mut context).is_ready());
    let mut request = Some(request);
    let mut status = 0;
    let counted = allocation_counter::measure(|| {
        let request = request.take().expect("one call");
        if let Poll::Ready(Ok(response)) = pin!(api.call(request)).poll(&mut context) {
            status = response.status().as_u16();
            let mut body = pin!(response.into_body());
            while !body.is_end_stream() {
                assert!(body.as_mut().poll_frame(&mut context).is_ready());
            }
        }
    });
    (status, counted.count_total)
}

#[tokio::test]
async fn requests_stay_within_their_budget_of_allocations() {
    let app = TestApp::new().await;
    let user = app.client().await;
    app.goat.authenticate_token(&user.token).await.expect("a principal");
    let mut api = app.api.clone().into_service::<Body>();
    let budget = std::fs::read_to_string(BUDGET).expect("the budget");
    let mut deviations = Vec::new();
    for line in budget.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [method, path, credentials, ..] = columns[..] else { panic!("{line}") };
        let method = method.parse().expect("a method");
        let token = (credentials == "token").then_some(user.token.as_str());
        for _ in 0..WARM_UP {
            count(&mut api, request(&method, path, token));
        }
        // The least, since a table may still grow for a request now and then.
        let counts = (0..20).map(|_| count(&mut api, request(&method, path, token)));
        let (status, least) = counts.min_by_key(|(_, allocations)| *allocations).expect("a count");
        let found = format!("{method} {path} {credentials} {status} {least}");
        if found != line {
            deviations.push(found);
        }
    }
    assert!(deviations.is_empty(), "lower the budget, or mend the regression: {deviations:#?}");
}

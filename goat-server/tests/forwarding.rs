//! Whose word about a client's address counts: `GOAT_TRUSTED_PROXIES` and `GOAT_FORWARDED_HEADER`.

mod common;

use common::TestApp;
use goat_server::settings::ForwardedHeader;

const PROXY: &str = "10.1.2.3";
const FORWARDED: (&str, &str) = ("forwarded", "for=192.0.2.2");
const X_FORWARDED_FOR: (&str, &str) = ("x-forwarded-for", "192.0.2.2");

/// How many public requests are left to whoever sends this one through the peer, after another
/// client has sent one through the same peer.
async fn left(app: &TestApp, peer: &str, header: (&str, &str)) -> String {
    app.get("/api/docs").from(peer).send().await;
    let answer = app.get("/api/docs").from(peer).header(header.0, header.1).send().await;
    assert_eq!(answer.status, 200);
    answer.header("ratelimit").to_owned()
}

async fn app(header: ForwardedHeader) -> TestApp {
    TestApp::with(|setup| {
        setup.shipped_limits();
        setup.http.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        setup.http.forwarded_header = header;
    })
    .await
}

/// I3.
#[tokio::test]
async fn the_configured_header_of_a_trusted_proxy_names_the_client_and_no_other_does() {
    for (configured, header, named) in [
        (ForwardedHeader::XForwardedFor, X_FORWARDED_FOR, true),
        (ForwardedHeader::XForwardedFor, FORWARDED, false),
        (ForwardedHeader::Forwarded, FORWARDED, true),
        (ForwardedHeader::Forwarded, X_FORWARDED_FOR, false),
    ] {
        let left = left(&app(configured).await, PROXY, header).await;
        let expected = if named { "r=99" } else { "r=98" };
        assert!(left.contains(expected), "{configured:?} {header:?}: {left}");
    }
}

/// I3.
#[tokio::test]
async fn whoever_is_not_a_trusted_proxy_is_the_client() {
    let left =
        left(&app(ForwardedHeader::XForwardedFor).await, "192.0.2.99", X_FORWARDED_FOR).await;
    assert!(left.contains("r=98"), "{left}");
}

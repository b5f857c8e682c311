//! `GET /api/v1/auth/verify`.

use goat_core::key::Scopes;
use goat_core::{Permission, Quota};
use goat_server::start::settings::VerifyHeader;
use goat_tower::cookie::Cookies;
use http::Method;
use serde_json::json;

use super::VERIFY;
use crate::backends::on_every_backend;
use crate::support::app::{CLIENT, TestApp, TestRequest};
use crate::support::backend::Backend;

#[tokio::test]
async fn verify_returns_the_user_the_role_and_the_session_as_headers() {
    let app = TestApp::new().await;
    let operator = app.operator().await;
    let verify = |query: &str| app.get(&format!("{VERIFY}{query}")).bearer(&operator.token);
    for query in ["", "?permission=user:read", "?permission=user:read&permission=user:update"] {
        let response = verify(query).send().await;
        assert_eq!((response.status, response.body.len()), (204, 0), "{query}");
        assert_eq!(response.header("x-goat-user"), operator.id.to_string());
        assert_eq!(response.header("x-goat-role"), "operator");
        assert_eq!(response.header("x-goat-session"), operator.session.to_string());
        assert_eq!(response.header("x-goat-assurance"), "single");
        assert!(response.headers.contains_key("x-goat-key"), "a proxy overwrites the client's");
        assert_eq!(response.header("x-goat-key"), "");
    }
    let query = "?permission=user:read&permission=user:delete&permission=full_access";
    let response = verify(query).send().await;
    assert_eq!(response.failure(), (403, "forbidden"));
    let challenge = response.header("www-authenticate");
    assert!(challenge.ends_with(r#"scope="user:delete full_access""#), "{challenge}");
    assert_eq!(response.header("x-goat-user"), "");
    for query in ["?permission=", "?permission=User:read", "?permission=a:b&permission=x"] {
        let response = verify(query).send().await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), vec!["permission"])
        );
    }
}

on_every_backend!(verify_names_every_missing_permission_and_accepts_wildcards);

async fn verify_names_every_missing_permission_and_accepts_wildcards(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (admin, client) = (app.admin().await, app.client().await);
    let verify = async |token: &str, query: &str| {
        app.get(&format!("{VERIFY}{query}")).bearer(token).send().await
    };
    let body = json!({"role": "client", "action": "report:*"});
    let granted = app.post("/api/v1/permission").bearer(&admin.token).json(&body).send().await;
    assert_eq!(granted.status, 201);
    assert_eq!(verify(&client.token, "?permission=report:read").await.status, 204);
    assert_eq!(verify(&client.token, "?permission=report:*").await.status, 204);
    assert_eq!(verify(&admin.token, "?permission=any_resource:any_verb").await.status, 204);
    let rejected = verify(&client.token, "?permission=report:read&permission=user:read").await;
    assert_eq!(rejected.failure(), (403, "forbidden"));
    assert_eq!(
        rejected.header("www-authenticate"),
        r#"Bearer realm="goat", error="insufficient_scope", scope="user:read""#
    );
    let head = app.request(Method::HEAD, VERIFY).bearer(&client.token).send().await;
    assert_eq!((head.status, head.header("x-goat-user")), (204, client.id.to_string().as_str()));
    assert_eq!(app.get(VERIFY).send().await.failure(), (401, "unauthenticated"));
    assert_eq!(verify(&client.token, "?permissions=a:b").await.fields(), ["permissions"]);
}

/// K2: of an API key, and every header is there, for a proxy to overwrite that of the client.
#[tokio::test]
async fn verify_returns_the_key_and_empty_headers_of_the_session() {
    let app = TestApp::with(|setup| {
        setup.http.forward.headers = vec![VerifyHeader::Email];
        setup.limits.verify = Some(Quota::per_minute(10));
    })
    .await;
    let operator = app.operator().await;
    let scopes = Scopes::only([Permission::new("user:read")]).expect("one permission");
    let key = app.key(&operator, scopes).await;
    let verify = async |query: &str| app.get(&format!("{VERIFY}{query}")).bearer(&key).send().await;
    let response = verify("?permission=user:read").await;
    assert_eq!((response.status, response.body.len()), (204, 0));
    let id = key[5..31].to_uppercase();
    for (name, value) in [
        ("x-goat-user", operator.id.to_string().as_str()),
        // The key has less than the role.
        ("x-goat-role", ""),
        ("x-goat-key", &id),
        ("x-goat-session", ""),
        ("x-goat-assurance", ""),
        ("x-goat-email", &operator.email),
    ] {
        assert!(response.headers.contains_key(name), "{name}");
        assert_eq!(response.header(name), value, "{name}");
    }
    let whole = app.key(&operator, Scopes::Role).await;
    let response = app.get(VERIFY).bearer(&whole).send().await;
    assert_eq!(response.header("x-goat-role"), "operator");
    let missing = verify("?permission=user:update").await;
    assert_eq!(missing.failure(), (403, "forbidden"));
    for query in ["?max_age=300", "?assurance=multi", "?max_age=300&permission=user:read"] {
        assert_eq!(verify(query).await.failure(), (403, "session-required"), "{query}");
    }
    let first = verify("?max_age=300&permission=user:update").await;
    assert_eq!(first.failure(), (403, "forbidden"), "the permission comes first");
    assert!(!format!("{:?}", response.headers).contains(&key[31..]));
}

/// The origin check applies to the forwarded request: a trusted proxy tells its method, and without a
/// method the request counts as unsafe.
#[tokio::test]
async fn a_cookie_is_accepted_by_the_forwarded_method_and_origin() {
    const PROXY: &str = "10.0.0.1";
    let app = TestApp::with(|setup| {
        setup.http.session_cookies = Some(Cookies::new());
        setup.http.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a range")];
    })
    .await;
    let user = app.client().await;
    let verify = async |from: &str, site: &str, methods: &[(&str, &str)]| {
        let request = app.get(VERIFY).from(from).header("sec-fetch-site", site);
        let request = request.header("cookie", &format!("__Host-goat-access={}", user.token));
        let send =
            methods.iter().fold(request, |request, (name, value)| request.header(name, value));
        send.send().await
    };
    const FORWARDED: &str = "x-forwarded-method";
    const ORIGINAL: &str = "x-original-method";
    for (accepted, from, site, methods) in [
        (true, PROXY, "cross-site", &[(FORWARDED, "GET")][..]),
        (true, PROXY, "cross-site", &[(ORIGINAL, "HEAD")]),
        (true, PROXY, "cross-site", &[(ORIGINAL, "GET"), (FORWARDED, "GET")]),
        (true, PROXY, "same-origin", &[(FORWARDED, "POST")]),
        (true, PROXY, "same-origin", &[]),
        (true, CLIENT, "same-origin", &[]),
        (false, PROXY, "cross-site", &[(FORWARDED, "POST")]),
        (false, PROXY, "same-site", &[(ORIGINAL, "DELETE")]),
        (false, PROXY, "cross-site", &[(FORWARDED, "get")]),
        (false, PROXY, "cross-site", &[]),
        (false, PROXY, "cross-site", &[(FORWARDED, "")]),
        (false, PROXY, "cross-site", &[(ORIGINAL, "GET"), (FORWARDED, "POST")]),
        (false, PROXY, "cross-site", &[(FORWARDED, "GET"), (FORWARDED, "POST")]),
        // Only a proxy describes a forwarded request.
        (false, CLIENT, "cross-site", &[(FORWARDED, "GET")]),
    ] {
        let response = verify(from, site, methods).await;
        let expected = if accepted { (204, "") } else { (403, "cross-site-request") };
        assert_eq!(response.failure(), expected, "{from} {site} {methods:?}");
        assert!(!response.headers.contains_key("set-cookie"), "verification renews nothing");
    }
    // A bearer token needs no origin check.
    let response = app.get(VERIFY).bearer(&user.token).header("sec-fetch-site", "cross-site");
    assert_eq!(response.send().await.status, 204);
}

/// A proxy, and the applications behind it.
async fn behind_a_proxy() -> TestApp {
    TestApp::with(|setup| {
        setup.http.session_cookies = Some(Cookies::new());
        setup.http.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a range")];
        let forward = &mut setup.http.forward;
        forward.login_url = Some("/login".to_owned());
        forward.origins = vec!["https://app.example.org".to_owned()];
        forward.headers = vec![VerifyHeader::Email];
    })
    .await
}

/// The request of a proxy for a navigation to an application, without a session.
fn navigation<'a>(
    app: &'a TestApp,
    query: &str,
    changes: &[(&str, Option<&str>)],
) -> TestRequest<'a> {
    let mut headers = vec![
        ("x-forwarded-method", Some("GET")),
        ("x-forwarded-proto", Some("https")),
        ("x-forwarded-host", Some("app.example.org")),
        ("x-forwarded-uri", Some("/reports?page=2&x=a")),
        ("sec-fetch-mode", Some("navigate")),
    ];
    headers.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    headers.extend_from_slice(changes);
    let request = app.get(&format!("{VERIFY}{query}")).from("10.0.0.1");
    headers.iter().fold(request, |request, (name, value)| match value {
        Some(value) => request.header(name, value),
        None => request,
    })
}

#[tokio::test]
async fn a_navigation_without_a_session_is_sent_to_the_sign_in_page() {
    let app = behind_a_proxy().await;
    let response = navigation(&app, "?permission=a:b&redirect=true", &[]).send().await;
    assert_eq!((response.status, response.body.len()), (303, 0));
    let target = "/login?return_to=https%3A//app.example.org/reports%3Fpage%3D2%26x%3Da";
    assert_eq!(response.header("location"), target);
    assert_eq!(response.header("www-authenticate"), "");
    assert_eq!(response.header("cache-control"), "no-store");
    // Also for an invalid cookie.
    let cookie = [("cookie", Some("__Host-goat-access=nonsense"))];
    let response = navigation(&app, "?redirect=true", &cookie).send().await;
    assert_eq!(response.status, 303);
    for (query, changes) in [
        ("", &[][..]),
        ("?redirect=false", &[]),
        ("?redirect=true", &[("sec-fetch-mode", Some("cors"))]),
        ("?redirect=true", &[("sec-fetch-mode", None)]),
        ("?redirect=true", &[("x-forwarded-method", Some("POST"))]),
        ("?redirect=true", &[("x-forwarded-method", None)]),
    ] {
        let response = navigation(&app, query, changes).send().await;
        assert_eq!(response.failure(), (401, "unauthenticated"), "{query} {changes:?}");
    }
    let client = navigation(&app, "?redirect=true", &[]).from(CLIENT).send().await;
    assert_eq!(client.failure(), (401, "unauthenticated"), "only a proxy is redirected");
    let user = app.client().await;
    let response = navigation(&app, "?redirect=true&permission=a:b", &[]).bearer(&user.token);
    assert_eq!(response.send().await.failure(), (403, "forbidden"));
    // The page would send a user who is signed in back at once.
    let response = navigation(&app, "?redirect=true&assurance=multi", &[]).bearer(&user.token);
    assert_eq!(response.send().await.failure(), (401, "step-up-required"));
    let response = navigation(&app, "?redirect=1", &[]).bearer(&user.token).send().await;
    assert_eq!(response.fields(), ["redirect"]);
}

/// B22
#[tokio::test]
async fn only_urls_of_the_applications_become_return_to() {
    let app = behind_a_proxy().await;
    for changes in [
        &[("x-forwarded-host", Some("evil.example"))][..],
        &[("x-forwarded-host", Some("app.example.org.evil.example"))],
        &[("x-forwarded-host", Some("app.example.org@evil.example"))],
        &[
            ("x-forwarded-host", Some("app.example.org")),
            ("x-forwarded-uri", Some("@evil.example/")),
        ],
        &[("x-forwarded-uri", Some("//evil.example"))],
        &[("x-forwarded-uri", Some("/\\evil.example"))],
        &[("x-forwarded-uri", Some(""))],
        &[("x-forwarded-proto", Some("http"))],
        &[("x-forwarded-proto", Some("javascript"))],
        &[("x-forwarded-proto", None)],
        &[("x-forwarded-host", None)],
        &[("x-forwarded-uri", None)],
        &[
            ("x-forwarded-host", Some("app.example.org")),
            ("x-forwarded-host", Some("evil.example")),
        ],
    ] {
        let response = navigation(&app, "?redirect=true", changes).send().await;
        let location = response.header("location");
        let is_home = location == "/login?return_to=https%3A//app.example.org";
        assert!(location == "/login" || is_home, "{changes:?}: {location}");
    }
}

#[tokio::test]
async fn the_address_is_a_header_only_if_configured() {
    let app = behind_a_proxy().await;
    let user = app.client().await;
    let response = app.get(VERIFY).bearer(&user.token).send().await;
    assert_eq!(response.header("x-goat-email"), user.email);
    let app = TestApp::new().await;
    let user = app.client().await;
    let response = app.get(VERIFY).bearer(&user.token).send().await;
    assert_eq!((response.status, response.header("x-goat-email")), (204, ""));
}

on_every_backend!(attributes_are_headers_only_if_configured);

/// No value can end a header, and a user without a value has an empty one.
async fn attributes_are_headers_only_if_configured(backend: Backend) {
    let app = TestApp::on_with(backend, |setup| {
        setup.http.forward.headers = ["plan", "cost_center"]
            .map(|key| VerifyHeader::Attribute {
                key: key.to_owned(),
                name: format!("x-goat-attribute-{}", key.replace('_', "-"))
                    .parse()
                    .expect("a name"),
            })
            .to_vec();
    })
    .await;
    let (admin, user) = (app.admin().await, app.client().await);
    let verify = async || app.get(VERIFY).bearer(&user.token).send().await;
    let response = verify().await;
    assert_eq!(response.headers["x-goat-attribute-plan"], "");
    for (value, shown) in [
        (json!("pro"), "pro"),
        (json!("a\r\nx-goat-role: admin"), "a%0D%0Ax-goat-role:%20admin"),
        (json!("Grüße, 100%\u{1}\u{7f}"), "Gr%C3%BC%C3%9Fe%2C%20100%25%01%7F"),
        (json!(["a", "b,c", "", "ü"]), "a,b%2Cc,,%C3%BC"),
        (json!(-1.5), "-1.5"),
        (json!(true), "true"),
        (json!([]), ""),
        (json!("x".repeat(1024)), &*"x".repeat(1024)),
        (json!("x".repeat(1025)), ""),
        (json!(null), ""),
    ] {
        let path = format!("{}/attributes", user.path());
        let body = json!({"plan": value, "cost_center": value, "other": "canary"});
        let changed = app.patch(&path).bearer(&admin.token).json(&body).send().await;
        assert_eq!(changed.status, 200, "{}", changed.json);
        let response = verify().await;
        for name in ["x-goat-attribute-plan", "x-goat-attribute-cost-center"] {
            assert_eq!(
                response.headers.get_all(name).iter().collect::<Vec<_>>(),
                [shown],
                "{value}"
            );
        }
        assert_eq!(response.header("x-goat-role"), "client");
        let has_other = response.headers.values().any(|header| header == "canary");
        assert!(!has_other, "{:?}", response.headers);
    }
}

//! Everything that names a path agrees with the prefix.

use goat_server::api::table;
use goat_server::start::settings::LoginPageSettings;
use goat_tower::cookie::Cookies;
use http::Method;
use serde_json::json;

use super::{application, assert_fallback, assert_problem, concrete, document, operations};
use crate::backends::on_every_backend;
use crate::support::app::{CLIENT, PASSWORD, Setup, TestApp, TestResponse};
use crate::support::backend::Backend;

/// A short one, and one at depth with every kind of character.
const PREFIXES: [&str; 2] = ["/auth", "/Services/auth-1/v2.0_~"];

fn for_browsers(setup: &mut Setup) {
    setup.http.session_cookies = Some(Cookies::new());
    setup.http.login_page = Some(LoginPageSettings::default());
    setup.http.forward.origins = vec!["https://app.example.org".to_owned()];
    setup.http.trusted_proxies = vec![format!("{CLIENT}/32").parse().expect("a range")];
}

/// The API under a prefix in an application.
async fn mounted(backend: Backend, prefix: &str) -> TestApp {
    let app = TestApp::on_with(backend, for_browsers).await;
    let router = application([app.api.clone().prefix(prefix)]);
    app.within(router)
}

fn text(response: &TestResponse) -> &str {
    std::str::from_utf8(&response.body).expect("UTF-8")
}

/// The values of an attribute.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!(" {name}=\"");
    let parts = html.split(begin.as_str()).skip(1);
    parts.map(|part| part.split('"').next().expect("an end")).collect()
}

/// The path of a relative reference in a page.
fn resolved(page: &str, reference: &str) -> String {
    assert!(!reference.starts_with(['/', '.']) && !reference.contains(':'), "{reference}");
    let (folder, _) = page.rsplit_once('/').expect("a path");
    format!("{folder}/{reference}")
}

#[tokio::test]
async fn every_route_is_behind_the_prefix_and_problems_name_it() {
    for prefix in PREFIXES {
        let app = TestApp::with_every_route().await;
        let router = application([app.api.clone().prefix(prefix)]);
        let app = app.within(router);
        for endpoint in table() {
            let without = concrete(endpoint.path());
            let path = format!("{prefix}{without}");
            let admin = app.admin().await;
            for token in [None, Some(&admin.token)] {
                let request = app.request(endpoint.method().clone(), &path);
                let request = match token {
                    Some(token) => request.bearer(token),
                    None => request,
                };
                let response = request.send().await;
                assert!(!response.header("x-request-id").is_empty(), "{path}");
                assert_ne!(response.status, 405, "{path}");
                if response.status >= 400 {
                    assert_eq!(response.json["instance"], path);
                    assert_ne!(response.json["detail"], "This path does not exist. Check the URL.");
                }
                if token.is_some() || without.starts_with("/api/v1/auth/") {
                    assert_eq!(response.header("cache-control"), "no-store", "H1: {path}");
                }
            }
            let wrong = app.request(Method::TRACE, &path).send().await;
            assert_problem(&wrong, (405, "method-not-allowed"), &path);
            let outside = app.request(endpoint.method().clone(), &without).send().await;
            assert_fallback(&outside, &without);
        }
    }
}

on_every_backend!(locations_lead_to_the_resource);

async fn locations_lead_to_the_resource(backend: Backend) {
    for prefix in PREFIXES {
        let app = mounted(backend, prefix).await;
        let admin = app.admin().await;
        let ann = json!({"email": "ann@example.org", "password": PASSWORD});
        let ben = json!({"email": "ben@example.org", "password": PASSWORD});
        let role = json!({"name": "support", "rank": 300});
        for (path, body) in
            [("/api/v1/auth/signup", ann), ("/api/v1/user", ben), ("/api/v1/role", role)]
        {
            let created = app.post(&format!("{prefix}{path}")).bearer(&admin.token).json(&body);
            let created = created.send().await;
            assert_eq!(created.status, 201, "{}", created.json);
            let location = created.header("location");
            assert!(location.starts_with(&format!("{prefix}/api/v1/")), "{location}");
            let method = if path.ends_with("role") { Method::DELETE } else { Method::GET };
            let found = app.request(method, location).bearer(&admin.token).send().await;
            assert!((200..300).contains(&found.status), "{location}: {}", found.json);
        }
    }
}

#[tokio::test]
async fn openapi_document_names_the_prefix_as_its_server() {
    let whole = document(&TestApp::new().await, "/api/openapi.json").await;
    for prefix in PREFIXES {
        let app = TestApp::with_every_route().await;
        let router = application([app.api.clone().prefix(prefix)]);
        let app = app.within(router);
        let found = document(&app, &format!("{prefix}/api/openapi.json")).await;
        assert_eq!(found["servers"], json!([{"url": prefix, "description": "This server"}]));
        assert_eq!(
            found,
            serde_json::from_str::<serde_json::Value>(&app.api.clone().prefix(prefix).openapi())
                .expect("JSON")
        );
        for (method, path) in operations(&found) {
            let url = format!("{prefix}{}", concrete(&path));
            let method = method.parse().expect("a method");
            let response = app.request(method, &url).send().await;
            assert!(![404, 405].contains(&response.status), "{url}");
        }
        let mut rest = found;
        rest["servers"] = whole["servers"].clone();
        assert_eq!(rest, whole, "nothing else depends on the prefix");
    }
}

#[tokio::test]
async fn documentation_page_loads_its_parts_behind_the_prefix() {
    for prefix in PREFIXES {
        let app = mounted(Backend::Memory, prefix).await;
        let path = format!("{prefix}/api/docs");
        let page = app.get(&path).send().await;
        let html = text(&page);
        let scripts = attributes(html, "src");
        let links = attributes(html, "href").into_iter().filter(|link| !link.starts_with('#'));
        // The script requests the document and the operations by its own location.
        let parts: Vec<_> = scripts.into_iter().chain(links).collect();
        assert!(parts.contains(&"openapi.json") && parts.len() == 3, "{parts:?}");
        for part in parts {
            let url = resolved(&path, part);
            assert_eq!(app.get(&url).send().await.status, 200, "{url}");
        }
    }
}

#[tokio::test]
async fn page_of_a_link_loads_its_parts_behind_the_prefix() {
    for prefix in PREFIXES {
        let app = TestApp::with(|setup| {
            for_browsers(setup);
            setup.every_route();
        })
        .await;
        let router = application([app.api.clone().prefix(prefix)]);
        let app = app.within(router);
        let path = format!("{prefix}/api/link");
        let page = app.get(&path).send().await;
        let html = text(&page);
        let (scripts, links) = (attributes(html, "src"), attributes(html, "href"));
        assert_eq!(
            (scripts.as_slice(), links.as_slice()),
            (&["link/page.js"][..], &["link/page.css", "../login"][..])
        );
        for part in [scripts[0], links[0]] {
            assert_eq!(app.get(&resolved(&path, part)).send().await.status, 200, "{part}");
        }
        assert_eq!(app.get(&format!("{prefix}/login")).send().await.status, 200);
        // The script posts beside the page.
        let flows = attributes(html, "data-path");
        assert_eq!(flows.len(), 7);
        for flow in flows {
            let response = app.post(&resolved(&path, flow)).json(&json!({})).send().await;
            assert!([400, 401].contains(&response.status), "{flow}: {}", response.json);
        }
    }
}

on_every_backend!(cookies_of_a_sign_in_reach_the_whole_application);

async fn cookies_of_a_sign_in_reach_the_whole_application(backend: Backend) {
    let prefix = PREFIXES[1];
    let app = mounted(backend, prefix).await;
    let user = app.client().await;
    let body = json!({"email": user.email, "password": PASSWORD, "session": "cookie"});
    let login = app.post(&format!("{prefix}/api/v1/auth/login")).json(&body);
    let response = login.header("sec-fetch-site", "same-origin").send().await;
    assert_eq!(response.status, 200, "{}", response.json);
    let cookies: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 2);
    let mut request = app.get(&format!("{prefix}/api/v1/user"));
    for cookie in cookies {
        let cookie = cookie.to_str().expect("ASCII");
        // Browsers refuse `__Host-` cookies with any other path.
        assert!(cookie.starts_with("__Host-") && cookie.contains("; Path=/;"), "{cookie}");
        request = request.header("cookie", cookie.split(';').next().expect("a pair"));
    }
    assert_eq!(request.send().await.data()["email"], user.email);
}

#[tokio::test]
async fn sign_in_page_and_its_redirects_stay_behind_the_prefix() {
    for prefix in PREFIXES {
        let app = mounted(Backend::Memory, prefix).await;
        let user = app.client().await;
        let login = format!("{prefix}/login");
        let page = app.get(&login).send().await;
        assert_eq!(page.status, 200);
        assert_eq!(attributes(text(&page), "action"), ["login"]);
        for part in attributes(text(&page), "href") {
            assert_eq!(app.get(&resolved(&login, part)).send().await.status, 200, "{part}");
        }
        let form = format!(
            "email={}&password={}",
            user.email.replace('@', "%40"),
            PASSWORD.replace(' ', "+")
        );
        for (target, form) in [("login", form.as_str()), ("logout", "")] {
            let request = app.post(&resolved(&login, target));
            let request = request.header("sec-fetch-site", "same-origin");
            let response =
                request.body("application/x-www-form-urlencoded", form.to_owned()).send().await;
            assert_eq!((response.status, response.header("location")), (303, login.as_str()));
        }
        // Forward authentication sends a navigation to the page, by default to this one.
        let verify = app.get(&format!("{prefix}/api/v1/auth/verify?redirect=true"));
        let forwarded = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "app.example.org"),
            ("x-forwarded-uri", "/"),
            ("sec-fetch-mode", "navigate"),
        ];
        let verify =
            forwarded.iter().fold(verify, |request, (name, value)| request.header(name, value));
        let target = format!("{login}?return_to=https%3A//app.example.org/");
        assert_eq!(verify.send().await.header("location"), target);
    }
}

#[tokio::test]
async fn sentences_name_paths_with_the_prefix() {
    let prefix = PREFIXES[1];
    let app = mounted(Backend::Memory, prefix).await;
    let admin = app.admin().await;
    let own = format!("{prefix}{}", admin.path());
    let update = app.put(&own).json(&json!({"password": "another long walk here"}));
    let delete = app.delete(&own);
    let revoke = app.delete(&format!("{own}/sessions"));
    for (request, named) in [
        (update, "/api/v1/user/change-password"),
        (delete, "/api/v1/user"),
        (revoke, "/api/v1/sessions"),
    ] {
        let response = request.bearer(&admin.token).send().await;
        assert_eq!(response.failure(), (403, "outranked"));
        let detail = response.json["detail"].as_str().expect("a sentence");
        assert!(detail.ends_with(&format!(" {prefix}{named}.")), "{detail}");
    }
}

#[tokio::test]
async fn another_spelling_of_a_path_is_no_route() {
    let app = mounted(Backend::Memory, "/auth").await;
    for path in [
        "/auth/",
        "/auth//api/health",
        "/auth/api/health/",
        "/auth/%2e/api/health",
        "/auth/auth/api/health",
    ] {
        assert_problem(&app.get(path).send().await, (404, "not-found"), path);
    }
    for path in ["//auth/api/health", "/Auth/api/health", "/authx", "/%61uth/api/health"] {
        assert_fallback(&app.get(path).send().await, path);
    }
    let service = app.api.clone().prefix("/auth").into_service::<axum::body::Body>();
    let app = app.within(axum::Router::new().fallback_service(service));
    assert_eq!(app.get("/auth/api/health").send().await.status, 200);
    assert_problem(&app.get("/api/health").send().await, (404, "not-found"), "/api/health");
}

#[tokio::test]
async fn prefix_must_be_a_path_without_escapes_or_parameters() {
    let app = TestApp::new().await;
    for prefix in ["/", "auth", "/auth/", "//auth", "/a/../b", "/%61", "/{tenant}", "/a b", "/ä"] {
        let api = app.api.clone();
        let mounted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| api.prefix(prefix)));
        assert!(mounted.is_err(), "{prefix:?}");
    }
}

//! Route groups: a route of a group that is not mounted does not exist.

use std::collections::BTreeSet;

use goat_server::Group;
use goat_server::api::table;
use goat_server::start::settings::LoginPageSettings;
use goat_tower::cookie::Cookies;
use serde_json::{Value, json};

use super::{application, concrete, document, operations};
use crate::support::app::{PASSWORD, Setup, TestApp};

/// An app that serves one group under `/m`.
async fn of(group: Group, change: impl Fn(&mut Setup)) -> TestApp {
    let app = TestApp::with(|setup| {
        change(setup);
        setup.http.session_cookies = Some(Cookies::new());
        setup.http.login_page = Some(LoginPageSettings::default());
    })
    .await;
    let router = application([app.api.clone().prefix("/m").groups([group])]);
    app.within(router)
}

#[tokio::test]
async fn a_group_has_its_routes_and_no_others() {
    let mut seen = 0;
    for group in Group::ALL {
        let app = of(*group, Setup::every_route).await;
        for endpoint in table() {
            let path = format!("/m{}", concrete(endpoint.path()));
            let method = endpoint.method().clone();
            let response = app.request(method.clone(), &path).send().await;
            let exists = ![404, 405].contains(&response.status);
            assert_eq!(exists, endpoint.group() == *group, "{group:?} {method} {path}");
            assert!(!response.header("x-request-id").is_empty(), "{path}");
            seen += usize::from(exists);
            if response.status == 405 {
                let named =
                    response.header("allow").split(", ").any(|name| name == method.as_str());
                assert!(!named, "{path}");
            }
        }
        for path in ["/m/login", "/m/login/page.css"] {
            let exists = app.get(path).send().await.status == 200;
            assert_eq!(exists, *group == Group::Accounts, "{group:?} {path}");
        }
    }
    assert_eq!(seen, table().len(), "every route belongs to exactly one group");
}

/// The names that a text refers to.
fn references(text: &str) -> BTreeSet<&str> {
    let parts = text.split("#/components/schemas/").skip(1);
    parts.map(|part| part.split('"').next().expect("an end")).collect()
}

#[tokio::test]
async fn openapi_document_has_the_mounted_routes_and_what_they_use() {
    let app = TestApp::new().await;
    let whole = document(&app, "/api/openapi.json").await;
    let all: BTreeSet<_> = operations(&whole).into_iter().collect();
    let mut found = BTreeSet::new();
    for group in Group::ALL {
        let text = app.api.clone().prefix("/m").groups([*group]).openapi();
        let part: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(part["servers"][0]["url"], "/m");
        let listed: BTreeSet<_> = operations(&part).into_iter().collect();
        let expected = table().into_iter().filter(|endpoint| endpoint.group() == *group);
        let expected = expected
            .map(|endpoint| (endpoint.method().to_string(), endpoint.path().to_owned()))
            .filter(|operation| all.contains(operation));
        assert_eq!(listed, expected.collect(), "{group:?}");

        let tags: BTreeSet<_> = listed
            .iter()
            .map(|(method, path)| {
                part["paths"][path][method.to_ascii_lowercase()]["tags"][0].to_string()
            })
            .collect();
        let described = part["tags"].as_array().expect("tags").iter();
        assert_eq!(described.map(|tag| tag["name"].to_string()).collect::<BTreeSet<_>>(), tags);

        let schemas = part["components"]["schemas"].as_object().expect("schemas");
        let names: BTreeSet<_> = schemas.keys().map(String::as_str).collect();
        assert_eq!(references(&text), names, "{group:?}: no schema is missing or unused");
        found.extend(listed);
    }
    assert_eq!(found, all);
    assert_eq!(app.api.openapi(), goat_server::api::openapi());
}

#[tokio::test]
async fn a_location_is_not_given_where_the_resource_is_not_mounted() {
    let app = of(Group::Accounts, |_| {}).await;
    let body = json!({"email": "ann@example.org", "password": PASSWORD});
    let response = app.post("/m/api/v1/auth/signup").json(&body).send().await;
    assert_eq!((response.status, response.header("location")), (201, ""));
    assert!(!app.api.clone().groups([Group::Accounts]).openapi().contains("Location"));

    let app = of(Group::Administration, |_| {}).await;
    let admin = app.admin().await;
    let own = app.delete(&format!("/m{}", admin.path())).bearer(&admin.token).send().await;
    assert_eq!(own.failure(), (403, "outranked"));
    assert!(!own.json["detail"].as_str().expect("a sentence").contains("/api"), "{}", own.json);
}

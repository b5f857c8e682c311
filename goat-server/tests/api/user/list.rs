//! The list of users: filters, orders, pages, how to go on past the last page, and who is shown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};
use crate::support::backend::{Backend, on_every_backend};
use goat_core::Status;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const LIST: &str = "/api/v1/user/list";

async fn list(app: &TestApp, user: &TestUser, query: &str) -> TestResponse {
    app.get(&format!("{LIST}{query}")).bearer(&user.token).send().await
}

/// The addresses on a page, in its order.
fn emails(answer: &TestResponse) -> Vec<&str> {
    let users = answer.data().as_array().expect("a list");
    users.iter().map(|user| user["email"].as_str().expect("an address")).collect()
}

/// An administrator, and four others who came one after the other.
async fn four_and_an_administrator(backend: Backend) -> (TestApp, TestUser) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    for (email, role, status) in [
        ("dora@example.net", "client", Status::Active),
        ("carl@sub.example.net", "operator", Status::Active),
        ("Bob_1@example.com", "client", Status::Inactive),
        ("ann@Bücher.example", "client", Status::Active),
    ] {
        app.clock.advance(Duration::from_secs(1));
        app.add(email, role, status).await;
    }
    (app, admin)
}

const ADMIN: &str = "admin-0@example.org";
const ANN: &str = "ann@Bücher.example";
const BOB: &str = "Bob_1@example.com";
const CARL: &str = "carl@sub.example.net";
const DORA: &str = "dora@example.net";

on_every_backend!(every_order_is_kept_and_the_newest_come_first_by_default);

async fn every_order_is_kept_and_the_newest_come_first_by_default(backend: Backend) {
    let (app, admin) = four_and_an_administrator(backend).await;
    app.sign_in(CARL, PASSWORD).await;
    app.clock.advance(Duration::from_secs(1));
    app.sign_in(DORA, PASSWORD).await;
    let newest = [ANN, BOB, CARL, DORA, ADMIN];
    let oldest = [ADMIN, DORA, CARL, BOB, ANN];
    for (query, expected) in [
        ("", newest),
        ("?sort=-created_at", newest),
        ("?sort=created_at", oldest),
        ("?sort=email", [ADMIN, ANN, BOB, CARL, DORA]),
        ("?sort=-email", [DORA, CARL, BOB, ANN, ADMIN]),
        // Who never signed in counts as earliest; ties by id, in the same direction.
        ("?sort=last_login_at", [BOB, ANN, ADMIN, CARL, DORA]),
        ("?sort=-last_login_at", [DORA, CARL, ADMIN, ANN, BOB]),
    ] {
        assert_eq!(emails(&list(&app, &admin, query).await), expected, "{query}");
    }
}

on_every_backend!(a_filter_with_several_values_takes_any_of_them_and_all_filters_hold);

async fn a_filter_with_several_values_takes_any_of_them_and_all_filters_hold(backend: Backend) {
    let (app, admin) = four_and_an_administrator(backend).await;
    for (query, expected) in [
        ("?role=client", vec![ANN, BOB, DORA]),
        ("?role=operator&role=admin", vec![CARL, ADMIN]),
        ("?status=inactive", vec![BOB]),
        ("?status=suspended", vec![]),
        ("?status=inactive&status=suspended&role=client", vec![BOB]),
        ("?status=inactive&role=operator", vec![]),
        ("?role=client&search=example", vec![BOB, DORA]),
    ] {
        let answer = list(&app, &admin, query).await;
        assert_eq!(emails(&answer), expected, "{query}");
        let pages = u64::from(!expected.is_empty());
        let meta = json!({"page": 1, "limit": 20, "total": expected.len(), "total_pages": pages});
        assert_eq!(answer.json["meta"], meta, "{query}");
    }
}

on_every_backend!(a_search_matches_the_beginning_of_the_address_or_of_its_domain);

async fn a_search_matches_the_beginning_of_the_address_or_of_its_domain(backend: Backend) {
    let (app, admin) = four_and_an_administrator(backend).await;
    for (search, expected) in [
        ("ann", vec![ANN]),
        ("ANN@B%C3%9Ccher", vec![ANN]),
        ("b%C3%BCcher", vec![ANN]),
        ("B%C3%9CCHER.example", vec![ANN]),
        ("xn--bcher-kva", vec![ANN]),
        ("bob_", vec![BOB]),
        ("EXAMPLE.NET", vec![DORA]),
        ("sub.", vec![CARL]),
        // Neither in the middle nor as a pattern.
        ("ob_1", vec![]),
        ("net", vec![]),
        ("b_b", vec![]),
        ("%25", vec![]),
        ("_", vec![]),
        ("*", vec![]),
        ("'", vec![]),
    ] {
        let answer = list(&app, &admin, &format!("?search={search}")).await;
        assert_eq!(emails(&answer), expected, "{search}");
    }
}

on_every_backend!(pages_part_the_list_and_one_past_the_end_is_empty);

async fn pages_part_the_list_and_one_past_the_end_is_empty(backend: Backend) {
    let (app, admin) = four_and_an_administrator(backend).await;
    for (query, expected) in [
        ("?limit=2", vec![ANN, BOB]),
        ("?limit=2&page=2", vec![CARL, DORA]),
        ("?limit=2&page=3", vec![ADMIN]),
        ("?limit=2&page=4", vec![]),
        ("?limit=100&page=100", vec![]),
        ("?limit=1&page=10000", vec![]),
    ] {
        let answer = list(&app, &admin, query).await;
        assert_eq!(emails(&answer), expected, "{query}");
        assert_eq!(answer.json["meta"]["total"], 5, "{query}");
    }
    for query in ["?limit=2&page=5001", "?limit=1&page=10001", "?page=501", "?page=4294967297"] {
        let answer = list(&app, &admin, query).await;
        assert_eq!((answer.failure(), answer.fields()), ((400, "validation"), vec!["page"]));
    }
    for value in ["0", "101", "-1", "1.5", "%2B1", "1e1", "", "x", "%D9%A1"] {
        let answer = list(&app, &admin, &format!("?limit={value}")).await;
        assert_eq!((answer.status, answer.fields()), (400, vec!["limit"]), "{value}");
    }
}

on_every_backend!(after_goes_on_in_the_default_order_within_the_filters);

async fn after_goes_on_in_the_default_order_within_the_filters(backend: Backend) {
    let (app, admin) = four_and_an_administrator(backend).await;
    let all = list(&app, &admin, "").await;
    let id = |place: usize| all.data()[place]["id"].as_str().expect("an id").to_owned();
    for (query, expected) in [
        (format!("?after={}", id(1)), vec![CARL, DORA, ADMIN]),
        (format!("?after={}&limit=1", id(1)), vec![CARL]),
        (format!("?after={}&role=client", id(1)), vec![DORA]),
        (format!("?after={}", id(4)), vec![]),
        // A user who is gone, or never was, has a place in the order all the same.
        ("?after=00000000000000000000000000".to_owned(), vec![]),
        ("?after=7ZZZZZZZZZZZZZZZZZZZZZZZZZ".to_owned(), vec![ANN, BOB, CARL, DORA, ADMIN]),
    ] {
        assert_eq!(emails(&list(&app, &admin, &query).await), expected, "{query}");
    }
}

on_every_backend!(a_list_shows_only_whom_the_caller_may_act_on_and_the_caller);

/// Whom one may act on, and oneself: neither one's equals nor those above.
async fn a_list_shows_only_whom_the_caller_may_act_on_and_the_caller(backend: Backend) {
    let (app, admin) = four_and_an_administrator(backend).await;
    app.clock.advance(Duration::from_secs(1));
    let operator = app.operator().await;
    let shown = list(&app, &operator, "").await;
    assert_eq!(emails(&shown), [operator.email.as_str(), ANN, BOB, DORA]);
    assert_eq!(shown.json["meta"]["total"], 4);
    assert_eq!(emails(&list(&app, &operator, "?role=operator").await), [operator.email.as_str()]);
    assert_eq!(emails(&list(&app, &operator, "?role=admin").await), [""; 0]);
    assert_eq!(emails(&list(&app, &operator, "?search=carl").await), [""; 0]);
    let all: BTreeSet<_> = [ADMIN, ANN, BOB, CARL, DORA, &operator.email].into();
    let by_admin = list(&app, &admin, "").await;
    assert_eq!(emails(&by_admin).into_iter().collect::<BTreeSet<_>>(), all);
}

on_every_backend!(a_total_is_exact_to_ten_thousand_and_says_so_beyond);

async fn a_total_is_exact_to_ten_thousand_and_says_so_beyond(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    // Several at once, since they are many.
    let app = Arc::new(app);
    let mut adding = JoinSet::new();
    for part in 0..8 {
        let app = Arc::clone(&app);
        adding.spawn(async move {
            for number in (1..10_000).filter(|number| number % 8 == part) {
                app.add(&format!("user-{number}@example.org"), "client", Status::Active).await;
            }
        });
    }
    adding.join_all().await;
    let exact = json!({"page": 1, "limit": 100, "total": 10_000, "total_pages": 100});
    assert_eq!(list(&app, &admin, "?limit=100").await.json["meta"], exact);
    app.clock.advance(Duration::from_secs(1));
    app.add("one-more@example.org", "client", Status::Active).await;
    let mut bound = exact.clone();
    bound["total_is_lower_bound"] = json!(true);
    let last = list(&app, &admin, "?limit=100&page=100").await;
    assert_eq!(last.json["meta"], with_page(&bound, 100));
    // What no page reaches, `after` does.
    let end = last.data()[99]["id"].as_str().expect("an id");
    let rest = list(&app, &admin, &format!("?after={end}")).await;
    assert_eq!(rest.data().as_array().map(Vec::len), Some(1));
}

fn with_page(meta: &Value, page: u32) -> Value {
    let mut meta = meta.clone();
    meta["page"] = json!(page);
    meta
}

//! `GET /api/v1/user/list`: sort orders, filters, search, pages, cursors, and visibility by rank.

use std::collections::BTreeSet;
use std::time::Duration;

use goat_core::Status;
use goat_engines::Postgres;
use serde_json::{Value, json};

use crate::backends::on_every_backend;
use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};
use crate::support::backend::Backend;

const LIST: &str = "/api/v1/user/list";

async fn list(app: &TestApp, user: &TestUser, query: &str) -> TestResponse {
    app.get(&format!("{LIST}{query}")).bearer(&user.token).send().await
}

/// The addresses on a page, in order.
fn emails(response: &TestResponse) -> Vec<&str> {
    let users = response.data().as_array().expect("a list");
    users.iter().map(|user| user["email"].as_str().expect("an address")).collect()
}

/// An administrator and four users, created in this order.
async fn five_users(backend: Backend) -> (TestApp, TestUser) {
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

on_every_backend!(sort_orders_and_newest_first_by_default);

async fn sort_orders_and_newest_first_by_default(backend: Backend) {
    let (app, admin) = five_users(backend).await;
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
        // A user without a login sorts as earliest; ties sort by id in the same direction.
        ("?sort=last_login_at", [BOB, ANN, ADMIN, CARL, DORA]),
        ("?sort=-last_login_at", [DORA, CARL, ADMIN, ANN, BOB]),
    ] {
        assert_eq!(emails(&list(&app, &admin, query).await), expected, "{query}");
    }
}

on_every_backend!(filters_combine_with_and_and_their_values_with_or);

async fn filters_combine_with_and_and_their_values_with_or(backend: Backend) {
    let (app, admin) = five_users(backend).await;
    for (query, expected) in [
        ("?role=client", vec![ANN, BOB, DORA]),
        ("?role=operator&role=admin", vec![CARL, ADMIN]),
        ("?status=inactive", vec![BOB]),
        ("?status=suspended", vec![]),
        ("?status=inactive&status=suspended&role=client", vec![BOB]),
        ("?status=inactive&role=operator", vec![]),
        ("?role=client&search=example", vec![BOB, DORA]),
    ] {
        let response = list(&app, &admin, query).await;
        assert_eq!(emails(&response), expected, "{query}");
        let pages = u64::from(!expected.is_empty());
        let meta = json!({"page": 1, "limit": 20, "total": expected.len(), "total_pages": pages});
        assert_eq!(response.json["meta"], meta, "{query}");
    }
}

on_every_backend!(search_matches_prefixes_of_the_address_and_of_its_domain);

async fn search_matches_prefixes_of_the_address_and_of_its_domain(backend: Backend) {
    let (app, admin) = five_users(backend).await;
    for (search, expected) in [
        ("ann", vec![ANN]),
        ("ANN@B%C3%9Ccher", vec![ANN]),
        ("b%C3%BCcher", vec![ANN]),
        ("B%C3%9CCHER.example", vec![ANN]),
        ("xn--bcher-kva", vec![ANN]),
        ("bob_", vec![BOB]),
        ("EXAMPLE.NET", vec![DORA]),
        ("sub.", vec![CARL]),
        // Not in the middle, and no patterns.
        ("ob_1", vec![]),
        ("net", vec![]),
        ("b_b", vec![]),
        ("%25", vec![]),
        ("_", vec![]),
        ("*", vec![]),
        ("'", vec![]),
    ] {
        let response = list(&app, &admin, &format!("?search={search}")).await;
        assert_eq!(emails(&response), expected, "{search}");
    }
}

on_every_backend!(pages_partition_the_list_and_later_pages_are_empty);

async fn pages_partition_the_list_and_later_pages_are_empty(backend: Backend) {
    let (app, admin) = five_users(backend).await;
    for (query, expected) in [
        ("?limit=2", vec![ANN, BOB]),
        ("?limit=2&page=2", vec![CARL, DORA]),
        ("?limit=2&page=3", vec![ADMIN]),
        ("?limit=2&page=4", vec![]),
        ("?limit=100&page=100", vec![]),
        ("?limit=1&page=10000", vec![]),
    ] {
        let response = list(&app, &admin, query).await;
        assert_eq!(emails(&response), expected, "{query}");
        assert_eq!(response.json["meta"]["total"], 5, "{query}");
    }
    for query in ["?limit=2&page=5001", "?limit=1&page=10001", "?page=501", "?page=4294967297"] {
        let response = list(&app, &admin, query).await;
        assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec!["page"]));
    }
    for value in ["0", "101", "-1", "1.5", "%2B1", "1e1", "", "x", "%D9%A1"] {
        let response = list(&app, &admin, &format!("?limit={value}")).await;
        assert_eq!((response.status, response.fields()), (400, vec!["limit"]), "{value}");
    }
}

on_every_backend!(after_continues_in_the_default_order_within_the_filters);

async fn after_continues_in_the_default_order_within_the_filters(backend: Backend) {
    let (app, admin) = five_users(backend).await;
    let all = list(&app, &admin, "").await;
    let id = |place: usize| all.data()[place]["id"].as_str().expect("an id").to_owned();
    for (query, expected) in [
        (format!("?after={}", id(1)), vec![CARL, DORA, ADMIN]),
        (format!("?after={}&limit=1", id(1)), vec![CARL]),
        (format!("?after={}&role=client", id(1)), vec![DORA]),
        (format!("?after={}", id(4)), vec![]),
        // The id need not belong to a user.
        ("?after=00000000000000000000000000".to_owned(), vec![]),
        ("?after=7ZZZZZZZZZZZZZZZZZZZZZZZZZ".to_owned(), vec![ANN, BOB, CARL, DORA, ADMIN]),
    ] {
        assert_eq!(emails(&list(&app, &admin, &query).await), expected, "{query}");
    }
}

on_every_backend!(list_shows_the_caller_and_the_users_that_the_caller_may_act_on);

/// Equal and higher ranks are hidden.
async fn list_shows_the_caller_and_the_users_that_the_caller_may_act_on(backend: Backend) {
    let (app, admin) = five_users(backend).await;
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

#[tokio::test]
async fn total_is_exact_up_to_ten_thousand_in_memory() {
    total_is_exact_up_to_ten_thousand_and_then_a_lower_bound(Backend::Memory).await;
}

#[tokio::test]
async fn total_is_exact_up_to_ten_thousand_in_postgresql() {
    total_is_exact_up_to_ten_thousand_and_then_a_lower_bound(Backend::PostgresAndRedis).await;
}

async fn total_is_exact_up_to_ten_thousand_and_then_a_lower_bound(backend: Backend) {
    let app = TestApp::on(backend).await;
    let admin = app.admin().await;
    if let Some(database) = app.stores.database_name() {
        let insert = "INSERT INTO goat_users (id, email, email_canonical, email_domain, role, \
                      status, password_hash, created_at, updated_at) \
                      SELECT '01KDWMBY00' || lpad(n::text, 16, '0'), email, email, 'example.org', \
                      'client', 'active', '', 1767225600000, 1767225600000 \
                      FROM generate_series(1, 9999) n, format('user-%s@example.org', n) email";
        Postgres::shared().psql(database, insert);
    } else {
        for number in 1..10_000 {
            app.add(&format!("user-{number}@example.org"), "client", Status::Active).await;
        }
    }
    let exact = json!({"page": 1, "limit": 100, "total": 10_000, "total_pages": 100});
    assert_eq!(list(&app, &admin, "?limit=100").await.json["meta"], exact);
    app.clock.advance(Duration::from_secs(1));
    app.add("one-more@example.org", "client", Status::Active).await;
    let mut bound = exact.clone();
    bound["total_is_lower_bound"] = json!(true);
    let last = list(&app, &admin, "?limit=100&page=100").await;
    assert_eq!(last.json["meta"], with_page(&bound, 100));
    // `after` reaches beyond the last page.
    let end = last.data()[99]["id"].as_str().expect("an id");
    let rest = list(&app, &admin, &format!("?after={end}")).await;
    assert_eq!(rest.data().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn invalid_queries_name_each_field() {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    let after = admin.id;
    for (query, fields) in [
        (format!("?after={after}&page=1"), vec!["page"]),
        (format!("?after={after}&sort=email"), vec!["sort"]),
        ("?after=x".to_owned(), vec!["after"]),
        ("?role=king&status=dead&sort=age".to_owned(), vec!["role", "status", "sort"]),
        ("?search=&limit=101&page=0".to_owned(), vec!["page", "limit", "search"]),
        ("?search=a%00b".to_owned(), vec!["search"]),
        (format!("?search={}", "x".repeat(255)), vec!["search"]),
        ("?page=101&limit=100".to_owned(), vec!["page"]),
        ("?Page=1".to_owned(), vec!["Page"]),
    ] {
        let response = list(&app, &admin, &query).await;
        assert_eq!(
            (response.failure(), response.fields()),
            ((400, "validation"), fields),
            "{query}"
        );
    }
    // `after` goes with its own sort order spelled out.
    let rest = list(&app, &admin, &format!("?after={after}&sort=-created_at")).await;
    assert_eq!(emails(&rest), [""; 0]);
}

fn with_page(meta: &Value, page: u32) -> Value {
    let mut meta = meta.clone();
    meta["page"] = json!(page);
    meta
}

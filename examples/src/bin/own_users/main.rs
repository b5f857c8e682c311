//! Library with an existing table of people, which keeps its columns and types: goat reads and
//! writes it through a `UserStore`.
//!
//! ```text
//! cargo run -p examples --bin own_users
//! form='{"mail": "grace@example.org", "password": "a long walk on a short pier"}'
//! curl -s localhost:3000/login -H 'content-type: application/json' -d "$form"
//! curl -s localhost:3000/people -H "authorization: Bearer <the access token>"
//! sqlite3 library.db 'UPDATE people SET blocked = 1 WHERE person_id = 1' # and repeat
//! ```
//!
//! - `people.sql`: the original table, with integer ids and status flags.
//! - `adopt.sql`: the added columns (goat's id, the canonical address, the session epoch, a
//!   revision), a view that maps the table to goat's users, and triggers for programs that write
//!   the table without goat. `adopt.rs` runs it and assigns ids.
//! - `store.rs`: the `UserStore`, tested by goat's conformance suite. `list.rs`: its list query.
//! - Hashes are verified as they are, Argon2 with any parameters and bcrypt, and rehashed at login.
//!   People without a password (`!`, or an empty hash) can sign in after an administrator has set one.

mod adopt;
mod list;
mod store;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, serve};
use goat_core::access::permissions::USER_CHANGE_STATUS;
use goat_core::auth::{Login, SignUp};
use goat_core::password::ForeignHashes;
use goat_core::store::sql::{MigrateOptions, SqliteDatabase, SqliteOptions};
use goat_core::token::TokenKeys;
use goat_core::{
    Email, Error, ErrorKind, Goat, Permission, Quota, RoleSet, Settings, Status, Stores, UserId,
};
use goat_tower::{FreshPrincipal, GoatExt as _, Origin, Principal, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::SqlitePool;

const LEND: Permission = Permission::new("book:lend");
const SEE_PEOPLE: Permission = Permission::new("people:read");

#[derive(Clone)]
struct Library {
    goat: Goat,
    people: SqlitePool,
}

#[derive(Deserialize)]
struct Newcomer {
    mail: String,
    full_name: String,
    password: String,
}

#[derive(Deserialize)]
struct Credentials {
    mail: String,
    password: String,
}

async fn sign_up(
    State(Library { goat, people }): State<Library>,
    origin: Origin,
    Json(form): Json<Newcomer>,
) -> Result<StatusCode, Problem> {
    let email = Email::parse(&form.mail)?;
    let request = SignUp { email, password: form.password.into(), origin: origin.into() };
    let user = goat.sign_up(request).await?;
    // goat creates the row; the application's own columns follow. If this update fails, the person
    // exists without a name, which can be set later.
    let query = sqlx::query("UPDATE people SET full_name = $2 WHERE goat_id = $1");
    query
        .bind(user.id.to_string())
        .bind(form.full_name)
        .execute(&people)
        .await
        .map_err(internal_error)?;
    Ok(StatusCode::CREATED)
}

async fn sign_in(
    State(Library { goat, .. }): State<Library>,
    origin: Origin,
    Json(form): Json<Credentials>,
) -> Result<Json<Value>, Problem> {
    let (email, password) = (form.mail.into(), form.password.into());
    let tokens = goat
        .login(Login { email, password, device_token: None, origin: origin.into() })
        .await?
        .value
        .tokens;
    Ok(Json(json!({ "access_token": tokens.access_token.expose() })))
}

async fn me(
    State(Library { people, .. }): State<Library>,
    me: Principal,
) -> Result<Json<Value>, Problem> {
    let query = "SELECT person_id, full_name, books_lent FROM people WHERE goat_id = $1";
    let (person, name, books): (i64, String, i64) = sqlx::query_as(query)
        .bind(me.user().to_string())
        .fetch_one(&people)
        .await
        .map_err(internal_error)?;
    Ok(Json(json!({ "person": person, "name": name, "books_lent": books })))
}

async fn lend(
    State(Library { people, .. }): State<Library>,
    me: Principal,
) -> Result<StatusCode, Problem> {
    let query = sqlx::query("UPDATE people SET books_lent = books_lent + 1 WHERE goat_id = $1");
    query.bind(me.user().to_string()).execute(&people).await.map_err(internal_error)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Grants a permission to a role. Needs a principal re-read from the store in this request.
async fn allow(
    State(Library { goat, .. }): State<Library>,
    me: FreshPrincipal,
    Path((role, permission)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let permission = Permission::parse(&permission).map_err(|_| ErrorKind::NotFound)?;
    goat.roles().grant(me.into(), &role, permission).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_people(
    State(Library { people, .. }): State<Library>,
) -> Result<Json<Value>, Problem> {
    let query = "SELECT person_id, full_name, blocked FROM people ORDER BY person_id LIMIT 100";
    let rows: Vec<(i64, String, bool)> =
        sqlx::query_as(query).fetch_all(&people).await.map_err(internal_error)?;
    let people = rows.iter().map(
        |(person, name, blocked)| json!({ "person": person, "name": name, "blocked": blocked }),
    );
    Ok(Json(people.collect()))
}

/// Blocks a person through goat rather than by an UPDATE, so that its rules hold: an actor cannot
/// block a user of the same or a higher rank, and one administrator remains.
async fn block(
    State(Library { goat, people }): State<Library>,
    me: FreshPrincipal,
    Path(person): Path<i64>,
) -> Result<StatusCode, Problem> {
    let query = sqlx::query_scalar("SELECT goat_id FROM people WHERE person_id = $1").bind(person);
    let id: Option<String> = query.fetch_optional(&people).await.map_err(internal_error)?;
    let id = id.and_then(|id| UserId::parse(&id).ok()).ok_or(ErrorKind::NotFound)?;
    goat.users().change_status(me.into(), id, Status::Suspended).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn internal_error(error: sqlx::Error) -> Problem {
    Error::from(ErrorKind::Internal).with_source(error).into()
}

fn app(library: Library) -> Router {
    let goat = &library.goat;
    Router::new()
        .route("/me", get(me))
        .route("/loans", post(lend).route_layer(goat.require(LEND)))
        .route("/people", get(list_people).route_layer(goat.require(SEE_PEOPLE)))
        .route(
            "/people/{person}/block",
            post(block).route_layer(goat.require(USER_CHANGE_STATUS).fresh()),
        )
        .route(
            "/roles/{role}/permissions/{permission}",
            post(allow).route_layer(goat.require(Permission::FULL_ACCESS).fresh()),
        )
        .layer(goat.authenticate())
        .route("/signup", post(sign_up))
        .route("/login", post(sign_in))
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .with_state(library)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().unwrap_or_else(|| "library.db".into()));
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    let people = adopt::open(&path).await?;
    // Sessions and role permissions are in goat's own tables, in the same file. goat's user table
    // stays empty; `…_without_users` declares that users are stored elsewhere. If that is missing
    // for the roles, `prepare` below fails with an explanation.
    let database = SqliteDatabase::open(SqliteOptions::new(path)).await?;
    database.migrate(MigrateOptions { adopt_foreign: true }).await?;
    let stores = Stores {
        users: Arc::new(store::People::new(people.clone())),
        roles: database.roles_without_users(),
        sessions: database.sessions_without_users(),
        ..Stores::memory()
    };
    let roles = RoleSet::new([
        ("reader", vec!["book:lend"]),
        ("librarian", vec!["book:lend", "people:read", "user:change_status"]),
        (store::ADMIN, vec!["full_access"]),
    ])?;
    // Other programs block people without notifying goat, so caching is disabled, at the cost of
    // three reads per request. A program that embeds goat can publish an invalidation after each
    // commit instead, with `goat.users().invalidate(id).await`, and keep the default.
    let settings = Settings { cache_staleness: Duration::ZERO, ..Settings::default() };
    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    let goat = Goat::builder(stores, TokenKeys::generate())
        .roles(roles)
        .settings(settings)
        .hasher(Arc::new(ForeignHashes::default()))
        .build()?;
    // Fails at startup, not at a login, if stored hashes cannot be verified.
    goat.prepare().await?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let service = app(Library { goat, people });
    Ok(serve(listener, service.into_make_service_with_connect_info::<SocketAddr>()).await?)
}

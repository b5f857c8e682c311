//! Library with an existing table of people, `people.sql`: UUIDs, hashes of two libraries, a role. goat
//! keeps its users there, and a person and a library card are created in one transaction.
//!
//! ```text
//! cargo run -p examples --bin own_users
//! form='{"mail": "grace@example.org", "password": "a long walk on a short pier"}'
//! curl -s localhost:3000/login -H 'content-type: application/json' -d "$form"
//! curl -s localhost:3000/people -H "authorization: Bearer <the access token>"
//! ```
//!
//! `goat_on` is everything that an application adds for its table; it prints the SQL before it runs.
//! Hashes are verified as they are, and replaced at the next login. People without a hash can sign in
//! after an administrator has set a password.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, serve};
use goat_core::access::permissions::USER_CHANGE_STATUS;
use goat_core::auth::{Login, SignUp};
use goat_core::password::ForeignHashes;
use goat_core::store::memory::MemoryLimits;
use goat_core::store::sql::{MigrateOptions, SqliteDatabase, UserTable};
use goat_core::token::TokenKeys;
use goat_core::{Email, Error, ErrorKind, Goat, Permission, Quota, RoleSet, Status, UserId};
use goat_tower::{FreshPrincipal, GoatExt as _, Origin, Principal, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

const LEND: Permission = Permission::new("book:lend");
const SEE_PEOPLE: Permission = Permission::new("people:read");

const PEOPLE: UserTable = UserTable {
    name: "people",
    id: "id",
    email: "mail",
    password_hash: "pass_hash",
    role: "position",
};

async fn goat_on(pool: SqlitePool) -> Result<Goat, Box<dyn StdError>> {
    let database = SqliteDatabase::from_pool(pool).await?;
    database.migrate(MigrateOptions { adopt_foreign: true }).await?;
    let adoption = database.adopt(PEOPLE).await?;
    eprintln!("{adoption}");
    let database = adoption.apply().await?;
    let roles = RoleSet::new([
        ("reader", vec!["book:lend"]),
        ("librarian", vec!["book:lend", "people:read", "user:change_status"]),
        ("admin", vec!["full_access"]),
    ])?;
    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    let keys = TokenKeys::generate();
    let goat = Goat::builder(database.stores(Arc::new(MemoryLimits::default())), keys)
        .roles(roles)
        .hasher(Arc::new(ForeignHashes::default()))
        .build()?;
    // Fails at startup, not at a login, if stored hashes cannot be verified.
    goat.prepare().await?;
    Ok(goat)
}

#[derive(Clone)]
struct Library {
    goat: Goat,
    pool: SqlitePool,
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

/// The person and the card commit together, or neither does.
async fn sign_up(
    State(Library { goat, pool }): State<Library>,
    origin: Origin,
    Json(form): Json<Newcomer>,
) -> Result<StatusCode, Problem> {
    let email = Email::parse(&form.mail)?;
    let request = SignUp { email, password: form.password.into(), origin: origin.into() };
    // Hashes the password before the transaction begins.
    let prepared = goat.prepare_sign_up(request).await?;
    let mut transaction = pool.begin().await.map_err(internal_error)?;
    let person = prepared.create_in(&mut transaction).await?;
    for query in [
        "UPDATE people SET full_name = $2 WHERE goat_id = $1",
        "INSERT INTO cards (person, name) VALUES ((SELECT id FROM people WHERE goat_id = $1), $2)",
    ] {
        let query = sqlx::query(query).bind(person.id.to_string()).bind(&form.full_name);
        query.execute(&mut *transaction).await.map_err(internal_error)?;
    }
    transaction.commit().await.map_err(internal_error)?;
    person.committed().await;
    Ok(StatusCode::CREATED)
}

async fn sign_in(
    State(Library { goat, .. }): State<Library>,
    origin: Origin,
    Json(form): Json<Credentials>,
) -> Result<Json<Value>, Problem> {
    let (email, password) = (form.mail.into(), form.password.into());
    let login = Login { email, password, device_token: None, origin: origin.into() };
    let tokens = goat.login(login).await?.value.tokens;
    Ok(Json(json!({ "access_token": tokens.access_token.expose() })))
}

async fn me(
    State(Library { pool, .. }): State<Library>,
    me: Principal,
) -> Result<Json<Value>, Problem> {
    let query = "SELECT id, full_name, books_lent FROM people WHERE goat_id = $1";
    let query = sqlx::query_as(query).bind(me.user().to_string());
    let (id, name, books): (String, String, i64) =
        query.fetch_one(&pool).await.map_err(internal_error)?;
    Ok(Json(json!({ "person": id, "name": name, "books_lent": books })))
}

async fn lend(
    State(Library { pool, .. }): State<Library>,
    me: Principal,
) -> Result<StatusCode, Problem> {
    let query = sqlx::query("UPDATE people SET books_lent = books_lent + 1 WHERE goat_id = $1");
    query.bind(me.user().to_string()).execute(&pool).await.map_err(internal_error)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_people(State(Library { pool, .. }): State<Library>) -> Result<Json<Value>, Problem> {
    let query =
        sqlx::query_as("SELECT goat_id, full_name FROM people ORDER BY full_name LIMIT 100");
    let rows: Vec<(String, String)> = query.fetch_all(&pool).await.map_err(internal_error)?;
    let people = rows.iter().map(|(user, name)| json!({ "user": user, "name": name }));
    Ok(Json(people.collect()))
}

/// Blocks a person. goat's rules hold: an actor cannot block a user of the same or a higher rank, and
/// one administrator remains.
async fn block(
    State(Library { goat, .. }): State<Library>,
    me: FreshPrincipal,
    Path(user): Path<UserId>,
) -> Result<StatusCode, Problem> {
    goat.users().change_status(me.into(), user, Status::Suspended).await?;
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
            "/people/{user}/block",
            post(block).route_layer(goat.require(USER_CHANGE_STATUS).fresh()),
        )
        .layer(goat.authenticate())
        .route("/signup", post(sign_up))
        .route("/login", post(sign_in))
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .with_state(library)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "library.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    let find = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'people')";
    if !sqlx::query_scalar(find).fetch_one(&pool).await? {
        sqlx::raw_sql(include_str!("people.sql")).execute(&pool).await?;
    }
    let cards = "CREATE TABLE IF NOT EXISTS cards (person TEXT NOT NULL PRIMARY KEY \
                 REFERENCES people (id) ON DELETE CASCADE, name TEXT NOT NULL CHECK (name <> ''))";
    sqlx::raw_sql(cards).execute(&pool).await?;
    let goat = goat_on(pool.clone()).await?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let service = app(Library { goat, pool });
    Ok(serve(listener, service.into_make_service_with_connect_info::<SocketAddr>()).await?)
}

//! Library with existing tables, `people.sql`: people with UUIDs, the hashes of two libraries, a role.
//! goat keeps its users there, and creates a person together with the library's own row.
//!
//! ```text
//! cargo run -p examples --bin own_users
//! form='{"mail": "grace@example.org", "password": "a long walk on a short pier"}'
//! curl -s localhost:3000/login -H 'content-type: application/json' -d "$form"
//! curl -s localhost:3000/me -H "authorization: Bearer <the access token>"
//! ```

use std::{net::SocketAddr, sync::Arc};

use axum::routing::{get, post};
use axum::{Json, Router, extract::State, http::StatusCode};
use goat_core::auth::{Login, SignUp};
use goat_core::password::ForeignHashes;
use goat_core::store::memory::MemoryLimits;
use goat_core::store::sql::{MigrateOptions, SqliteDatabase, UserTable};
use goat_core::{Email, Goat, Permission, Quota, RoleSet, token::TokenKeys};
use goat_tower::{GoatExt as _, Origin, Principal, Problem};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};

const LEND: Permission = Permission::new("book:lend");
const PEOPLE: UserTable = UserTable {
    name: "people",
    id: "id",
    email: "mail",
    password_hash: "pass_hash",
    role: "position",
};

#[derive(serde::Deserialize)]
struct Form {
    mail: String,
    password: String,
    name: Option<String>,
}

type App = State<(Goat, SqlitePool)>;
type Body = Json<Form>;
type Reply<T> = Result<T, Problem>;

async fn sign_up(State((goat, pool)): App, origin: Origin, Json(form): Body) -> Reply<StatusCode> {
    let request = SignUp::new(Email::parse(&form.mail)?, form.password, origin);
    let prepared = goat.prepare_sign_up(request).await?; // hashes the password
    let mut transaction = pool.begin().await.map_err(Problem::internal)?;
    let person = prepared.create_in(&mut transaction).await?;
    let reader = "INSERT INTO readers (person, name) SELECT id, $2 FROM people WHERE goat_id = $1";
    let reader = sqlx::query(reader).bind(person.id.to_string()).bind(form.name);
    reader.execute(&mut *transaction).await.map_err(Problem::internal)?;
    transaction.commit().await.map_err(Problem::internal)?;
    person.committed().await;
    Ok(StatusCode::CREATED)
}

async fn sign_in(State((goat, _)): App, origin: Origin, Json(form): Body) -> Reply<Json<Value>> {
    let tokens = goat.login(Login::new(form.mail, form.password, origin)).await?.value.tokens;
    Ok(Json(json!({ "access_token": tokens.access_token.expose() })))
}

async fn me(State((_, pool)): App, me: Principal) -> Reply<Json<Value>> {
    let row = "SELECT id, name, books, goat_email_verified_at IS NOT NULL FROM people \
               JOIN readers ON person = id WHERE goat_id = $1";
    let row = sqlx::query_as(row).bind(me.user().to_string()).fetch_one(&pool).await;
    let (id, name, books, proven): (String, String, i64, bool) = row.map_err(Problem::internal)?;
    Ok(Json(json!({ "person": id, "name": name, "books": books, "mail_verified": proven })))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init(); // shows the causes of a 500
    let path = std::env::args().nth(1).unwrap_or_else(|| "library.db".into());
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:3000".into());
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    sqlx::raw_sql(include_str!("people.sql")).execute(&pool).await?;
    let database = SqliteDatabase::from_pool(pool.clone()).await?;
    database.migrate(MigrateOptions { adopt_foreign: true }).await?;
    let adoption = database.adopt(PEOPLE).await?;
    eprintln!("{adoption}"); // the SQL that `apply` executes
    let stores = adoption.apply().await?.stores(Arc::new(MemoryLimits::default()));
    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    let goat = Goat::builder(stores, TokenKeys::generate())
        .roles(RoleSet::new([("reader", vec!["book:lend"]), ("admin", vec!["full_access"])])?)
        .hasher(Arc::new(ForeignHashes::default())) // a login replaces the hash by goat's own
        .build()?;
    goat.prepare().await?; // fails if a stored hash cannot be verified
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let app = Router::new()
        .route("/me", get(me).route_layer(goat.require(LEND)))
        .layer(goat.authenticate())
        .route("/signup", post(sign_up))
        .route("/login", post(sign_in))
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .with_state((goat, pool));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?)
}

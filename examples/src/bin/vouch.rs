//! Wiki whose staff sign in with the company's directory: the application checks the password by its own
//! means, and goat opens the session.
//!
//! ```text
//! cargo run -p examples --bin vouch
//! form='{"name": "ann", "password": "directory-ann"}'
//! curl -s localhost:3000/sign-in -H 'content-type: application/json' -d "$form"
//! curl -s localhost:3000/me -H "authorization: Bearer <the access token>"
//! ```
//!
//! `sign_in` is everything that another method needs: find the user, or create one without a password,
//! then [`Goat::vouch`] and [`Goat::open_session`]. Status, session limit and required second factors
//! apply as to a sign-in with a password of goat's own, which these users do not have.

use std::net::SocketAddr;

use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, serve};
use goat_core::auth::Vouch;
use goat_core::limit::LimitKey;
use goat_core::token::TokenKeys;
use goat_core::user::NewUser;
use goat_core::{Actor, Email, Error, ErrorKind, Goat, PageRequest, Quota, Status, Stores, User};
use goat_tower::{GoatExt as _, Origin, Principal, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

const DIRECTORY: Vouch = Vouch::single("directory");

/// Attempts at one name, from all addresses: the directory's password is the application's to defend.
const ATTEMPTS: Quota = Quota::per_minute(10);

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

/// The company's directory. A real one is asked over LDAP, by a bind with the name and the password.
struct Directory;

impl Directory {
    /// Returns the address of a member of staff whose password is right.
    fn bind(name: &str, password: &str) -> Option<Email> {
        let is_staff = ["ann", "bob"].contains(&name);
        let is_right = is_staff && password == format!("directory-{name}");
        is_right.then(|| Email::parse(&format!("{name}@example.org")).ok()).flatten()
    }
}

async fn sign_in(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Credentials>,
) -> Result<Json<Value>, Problem> {
    // Before the check, so that parallel guesses are bounded too.
    let key = LimitKey::text("directory", &form.name);
    let attempt = goat.limits().acquire("directory", key, ATTEMPTS).await?;
    if attempt.is_limited() {
        return Err(Error::rate_limited(vec![attempt]).into());
    }
    let email = Directory::bind(&form.name, &form.password).ok_or(ErrorKind::InvalidCredentials)?;
    let user = found_or_created(&goat, email).await?;
    let proof = goat.vouch(user.id, DIRECTORY).await?;
    let tokens = goat.open_session(proof, origin.into()).await?.tokens;
    Ok(Json(json!({ "access_token": tokens.access_token.expose() })))
}

/// Returns the user of an address; its first sign-in creates it, without a password.
async fn found_or_created(goat: &Goat, email: Email) -> goat_core::Result<User> {
    if let Some(user) = goat.users().find_by_email(&email).await? {
        return Ok(user);
    }
    let role = goat.roles().lowest();
    let new = NewUser { email: email.clone(), password: None, role, status: Status::Active };
    match goat.users().create(Actor::system("directory"), new).await {
        // A concurrent sign-in has created it.
        Err(error) if error.kind() == ErrorKind::EmailTaken => {
            goat.users().find_by_email(&email).await?.ok_or(error)
        }
        created => created,
    }
}

async fn me(State(goat): State<Goat>, me: Principal) -> Result<Json<Value>, Problem> {
    let sessions = goat.sessions().list(&me, PageRequest::default()).await?;
    let current = sessions.items.iter().find(|session| Some(session.id) == me.session());
    let methods = current.map(|session| session.methods.iter().map(|one| one.as_str()).collect());
    let methods: Vec<&str> = methods.unwrap_or_default();
    Ok(Json(json!({ "email": me.profile().email.as_str(), "methods": methods })))
}

async fn sign_out(
    State(goat): State<Goat>,
    origin: Origin,
    me: Principal,
) -> Result<StatusCode, Problem> {
    goat.logout(&me, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn app(goat: &Goat) -> Router {
    Router::new()
        .route("/me", get(me))
        .route("/sign-out", post(sign_out))
        .layer(goat.authenticate())
        .route("/sign-in", post(sign_in))
        .layer(goat.limit(Quota::per_minute(300)).by_address())
        .with_state(goat.clone())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "wiki.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    // Generated keys are lost on restart, and all tokens with them; load stored keys in production.
    let stores = Stores::sqlite(database).await?;
    let goat = Goat::builder(stores, TokenKeys::generate()).build()?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(serve(listener, app(&goat).into_make_service_with_connect_info::<SocketAddr>()).await?)
}

//! Forum that sends letters by a courier of its own: confirmed sign-up, and recovery of a forgotten password.
//!
//! ```text
//! cargo run -p examples --bin letters
//! json='content-type: application/json'
//! curl -s localhost:3000/sign-up -H "$json" -d '{"email": "ann@example.org"}'
//! # The letter is on the terminal. Behind the # of its link is the token:
//! answer='{"token": "<the token>", "password": "a long walk on a short pier"}'
//! curl -s localhost:3000/sign-up/confirm -H "$json" -d "$answer"
//! curl -s localhost:3000/recover -H "$json" -d '{"email": "ann@example.org"}'
//! # Or by the code of the letter, with the challenge of the response:
//! answer='{"challenge": "<the challenge>", "code": "<the code>", "password": "seven lamps over the quay"}'
//! curl -s localhost:3000/recover/confirm -H "$json" -d "$answer"
//! ```
//!
//! goat decides on a letter, its reader and its values. The courier here is a bounded queue: a full one refuses
//! every request alike, and no request waits for a mail server. A task renders each letter and hands it over,
//! here to the terminal, in an application to a mail service.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, serve};
use goat_core::auth::{ChallengeSent, Login, MailAnswer};
use goat_core::challenge::ServerKeys;
use goat_core::courier::{Courier, Letter, Message, Permit, QueueFull};
use goat_core::token::TokenKeys;
use goat_core::{ChallengeId, Email, ErrorKind, Goat, Quota, Secret, Settings, Signup, Stores};
use goat_tower::{GoatExt as _, Origin, Principal, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The site whose pages links lead to. Such a page sends the token behind the `#` by POST, once its reader
/// presses a button: programs that scan mail open links too. No part of a link comes from a request.
const SITE: &str = "https://forum.example.org";

/// Letters wait here for the task that delivers them.
#[derive(Debug)]
struct Outbox(Sender<Letter>);

impl Courier for Outbox {
    fn reserve(&self) -> Result<Permit, QueueFull> {
        let place = self.0.clone().try_reserve_owned().map_err(|_| QueueFull)?;
        Ok(Permit::new(move |letter| {
            place.send(letter);
        }))
    }
}

async fn deliver(mut letters: Receiver<Letter>) {
    while let Some(letter) = letters.recv().await {
        println!("{}", render(&letter));
    }
}

/// Renders a letter, in the language that its reader prefers.
fn render(letter: &Letter) -> String {
    let language = letter.languages.pick(["en", "de"]).unwrap_or("en");
    let (english, german, page) = match &letter.message {
        Message::ConfirmSignUp(_) => {
            ("Complete your sign-up", "Registrierung abschließen", "welcome")
        }
        Message::AccountExists => {
            ("You have an account already", "Es gibt schon ein Konto", "sign-in")
        }
        Message::ResetPassword { .. } => {
            ("Set a new password", "Neues Passwort setzen", "new-password")
        }
        Message::PasswordChanged { .. } => {
            ("Your password was changed", "Das Passwort wurde geändert", "new-password")
        }
        Message::NewDevice { .. } => {
            ("Sign-in from a new device", "Anmeldung mit einem neuen Gerät", "account")
        }
        other => (other.name(), other.name(), "account"),
    };
    let subject = if language == "de" { german } else { english };
    let mut text = format!("letter to {}: {subject}: {SITE}/{page}", letter.to.as_str());
    if let Some(secret) = letter.message.secret() {
        // Behind the `#`, which a browser sends to no server.
        text += &format!("#{}", secret.link.text().expose());
        if let Some(code) = &secret.code {
            text += &format!(" or {}", code.text().expose());
        }
    }
    text
}

#[derive(Deserialize)]
struct Address {
    email: String,
}

/// The answer to a letter: the token of its link, or its code and the challenge that the request returned.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Link { token: String },
    Code { challenge: String, code: String },
}

impl Answer {
    fn read(self) -> Result<MailAnswer, Problem> {
        match self {
            Self::Link { token } => Ok(MailAnswer::link(token)),
            Self::Code { challenge, code } => {
                let challenge = ChallengeId::parse(&challenge);
                let challenge = challenge.map_err(|_| ErrorKind::InvalidChallenge)?;
                Ok(MailAnswer::code(challenge, code))
            }
        }
    }
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(flatten)]
    answer: Answer,
    password: String,
}

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
    device_token: Option<String>,
}

/// The response is the same for an address with and without an account.
fn accepted(sent: ChallengeSent) -> (StatusCode, Json<Value>) {
    (StatusCode::ACCEPTED, Json(json!({ "challenge": sent.challenge })))
}

async fn sign_up(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Address>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    Ok(accepted(goat.request_sign_up(Email::parse(&form.email)?, &origin).await?))
}

/// The account and its password exist once the mailbox has answered, and its owner is signed in.
async fn confirm_sign_up(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Confirmation>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let answer = form.answer.read()?;
    let signed_in = goat.confirm_sign_up(&answer, &form.password.into(), &origin).await?;
    let token = signed_in.tokens.access_token;
    let body =
        json!({ "access_token": token.expose(), "device_token": signed_in.device_token.expose() });
    Ok((StatusCode::CREATED, Json(body)))
}

async fn recover(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Address>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    Ok(accepted(goat.request_recovery(Email::parse(&form.email)?, &origin).await?))
}

/// Ends every session and opens none: the user signs in with the new password.
async fn confirm_recovery(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Confirmation>,
) -> Result<Json<Value>, Problem> {
    let answer = form.answer.read()?;
    let recovered = goat.confirm_recovery(&answer, &form.password.into(), None, &origin).await?;
    Ok(Json(json!({ "device_token": recovered.device_token.expose() })))
}

/// With a device token, the sign-in is not that of a new device, of which the owner would be notified.
async fn sign_in(
    State(goat): State<Goat>,
    origin: Origin,
    Json(form): Json<Credentials>,
) -> Result<Json<Value>, Problem> {
    let mut login = Login::new(form.email, form.password, origin);
    login.device_token = form.device_token.map(Secret::new);
    let tokens = goat.login(login).await?.value.tokens;
    Ok(Json(json!({ "access_token": tokens.access_token.expose() })))
}

async fn me(me: Principal) -> Json<Value> {
    let user = me.profile();
    Json(json!({ "email": user.email.as_str(), "is_verified": user.email_verified_at.is_some() }))
}

fn app(goat: &Goat) -> Router {
    Router::new()
        .route("/me", get(me))
        .layer(goat.authenticate())
        .route("/sign-up", post(sign_up))
        .route("/sign-up/confirm", post(confirm_sign_up))
        .route("/recover", post(recover))
        .route("/recover/confirm", post(confirm_recovery))
        .route("/sign-in", post(sign_in))
        .layer(goat.limit(Quota::per_minute(60)).by_address())
        .with_state(goat.clone())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "letters.db".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    let (outbox, letters) = channel(100);
    let settings = Settings { signup: Signup::Confirmed, ..Settings::default() };
    // Keys that are generated are lost on restart: sessions end, and the codes of earlier letters.
    let goat = Goat::builder(Stores::sqlite(database).await?, TokenKeys::generate())
        .settings(settings)
        .courier(Arc::new(Outbox(outbox)))
        .server_keys(ServerKeys::generate())
        .build()?;
    tokio::spawn(goat.clone().maintain()); // removes expired sessions

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::spawn(deliver(letters));
    Ok(serve(listener, app(&goat).into_make_service_with_connect_info::<SocketAddr>()).await?)
}

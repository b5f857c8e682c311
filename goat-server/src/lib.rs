//! The goat server: users, sessions, roles, permissions and rate limits as an HTTP API.
//!
//! The program `goat-server` runs this library. `goat-server --help` lists its settings, and
//! `/api/openapi.json` describes its API. Use the library to mount the API in an application, or to
//! start the server in a test.
//!
//! # Mounting the API in an application
//!
//! [`Api`] builds an axum [`Router`](axum::Router) from a [`Goat`](goat_core::Goat) of the application, with
//! all middleware: problem documents, request ids, rate limits, CORS, request log, metrics. The router goes
//! beside the routes and the fallback of the application, under a prefix if wanted, and an access token
//! that the API issues authenticates on the application's own routes too.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use goat_core::{Goat, Stores, token::TokenKeys};
//! use goat_server::observe::{ServerObserver, metrics::Metrics};
//! use goat_server::serve::{Lifecycle, ServeSettings, drain_on_signals, serve};
//! use goat_server::start::settings::MountSettings;
//! use goat_server::{Api, first_administrator};
//! use goat_tower::{GoatExt as _, Principal};
//!
//! async fn hello(me: Principal) -> String {
//!     format!("hello, {}", me.user())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let metrics = Metrics::new();
//! let goat = Goat::builder(Stores::sqlite("app.db").await?, TokenKeys::generate())
//!     .observer(ServerObserver::new(metrics.clone()))
//!     .build()?;
//! first_administrator(&goat, "ann@example.org", "a long walk on a short pier").await?;
//!
//! let (settings, warnings) = MountSettings::load(std::env::vars_os())?;
//! for warning in warnings {
//!     eprintln!("{warning}");
//! }
//! let lifecycle = Lifecycle::new();
//! let auth = Api::new(goat.clone())
//!     .prefix("/auth")
//!     .http(settings.http)
//!     .limits(settings.limits)
//!     .metrics(metrics)
//!     .lifecycle(lifecycle.clone());
//! let app = Router::new()
//!     .route("/hello", get(hello))
//!     .layer(goat.authenticate())
//!     .merge(auth.into_router())
//!     .fallback(async || "no such page");
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! let _second_signal = drain_on_signals(lifecycle.clone())?;
//! lifecycle.ready(); // `/auth/api/ready` succeeds from now on
//! serve(listener, app, ServeSettings::default(), lifecycle).await;
//! # Ok(())
//! # }
//! ```
//!
//! Any other server works too, such as axum's own, if it provides the client's socket address
//! (`into_make_service_with_connect_info`). [`serve`](serve::serve), which the program uses, also
//! limits the time and size of connections and requests, and shuts down gracefully.
//!
//! # Running it
//!
//! `goat-server` without arguments serves on SQLite, with generated keys in `./data`. In production,
//! set PostgreSQL, Redis and the secrets; `goat-server check` tests the settings without serving.
//!
//! # In a test
//!
//! Use the same router over `Stores::memory()`, called as a `tower::Service` or served on port 0.
//! `goat_core::testing`, with the feature `testing`, has a manual clock and a fast hasher.
//!
//! # Modules
//!
//! | task | module |
//! |---|---|
//! | mount the API | [`Api`]; [`api`]: routes, guards, middleware, OpenAPI |
//! | parse requests and write responses like its handlers | [`api::extract`], [`api::view`] |
//! | configure it | [`start::settings`]: flags, environment and `.env` |
//! | build a goat from settings | [`start`] |
//! | accept connections, and shut down | [`serve`] |
//! | observe it | [`observe`]: logging, metrics, audit log |
//! | send letters | [`mail`] |
//! | run the program | [`cli`], [`commands`], [`failure`] |

pub mod api;
pub mod cli;
pub mod commands;
pub mod failure;
pub mod mail;
pub mod observe;
pub mod serve;
pub mod start;

pub use api::{Api, Group};
pub use start::{FirstAdministrator, FirstAdministratorError, first_administrator};

//! The whole of goat behind one URL: users, sessions, roles and limits as an HTTP API.
//!
//! The program `goat-server` is this library and five lines. What it can be told stands in
//! `goat-server --help`, what it answers in `/api/openapi.json`. The library is there for what a
//! program cannot do: to mount the API in an application of one's own, and to start it in a test.
//!
//! # In an application
//!
//! [`router`](api::router) makes a [`Router`](axum::Router) of axum with everything around it:
//! problem documents, request ids, limits, CORS, the log, metrics. Its paths begin with `/api`. It
//! stands on a [`Goat`](goat_core::Goat), which the application can share: a token that the API gives
//! out opens the application's own routes.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use axum::{Router, routing::get};
//! use goat_core::{Goat, Stores, token::TokenKeys};
//! use goat_server::observe::metrics::Metrics;
//! use goat_server::observe::ServerObserver;
//! use goat_server::api::router;
//! use goat_server::serve::{Lifecycle, ServeSettings, drain_on_signals, serve};
//! use goat_server::start::settings::{Flags, Settings};
//! use goat_server::api::AppState;
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
//!
//! // As the program does; of what it reads, the router wants proxies, origins and limits.
//! let (settings, _) =
//!     Settings::load(std::env::vars_os(), &Flags::default(), Path::new(".env"))?;
//! let lifecycle = Lifecycle::new();
//! let api = router(AppState {
//!     goat: goat.clone(),
//!     metrics,
//!     lifecycle: lifecycle.clone(),
//!     http: Arc::new(settings.http),
//!     limits: Arc::new(settings.limits),
//! });
//! let app = Router::new().route("/hello", get(hello)).layer(goat.authenticate()).merge(api);
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! let _second_signal = drain_on_signals(lifecycle.clone())?;
//! lifecycle.ready(); // from now on `/api/ready` says so
//! serve(listener, app, ServeSettings::default(), lifecycle).await;
//! # Ok(())
//! # }
//! ```
//!
//! Any other server does too, axum's own for one, as long as it says who is at the other end of a
//! connection (`into_make_service_with_connect_info`). [`serve`](serve::serve) is what the program
//! uses: it bounds how long and how much a client may keep it busy, and drains at the end.
//!
//! # In a test
//!
//! The same router over `Stores::memory()`, called as a `tower::Service` or served on port 0.
//! `goat_core::testing`, behind the feature `testing`, has a clock that the test moves and a hasher
//! that costs nothing.
//!
//! # Where things are
//!
//! | to | look at |
//! |---|---|
//! | know the routes, and mount them | [`api`] |
//! | read and show JSON as it does | [`api::extract`], [`api::view`] |
//! | configure it | [`start::settings`]: one table, read from flags, the environment and `.env` |
//! | build a goat from settings | [`start`] |
//! | accept connections, and end them well | [`serve`] |
//! | watch it | [`observe`]: logging, metrics, and the observer that feeds both |
//! | run the program | [`cli`], [`commands`], [`failure`] |

pub mod api;
pub mod cli;
pub mod commands;
pub mod failure;
pub mod observe;
pub mod serve;
pub mod start;

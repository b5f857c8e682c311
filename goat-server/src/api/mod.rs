//! The HTTP API: the route table, the guards of each route, the handlers, and the middleware around
//! all of them.
//!
//! A URL leads to a handler of the same name in `routes`: `/api/v1/auth/login` is in
//! `routes/auth`, `/api/v1/sessions` in `routes/sessions`.

mod endpoint;
pub mod extract;
mod forward;
mod group;
mod guards;
mod mount;
mod openapi;
mod pages;
mod router;
mod routes;
mod schemas;
mod stack;
mod state;
mod table;
pub mod view;

pub use endpoint::{Accepts, Endpoint, PublicLimit, Rule};
pub use group::Group;
pub use openapi::openapi;
pub use router::Api;
pub use stack::ApiService;
pub use table::table;

pub(crate) use mount::Mount;
pub(crate) use state::AppState;

//! The API in process: a test file per URL, the contract over all routes, and the rules that several
//! URLs share.

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod contract;
mod keys;
mod mail;
mod meta;
mod permissions;
mod roles;
mod sessions;
mod user;
mod wording;

mod access_token;
mod allocations;
mod backends;
mod breached_passwords;
mod client_address;
mod cors;
mod defence;
mod first_administrator;
mod fuzz_seeds;
mod limits;
mod link_browser;
mod link_page;
mod login_page;
mod mounting;
mod replay;
mod round_trips;

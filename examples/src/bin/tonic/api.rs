//! The messages and services of the example `tonic`. They correspond to this `.proto` file:
//!
//! ```proto
//! syntax = "proto3";
//! package reports;
//!
//! service Accounts {
//!   rpc SignUp(Credentials) returns (Empty);
//!   rpc SignIn(Credentials) returns (Tokens);
//!   rpc SignOut(Empty) returns (Empty);
//! }
//!
//! service Reports {
//!   rpc List(Empty) returns (Reports);
//!   rpc Audit(Empty) returns (Reports);
//!   rpc Publish(Report) returns (Empty);
//!   rpc Follow(Empty) returns (stream Report);
//! }
//!
//! message Empty {}
//! message Credentials { string email = 1; string password = 2; }
//! message Tokens { string access_token = 1; string refresh_token = 2; }
//! message Report { string title = 1; }
//! message Reports { repeated Report reports = 1; }
//! ```
//!
//! `build.rs` generates the services. Messages with secrets have no `Debug`, so they cannot be
//! logged.

#![expect(
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated code is included here"
)]

use prost::Message;

tonic::include_proto!("reports.Accounts");
tonic::include_proto!("reports.Reports");

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct Credentials {
    #[prost(string, tag = "1")]
    pub(crate) email: String,
    #[prost(string, tag = "2")]
    pub(crate) password: String,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct Tokens {
    #[prost(string, tag = "1")]
    pub(crate) access_token: String,
    #[prost(string, tag = "2")]
    pub(crate) refresh_token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Report {
    #[prost(string, tag = "1")]
    pub(crate) title: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Reports {
    #[prost(message, repeated, tag = "1")]
    pub(crate) reports: Vec<Report>,
}

//! The messages and services of the example `tonic`, as this `.proto` file would have them:
//!
//! ```proto
//! syntax = "proto3";
//! package reports;
//!
//! service Accounts {
//!   rpc SignUp(Credentials) returns (Nothing);
//!   rpc SignIn(Credentials) returns (Tokens);
//!   rpc SignOut(Nothing) returns (Nothing);
//! }
//!
//! service Reports {
//!   rpc List(Nothing) returns (Reports);
//!   rpc Audit(Nothing) returns (Reports);
//!   rpc Publish(Report) returns (Nothing);
//!   rpc Follow(Nothing) returns (stream Report);
//! }
//!
//! message Nothing {}
//! message Credentials { string email = 1; string password = 2; }
//! message Tokens { string access_token = 1; string refresh_token = 2; }
//! message Report { string title = 1; }
//! message Reports { repeated Report reports = 1; }
//! ```
//!
//! The services are written by `build.rs`. What is secret has no `Debug`, so that no log can have it.

#![expect(
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "what is generated knows nothing of where it stands"
)]

use prost::Message;

tonic::include_proto!("reports.Accounts");
tonic::include_proto!("reports.Reports");

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Nothing {}

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

//! The credential that a request shows, for those who count by it before anybody has verified it.
//!
//! Invariant: what is read here is what [`authenticate`](crate::GoatExt::authenticate) reads, or a
//! token that is let in could be one that is not counted.

use http::request::Parts;

use crate::bearer::{BearerError, bearer};

/// The token as it was shown; `None` where none was.
pub(super) fn credential(request: &Parts) -> Result<Option<&str>, BearerError> {
    bearer(&request.headers)
}

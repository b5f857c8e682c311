//! Response bodies: resources as JSON.
//!
//! Invariants: only the fields listed here are sent, so a new field of a domain type stays internal
//! until it is added; a success is `{"data": …}`, and a page has its `meta` next to it.

mod challenge;
mod key;
mod permission;
mod session;
mod time;
mod tokens;
mod user;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use goat_tower::Problem;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::extract;

pub use challenge::{Accepted, ChallengeSent};
pub use key::{CreatedKey, Key, Scopes};
pub use permission::{Permission, Role};
pub use session::Session;
pub use time::Time;
pub use tokens::{
    BodyOrCookies, PasswordChanged, PasswordChangedByCookie, SignedIn, SignedInByCookie,
    TokenExpiries, Tokens,
};
pub use user::{Attributes, Profile, User};

/// A successful response: one resource or a complete list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Data<T> {
    /// The resource or the list.
    pub data: T,
}

impl<T> Data<T> {
    /// Wraps `data`.
    pub const fn new(data: T) -> Self {
        Self { data }
    }
}

impl<T: Serialize> IntoResponse for Data<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self)
    }
}

/// Response to a creation: 201, and the location of the new resource.
#[derive(Clone, Debug)]
pub struct Created<T> {
    /// The new resource.
    pub data: T,
    /// The path of the new resource, if it has one.
    pub location: Option<String>,
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::CREATED, &Data::new(self.data));
        let location = self.location.map(HeaderValue::try_from).and_then(Result::ok);
        if let Some(location) = location {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The entries of this page; empty past the end of the list.
    pub data: Vec<T>,
    /// The position of this page in the list.
    pub meta: Meta,
}

/// The position of a page in its list.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Meta {
    /// The page number, starting at 1.
    #[schema(minimum = 1)]
    pub page: u32,
    /// The maximum number of entries per page.
    #[schema(minimum = 1, maximum = 100)]
    pub limit: u32,
    /// The number of entries in the whole list, exact up to 10,000.
    #[schema(maximum = 10000)]
    pub total: u64,
    /// The number of pages; 0 if the list is empty.
    pub total_pages: u64,
    /// `true` if the list has more entries than `total`; otherwise absent.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    pub total_is_lower_bound: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl<T> Page<T> {
    /// Creates a page from its entries and the total of the list.
    pub fn new(entries: impl IntoIterator<Item = T>, page: extract::Page, total: u64) -> Self {
        let (page, limit) = (page.number(), page.limit());
        let total_pages = total.div_ceil(u64::from(limit));
        Self {
            data: entries.into_iter().collect(),
            meta: Meta { page, limit, total, total_pages, total_is_lower_bound: false },
        }
    }

    /// Sets whether the list has more entries than `total`.
    #[must_use]
    pub const fn with_lower_bound(mut self, is_lower_bound: bool) -> Self {
        self.meta.total_is_lower_bound = is_lower_bound;
        self
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self)
    }
}

/// Returns a response with `value` as its JSON body.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let mut text = Vec::with_capacity(USUAL_LENGTH);
    // Serializing these types does not fail: all keys are strings, all numbers finite.
    if serde_json::to_writer(&mut text, value).is_err() {
        let problem = Problem::from(goat_core::ErrorKind::Internal);
        return IntoResponse::into_response(problem);
    }
    json_bytes(status, text.into())
}

/// Returns a response with JSON text as its body.
pub(super) fn json_bytes(status: StatusCode, text: Bytes) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(RESPONSE_HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The length of a response with a user, for its text to be allocated once.
const USUAL_LENGTH: usize = 512;

/// The usual number of headers of a response, for its map to be allocated once.
pub(super) const RESPONSE_HEADERS: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> extract::Page {
        extract::Parameters::read(Some(query)).expect("a page")
    }

    #[test]
    fn total_pages_rounds_up_and_is_zero_for_an_empty_list() {
        let meta = |total, query| Page::<u8>::new([], page(query), total).meta;
        assert_eq!(meta(0, "").total_pages, 0);
        assert_eq!(meta(1, "").total_pages, 1);
        assert_eq!(meta(20, "").total_pages, 1);
        assert_eq!(meta(21, "").total_pages, 2);
        assert_eq!(meta(10_000, "limit=3").total_pages, 3334);
    }

    #[test]
    fn exact_total_omits_the_lower_bound_flag() {
        let exact = Page::new([1, 2], page("limit=5"), 2);
        assert_eq!(
            serde_json::to_value(&exact).expect("JSON"),
            serde_json::json!({
                "data": [1, 2],
                "meta": {"page": 1, "limit": 5, "total": 2, "total_pages": 1},
            })
        );
        let more = serde_json::to_value(exact.with_lower_bound(true)).expect("JSON");
        assert_eq!(more["meta"]["total_is_lower_bound"], true);
    }
}

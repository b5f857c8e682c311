//! Response headers that layers set: `Cache-Control`, session cookies, and those of rate limits.

use goat_core::Time;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderValue, Response};

use crate::cookie::{Cookies, append_missing};
use crate::response::decisions::{Collector, LimitDecisions};
use crate::response::rate_limit_headers::RateLimitHeaders;

/// The headers that a layer sets on the response.
#[derive(Debug, Default)]
pub struct ResponseHeaders {
    no_store: bool,
    cookies: Vec<HeaderValue>,
    rate_limits: Option<(LimitDecisions, RateLimitHeaders, Time)>,
}

impl ResponseHeaders {
    /// Sets `Cache-Control: no-store` if the request carries credentials.
    pub(crate) fn forbid_caching(&mut self, request: &Parts, cookies: Option<&Cookies>) {
        self.no_store |= request.headers.contains_key(AUTHORIZATION)
            || cookies.is_some_and(|cookies| cookies.are_present(&request.headers));
    }

    /// Sets session cookies, except those that the inner service sets itself.
    pub(crate) fn set_cookies(&mut self, cookies: [HeaderValue; 2]) {
        self.cookies = cookies.into();
    }

    /// Joins the request's collector of limit decisions. The layer that opens the collector writes the
    /// headers of all decisions.
    pub(crate) fn collect(
        &mut self,
        request: &mut Parts,
        which: RateLimitHeaders,
        time: &Time,
    ) -> LimitDecisions {
        match LimitDecisions::collect(&mut request.extensions) {
            Collector::Joined(decisions) => decisions,
            Collector::Opened(decisions) => {
                self.rate_limits = Some((decisions.clone(), which, time.clone()));
                decisions
            }
        }
    }

    pub(crate) fn apply<B>(self, response: &mut Response<B>) {
        if self.no_store {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if !self.cookies.is_empty() {
            append_missing(self.cookies, response.headers_mut());
        }
        if let Some((decisions, which, time)) = self.rate_limits {
            decisions.write_headers(response, which, || time.now());
        }
    }
}
